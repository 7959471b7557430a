"""`autopilot bench`: what the engine costs on this machine, beside the budgets and beside the machine's own floor.

Works in a temporary folder on the disk of `--dir`, which is removed at the end; no workspace is needed or touched.
The exit code is 0 whether or not a budget is met: on a machine that does something else, a figure is no verdict.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from pathlib import Path

from autopilot.bench.table import Plan, Row, rows
from autopilot.cli import console, options
from autopilot.cli.options import Parser, usage_error

ROUNDS = 1_000
ENTRIES = 1_000_000

_HEADER = ("path", "p50", "p95", "p99", "floor p50", "ratio", "budget", "met")


def parser() -> Parser:
    """The parser of `autopilot bench`."""
    bench = options.command("bench", "measure this machine against the budgets")
    bench.add_argument("--iterations", type=int, default=ROUNDS, metavar="N", help="rounds of each path (1000)")
    bench.add_argument("--entries", type=int, default=ENTRIES, metavar="N", help="lines of the large ledger (1000000)")
    bench.add_argument("--dir", default=".", metavar="DIR", help="measure the disk of this folder (.)")
    return bench


def run(name: str, words: list[str]) -> int:
    """Measure and print the table; exit 0."""
    args = parser().parse_args(words)
    if args.iterations < 1 or args.entries < 1:
        raise usage_error("--iterations and --entries count from 1", f"autopilot {name}")
    place = Path(args.dir).absolute()
    if not place.is_dir():
        raise usage_error(f"--dir {args.dir} is not a folder", f"autopilot {name}")
    with tempfile.TemporaryDirectory(prefix=".autopilot-bench-", dir=place) as folder:
        plan = Plan(Path(folder), args.iterations, args.entries, lambda about: console.say(f"measuring: {about}"))
        found = list(rows(plan))
    machine = _machine()
    if options.read_call(args).as_json:
        console.emit({"machine": machine, "iterations": args.iterations, "rows": [row.as_dict() for row in found]})
    else:
        console.table(_HEADER, [_cells(row) for row in found])
        console.show("")
        console.show("  ".join(f"{key}: {value}" for key, value in machine.items()))
    missed = sum(row.met is False for row in found)
    console.say(f"{missed} of {sum(row.met is not None for row in found)} budgets missed")
    console.next_step("autopilot demo" if not missed else "autopilot bench --json, on an idle machine")
    return 0


def _cells(row: Row) -> tuple[str, ...]:
    rate = f"{row.per_second:,.0f}/s" if row.per_second is not None else _time(row.p50)
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    met = {True: "yes", False: "NO", None: ""}[row.met] + (f" ({row.note})" if row.note else "")
    return (row.path, rate, _time(row.p95), _time(row.p99), _time(row.floor_p50), ratio, row.budget, met)


def _time(microseconds: float | None) -> str:
    if microseconds is None:
        return ""
    return f"{microseconds / 1000:.1f} ms" if microseconds >= 10_000 else f"{microseconds:.1f} us"


def _machine() -> dict[str, str]:
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return {
        "python": sys.version.split()[0],
        "system": f"{platform.system()} {platform.release()}",
        "processors": str(os.cpu_count()),
        "load": load,
    }
