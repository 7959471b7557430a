"""`autopilot demo`: a real task over a real small repository, cheating agents first, an honest one after them.

    autopilot demo [--keep DIR] [--repo PATH] [--json]

Everything runs for real: git, pytest, the engine, the ledger. The cheating agent tries each cheat on a task of its
own; a cheat that is not refused with the expected reason fails the demo. Then an honest agent takes a fix through all
nine phases, and the ledger is verified. With `--repo` the honest agent works on a copy of your repository, adding one
passing test file.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import time
from pathlib import Path

from autopilot.cli.demo.show import Show
from autopilot.kernel.throwaway import throwaway


def run(name: str, words: list[str]) -> int:
    """Run the demo; 0 if every cheat was refused, the honest task closed and the ledger verifies, else 1."""
    parser = argparse.ArgumentParser(prog=f"autopilot {name}", description="see it work on a real small repository")
    parser.add_argument("--keep", metavar="DIR", help="make the repository in DIR (which must not exist) and leave it")
    parser.add_argument("--repo", metavar="PATH", help="run the honest agent on a copy of this repository instead")
    parser.add_argument(
        "--without-fix", action="store_true", help="leave the fix out: the demo must then fail at VERIFY"
    )
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    options = parser.parse_args(words)
    missing = [module for module in ("pytest", "coverage") if importlib.util.find_spec(module) is None]
    if missing:
        sys.stderr.write(f"missing here: {', '.join(missing)}\n  next: pip install 'autopilot-governance[demo]'\n")
        return 6
    started = time.monotonic()
    show = Show(quiet=options.json)
    if options.keep:
        folder = Path(options.keep).absolute()
        folder.mkdir(parents=True)
        result = _play(folder, options, show)
    else:
        with throwaway("autopilot-demo-") as scratch:
            result = _play(scratch, options, show)
    result["seconds"] = round(time.monotonic() - started)
    if options.json:
        sys.stdout.write(json.dumps({"schema_version": 1, **result}) + "\n")
    else:
        show.end(result)
    return 0 if result["passed"] else 1


def _play(folder: Path, options: argparse.Namespace, show: Show) -> dict[str, object]:
    from autopilot.cli.demo.play import play, play_on_copy

    if options.repo:
        return play_on_copy(Path(options.repo), folder, show)
    return play(folder, show, fix=not options.without_fix)
