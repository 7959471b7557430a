"""The simulation from the command line; `--help` says how."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from autopilot.testing.simulation.plants import PLANTS
from autopilot.testing.simulation.run import Outcome, run


def main(words: list[str] | None = None) -> int:
    """Run; 0 if no rule was broken (or, with a plant, if one was), 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m autopilot.testing.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="so many seeds, one after the other")
    parser.add_argument("--steps", type=int, default=400, help="calls in each run")
    parser.add_argument("--plant", default="", choices=["", *PLANTS], help="put this bug in, and look for it")
    parser.add_argument("--tally", action="store_true", help="say how often what happened")
    given = parser.parse_args(words)
    total: Counter[str] = Counter()
    for seed in range(given.seed, given.seed + given.seeds):
        outcome = once(seed, given.steps, given.plant)
        total += outcome.tally
        say(told(outcome))
        if outcome.broken:
            say(f"  {outcome.broken}\n  again: {replay(outcome, given.steps, given.plant)}")
            break
    if given.tally:
        say("\n".join(f"{count:8} {name}" for name, count in sorted(total.items())))
    return int(bool(outcome.broken) != bool(given.plant))


def once(seed: int, steps: int, plant: str = "") -> Outcome:
    """One run in a folder that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="simulation-") as folder:
        return run(Path(folder), seed=seed, steps=steps, plant=plant)


def told(outcome: Outcome) -> str:
    """A run in one line."""
    end = "a rule was broken" if outcome.broken else "every rule held"
    return (
        f"seed {outcome.seed}: {outcome.steps} steps, {outcome.lines} lines, {outcome.moves} moves, "
        f"head {outcome.head[:16]}: {end}"
    )


def replay(outcome: Outcome, steps: int, plant: str = "") -> str:
    """The command that repeats the run."""
    planted = f" --plant {plant}" if plant else ""
    return f"python -m autopilot.testing.simulation --seed {outcome.seed} --steps {steps}{planted}"


def say(text: str) -> None:
    """A line on standard output."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
