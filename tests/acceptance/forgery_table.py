"""Tries every forgery of `forgeries.py` and prints what each met, how many were tried and how many passed.

    python tests/acceptance/forgery_table.py [WORDS]

WORDS choose forgeries by name. Exit 0 only if none passed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from forgeries import FORGERIES, Forgery
from governed import Stock, expect_refusal


def attempt(stock: Stock, forgery: Forgery) -> str:
    """What was wrong, or nothing if the forgery was refused as it must be."""
    governed = stock.at(forgery.phase, plan=forgery.plan)
    try:
        forgery.prepare(governed)
        with expect_refusal(governed, forgery.code):
            forgery.attempt(governed)
        forgery.after(governed)
    except Exception as error:  # noqa: BLE001 - whatever happens in one forgery, the others are tried
        return f"{type(error).__name__}: {error}"[:200]
    finally:
        governed.workspace.close()
    return ""


def main(words: list[str]) -> int:
    """Try them, print the table."""
    chosen = [forgery for forgery in FORGERIES if all(word in forgery.name for word in words)]
    passed = 0
    with tempfile.TemporaryDirectory(prefix="forgeries-") as home:
        stock = Stock(Path(home))
        for number, forgery in enumerate(chosen, 1):
            problem = attempt(stock, forgery)
            passed += bool(problem)
            said = f"NOT AS IT MUST BE: {problem}" if problem else f"refused: {forgery.code}"
            print(f"{number:3}  {forgery.phase:<10}  {forgery.name:<62}  {said}", flush=True)
    print(f"\n{len(chosen)} forgeries tried, {len(chosen) - passed} refused with their reason, {passed} passed")
    return 1 if passed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
