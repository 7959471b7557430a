"""The whole engine, simulated: a row of the long tier only, for it has short tests of its own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from autopilot.testing.power.trials import LossError
from autopilot.testing.simulation.run import run
from crash.plan.counting import Ask, Tried

STEPS = 200


def trials(ask: Ask) -> Iterator[Tried]:
    """Run after run, each from its own seed; every rule is checked after every step."""
    for seed in count(ask.seed):
        folder = ask.folder / f"simulation-{seed}"
        folder.mkdir()
        outcome = run(folder, seed=seed, steps=STEPS)
        if outcome.broken:
            raise LossError(f"seed {seed}, {STEPS} steps: {outcome.broken}")
        yield Tried(outcome.steps)
