"""Kill `advance_phase` through the CLI at many moments and print what came of it.

    python tests/acceptance/crash/run_kills.py --trials 200 --seed 7

`--trials` are kills of `autopilot advance`; `--others` kills of backtrack, lease acquire, task open, evidence add and a
refused advance come on top. Exit 1 if anything was lost, wedged or accused, with the moment at which it was.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crash import tracing
from crash.trials import ADVANCES, OTHERS, Kills, Outcome, figures, histogram


def run(kills: Kills, *, trials: int, others: int, seed: int, jobs: int = 2) -> list[Outcome]:
    """The outcomes of `trials` killed advances and `others` further kills, drawn with `seed`."""
    chance = random.Random(seed)
    moments = [*kills.draw(chance, ADVANCES, trials), *kills.draw(chance, OTHERS, others)]
    return kills.run_all(moments, jobs, tell)


def tell(outcome: Outcome) -> None:
    """Say at once what went wrong."""
    for problem in outcome.problems:
        sys.stderr.write(f"{outcome.moment} [{outcome.zone}; {outcome.left}]: {problem}\n")


def main() -> int:
    """Run the trials of the command line and print the histogram and the totals."""
    asking = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asking.add_argument("--trials", type=int, default=200)
    asking.add_argument("--others", type=int, default=60)
    asking.add_argument("--seed", type=int, default=7)
    asking.add_argument("--jobs", type=int, default=2)
    args = asking.parse_args()
    if tracing.missing():
        sys.stderr.write(tracing.missing() + "\n")
        return 6
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="autopilot-kills-") as folder:
        outcomes = run(Kills(Path(folder)), trials=args.trials, others=args.others, seed=args.seed, jobs=args.jobs)
    print(histogram(outcomes))
    print(f"seed {args.seed}, {time.monotonic() - started:.0f} s, " + summary(outcomes))
    return 1 if any(outcome.problems for outcome in outcomes) else 0


def summary(outcomes: list[Outcome]) -> str:
    """The totals in words."""
    found = figures(outcomes)
    return (
        f"{found['trials']} kills, {found['advance_phase']} of them of advance_phase; "
        f"between lock and acknowledgement: {found['between']} ({found['between_in_advance_phase']} of advance_phase); "
        f"left before the move {found['before']}, after it {found['after']}; acknowledged {found['acknowledged']}; "
        f"torn tails {found['torn']}; trials with a problem {found['problems']}"
    )


if __name__ == "__main__":
    sys.exit(main())
