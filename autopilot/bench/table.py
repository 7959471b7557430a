"""The table: every path beside its budget (`docs/reference/benchmarks.md`), measured in one run on one machine.

A budget is a bound on one figure: a ratio of medians, a median, a rate. A path without a budget is shown because it
explains another.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from autopilot.bench import paths, scale
from autopilot.bench.measure import Figures
from autopilot.storage.files.layout import SEGMENT_ENTRIES

MS = 1_000.0
THREADS = 16
PROCESSORS_MAX = 2


@dataclass(frozen=True, slots=True)
class Budget:
    """A bound: `on` says on which figure, `at_most` or `at_least` how much."""

    text: str
    on: Literal["ratio", "p50", "p99", "per_second"]
    at_most: float | None = None
    at_least: float | None = None

    def met_by(self, value: float) -> bool:
        """Whether `value` keeps to it."""
        low = self.at_least is None or value >= self.at_least
        return low and (self.at_most is None or value <= self.at_most)


APPEND = Budget("p50 <= 1.3 x floor", "ratio", at_most=1.3)
LEASE = Budget("p50 <= 1.4 x floor", "ratio", at_most=1.4)
ATTEST = Budget("p50 <= 3 x floor", "ratio", at_most=3)
NAMED = Budget("p50 <= 10 us", "p50", at_most=10)
SHELL = Budget("p50 <= 300 us", "p50", at_most=300)
MOVE = Budget("p50 <= 1.5 x floor", "ratio", at_most=1.5)
MOVE_CPU = Budget("p50 <= 250 us", "p50", at_most=250)
VERIFY = Budget(">= 200,000 entries/s", "per_second", at_least=200_000)
OPEN = Budget("p50 <= 40 ms", "p50", at_most=40 * MS)
CROWD = Budget("worst p99 <= 50 ms", "p99", at_most=50 * MS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table. Times in microseconds; `value` is the figure that the budget bounds."""

    path: str
    count: int
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None
    floor: str = ""
    floor_p50: float | None = None
    ratio: float | None = None
    per_second: float | None = None
    budget: str = ""
    met: bool | None = None
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The row as JSON holds it: times under their unit, figures to three digits behind the point."""
        shown = {key: round(value, 3) if isinstance(value, float) else value for key, value in asdict(self).items()}
        for key in ("p50", "p95", "p99", "floor_p50"):
            shown[f"{key}_us"] = shown.pop(key)
        return shown


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure, and where. `entries` is the length of the large ledger."""

    folder: Path
    rounds: int = 1000
    entries: int = 1_000_000
    said: Callable[[str], None] = field(default=lambda _: None)


def rows(plan: Plan) -> Iterator[Row]:
    """Measure path after path."""
    for about, measured in _MEASURES:
        plan.said(about)
        yield from measured(plan)


def timed(path: str, figures: Figures, floor: tuple[str, Figures] | None = None, budget: Budget | None = None) -> Row:
    """The row of a path: held against its floor if it has one, else against the clock."""
    ratio = None if floor is None or not floor[1].p50 else figures.p50 / floor[1].p50
    return Row(
        path=path,
        count=figures.count,
        p50=figures.p50,
        p95=figures.p95,
        p99=figures.p99,
        floor="" if floor is None else floor[0],
        floor_p50=None if floor is None else floor[1].p50,
        ratio=ratio,
        budget="" if budget is None else budget.text,
        met=None if budget is None else budget.met_by(ratio or 0.0 if budget.on == "ratio" else figures.p50),
    )


def _appends(plan: Plan) -> Iterator[Row]:
    found = paths.appends(plan.folder, plan.rounds)
    yield timed("ledger append, durable", found["append"], ("write + fdatasync", found["floor"]), APPEND)


def _leases(plan: Plan) -> Iterator[Row]:
    found = paths.leases(plan.folder, plan.rounds)
    for verb in ("acquire", "release"):
        yield timed(f"lease {verb}", found[verb], ("write + fdatasync", found[f"floor of {verb}"]), LEASE)


def _attestation(plan: Plan) -> Iterator[Row]:
    found = paths.attestation(plan.rounds)
    yield timed("attestation of a 32 KB prompt", found["attest"], ("SHA-256", found["floor"]), ATTEST)


def _guard(plan: Plan) -> Iterator[Row]:
    found = paths.guard(plan.folder, plan.rounds)
    yield timed("guard decision, named tool", found["named tool"], budget=NAMED)
    yield timed("guard decision, shell line", found["shell line"], budget=SHELL)
    yield timed("guard through the router, named tool", found["router: named tool"])
    yield timed("guard through the router, shell line", found["router: shell line"])


def _transitions(plan: Plan) -> Iterator[Row]:
    found = paths.transitions(plan.folder, plan.rounds)
    yield timed("full transition", found["move"], ("its 7 syncs, bare", found["floor"]), MOVE)
    found = paths.transitions_cpu(plan.folder, plan.rounds)
    yield timed("full transition, CPU, syncs stubbed", found["move"], ("its files, bare", found["floor"]), MOVE_CPU)
    yield timed("content rules of its two documents, CPU", paths.content_rules(plan.rounds)["rules"])


def _ledgers(plan: Plan) -> Iterator[Row]:
    large = scale.write_ledger(plan.folder / "large", plan.entries)
    tail = plan.entries % SEGMENT_ENTRIES
    small = scale.write_ledger(plan.folder / "small", SEGMENT_ENTRIES + tail)
    full = scale.write_ledger(plan.folder / "full", SEGMENT_ENTRIES)
    named = {"large": large, "small": small, "full": full}
    found = scale.opening(named, max(20, plan.rounds // 20))
    same = (f"{SEGMENT_ENTRIES + tail:,} entries", found["small"])
    yield timed(f"open a ledger of {plan.entries:,} entries", found["large"], same, OPEN)
    yield timed(f"open a ledger of {SEGMENT_ENTRIES:,} entries (a full segment)", found["full"], budget=OPEN)
    folder, of = large.state_dir, f"a ledger of {plan.entries:,} entries"
    for count in dict.fromkeys((1, min(PROCESSORS_MAX, os.cpu_count() or 1))):
        yield _verified(scale.alone(partial(scale.verification, processors=count), folder), count)
    yield _alone(f"open and append to {of}, process and all", scale.alone(scale.open_and_append, folder))
    yield _alone(f"verify and prove a line of {of}", scale.alone(scale.prove_line, folder, plan.entries // 2))


def _verified(taken: scale.Alone, processors: int) -> Row:
    checked: scale.Verified = taken.result
    budget = VERIFY if processors == 1 else None
    return Row(
        path=f"ledger verify, {checked.entries:,} entries, {processors} processor{'s' * (processors > 1)}",
        count=1,
        p50=checked.seconds * MS * MS,
        per_second=checked.per_second,
        budget="" if budget is None else budget.text,
        met=None if budget is None else checked.intact and budget.met_by(checked.per_second),
        note=f"{'intact' if checked.intact else 'NOT INTACT'}, {_megabytes(taken)}",
    )


def _alone(path: str, taken: scale.Alone) -> Row:
    return Row(path=path, count=1, p50=taken.seconds * MS * MS, note=_megabytes(taken))


def _megabytes(taken: scale.Alone) -> str:
    return f"peak {taken.peak_bytes / 1e6:.0f} MB"


def _threads(plan: Plan) -> Iterator[Row]:
    figures, per_second, syncs = scale.threads(plan.folder / "threads", plan.rounds, THREADS)
    yield Row(
        path=f"{THREADS} threads of one process appending",
        count=figures.count,
        p50=figures.p50,
        p95=figures.p95,
        p99=figures.p99,
        note=f"{per_second:,.0f} lines/s, {syncs} syncs for {figures.count} lines",
    )


def _crowd(plan: Plan) -> Iterator[Row]:
    found = scale.crowd(plan.folder / "crowd", plan.rounds)
    worst = max(found.each, key=lambda figures: figures.p99)
    yield Row(
        path=f"{scale.PROCESSES} processes appending, the worst of them",
        count=sum(figures.count for figures in found.each),
        p50=worst.p50,
        p95=worst.p95,
        p99=worst.p99,
        budget=CROWD.text,
        met=found.whole and CROWD.met_by(worst.p99),
        note=f"one chain of {found.entries:,} entries" if found.whole else "LINES LOST",
    )


_MEASURES: tuple[tuple[str, Callable[[Plan], Iterator[Row]]], ...] = (
    ("ledger append", _appends),
    ("leases", _leases),
    ("attestation", _attestation),
    ("guard", _guard),
    ("full transition", _transitions),
    ("large ledgers: written once, then opened and verified", _ledgers),
    ("sixteen threads", _threads),
    ("eight processes", _crowd),
)
