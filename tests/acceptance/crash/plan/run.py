"""The crash plan in one table: what was tried, what was lost (nothing), what was refused, from which seed, how long.

    python tests/acceptance/crash/plan/run.py --short            the tier of `make test`
    SOAK_MINUTES=30 python tests/acceptance/crash/plan/run.py    the long one, the time divided over its rows

Exit 1 if anything was lost. `--only T4 --seed 7` runs one row.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from math import inf
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from crash.plan import items
from crash.plan.counting import Ask, Item, Row, count, table


def main() -> int:
    """Run the rows that the command line asks for."""
    asking = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    asking.add_argument(
        "--short", action="store_true", help="the short tier: as many trials as it has, whatever it takes"
    )
    asking.add_argument("--minutes", type=float, default=float(os.environ.get("SOAK_MINUTES", "30")))
    asking.add_argument("--seed", type=int, default=None)
    asking.add_argument("--only", default="")
    asking.add_argument("--json", action="store_true")
    args = asking.parse_args()
    known = items.ITEMS if args.short else (*items.ITEMS, *items.LONG_ITEMS)
    wanted = [item for item in known if not args.only or item.name in args.only.split(",")]
    # Another seed each time: a long run that repeats the last one finds nothing new.
    seed = args.seed if args.seed is not None else (1 if args.short else int(time.time()) % 100_000)
    ends = time.monotonic() + args.minutes * 60
    rows = []
    for number, item in enumerate(wanted):
        until = inf if args.short else time.monotonic() + (ends - time.monotonic()) / (len(wanted) - number)
        rows.append(_run(item, seed, until))
        if not args.json:
            print(table(rows[-1:]).splitlines()[1], flush=True)
    print(json.dumps([row.as_dict() for row in rows]) if args.json else f"\n{table(rows)}")
    return 1 if any(row.lost for row in rows) else 0


def _run(item: Item, seed: int, until: float) -> Row:
    folder = Path(tempfile.mkdtemp(prefix="autopilot-plan-"))
    try:
        return count(item, Ask(folder, seed, until < inf, until))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
