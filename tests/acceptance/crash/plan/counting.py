"""What the trials of the plan give back, and the table they are counted in.

A trial is one step of a generator: it raises LossError where something that was acknowledged did not survive, or where
what should have been refused was not. The same item, seed and tier give the same trials in the same order, so that a
failing one is repeated by its line in the report.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from autopilot.testing.power.trials import LossError


@dataclass(frozen=True, slots=True)
class Tried:
    """States that were tried in one step, and in how many of them the store refused as it should."""

    states: int = 1
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """Where to try, from which seed, and whether until somebody says stop: then the trials are drawn and do not end."""

    folder: Path
    seed: int
    long: bool = False
    until: float = inf
    """The monotonic time at which a long step may stop half way."""


Trials = Callable[[Ask], Iterator[Tried]]


@dataclass(frozen=True, slots=True)
class Item:
    """One row of the plan. `skip` says why it cannot be tried on this machine, "" if it can."""

    name: str
    about: str
    trials: Trials
    skip: Callable[[], str] = lambda: ""


@dataclass(slots=True)
class Row:
    """What came of an item."""

    name: str
    about: str
    seed: int
    states: int = 0
    refused: int = 0
    seconds: float = 0.0
    lost: list[str] = field(default_factory=list)
    skipped: str = ""

    def as_dict(self) -> dict[str, object]:
        """For a test report, which carries plain values only."""
        return {name: getattr(self, name) for name in self.__slots__}


def count(item: Item, ask: Ask) -> Row:
    """Run the item's trials to their end, or until `ask.until`; a loss ends them."""
    row = Row(item.name, item.about, ask.seed, skipped=item.skip())
    started = time.monotonic()
    if not row.skipped:
        try:
            for tried in item.trials(ask):
                row.states += tried.states
                row.refused += tried.refused
                if time.monotonic() >= ask.until:
                    break
        except LossError as loss:
            row.lost.append(f"{loss}\n  again: {replay(item, ask)}")
    row.seconds = time.monotonic() - started
    return row


def replay(item: Item, ask: Ask) -> str:
    """The command that runs the same trials."""
    tier = "--minutes 60" if ask.long else "--short"
    return f"python tests/acceptance/crash/plan/run.py --only {item.name} --seed {ask.seed} {tier}"


def table(rows: list[Row]) -> str:
    """The rows for people."""
    lines = [f"{'':4} {'what':58} {'states':>9} {'lost':>5} {'refused':>8} {'seed':>6} {'seconds':>8}"]
    for row in rows:
        if row.skipped:
            lines.append(f"{row.name:4} {row.about:58} not tried: {row.skipped}")
            continue
        figures = f"{row.states:9} {len(row.lost):5} {row.refused:8} {row.seed:6} {row.seconds:8.1f}"
        lines.append(f"{row.name:4} {row.about:58} {figures}")
    lines += [f"{row.name}: {lost}" for row in rows for lost in row.lost]
    return "\n".join(lines)
