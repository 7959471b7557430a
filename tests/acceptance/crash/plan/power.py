"""T2 and the simulated half of T3: power cuts, kills and failing disks at every operation of every scenario."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from itertools import count
from random import Random

from autopilot.storage.files import checkpoints, layout, leases, ledger, repair, verify
from autopilot.testing.power.faults import Failing, fail_everywhere
from autopilot.testing.power.files import Bench
from autopilot.testing.power.kills import cut_and_killed, kill_everywhere
from autopilot.testing.power.scenarios import CREATE, SCENARIOS
from autopilot.testing.power.trials import PowerTrials, Scenario
from autopilot.wiring import packs
from crash.plan.counting import Ask, Tried

ALL = (*SCENARIOS, CREATE)
CREATED_OPS = 265
"""About how many operations make the folders of a new store, all alike."""
FAILING = (
    *(
        Failing(error, sticky)
        for error in (errno.EIO, errno.ENOSPC, errno.EINTR, errno.EACCES)
        for sticky in (False, True)
    ),
    *(Failing(errno.EIO, sticky, short=True) for sticky in (False, True)),
    Failing(errno.ENOSPC, sticky=True, short=True, allocating=True, dies=True),
    Failing(errno.EIO, times=2, dies=True),
)


@contextlib.contextmanager
def small() -> Iterator[None]:
    """Segments of eight lines and lease logs of five records, so that few operations come past every corner."""
    modules = (layout, ledger, verify, repair, checkpoints, packs)
    before = layout.SEGMENT_ENTRIES, leases.COMPACT_RECORDS
    try:
        for module in modules:
            module.SEGMENT_ENTRIES = 8  # type: ignore[attr-defined]
        leases.COMPACT_RECORDS = 5
        yield
    finally:
        for module in modules:
            module.SEGMENT_ENTRIES = before[0]  # type: ignore[attr-defined]
        leases.COMPACT_RECORDS = before[1]


def cuts(ask: Ask) -> Iterator[Tried]:
    """Cut and kill. Long: more contents of the disk, a second cut while the store recovers, seed after seed."""
    with small():
        for seed in count(ask.seed):
            trials = PowerTrials(Bench(ask.folder / "t2"), seed, until=ask.until)
            for scenario in Random(f"T2:{seed}").sample(ALL, len(ALL)):
                yield from _cut(trials, scenario, ask)
            if not ask.long:
                return


def _cut(trials: PowerTrials, scenario: Scenario, ask: Ask) -> Iterator[Tried]:
    recording = trials.record(scenario)
    made = scenario is CREATE
    first = max(0, len(recording.ops) - 25) if made else 0
    trials.cut_everywhere(
        recording, (12 if made else 40) if ask.long else 6, nested=0 if made or not ask.long else 3, first=first
    )
    yield _taken(trials)
    if not made and (ask.long or scenario.name == "recover-move"):
        trials.cut_everywhere(recording, 4, nested=1, label=f"{scenario.name} twice")
        yield _taken(trials)
    kill_everywhere(
        trials, scenario, 6 if ask.long else 2, every=1 if ask.long else 9, first=CREATED_OPS if made else 0
    )
    yield _taken(trials)
    if scenario.name in ("append", "leases"):
        cut_and_killed(trials, scenario)
        yield _taken(trials)


def _taken(trials: PowerTrials) -> Tried:
    """What was tried since the last time."""
    counts = trials.counts
    taken = Tried(counts.states, counts.mended)
    counts.states = counts.mended = 0
    return taken


def errors(ask: Ask) -> Iterator[Tried]:
    """Let operations fail. Short: every so many of them; long: each, with more power cuts after, seed after seed."""
    random = Random(f"T3:{ask.seed}")
    with small():
        for seed in count(ask.seed):
            trials = PowerTrials(Bench(ask.folder / "t3"), seed, until=ask.until)
            for scenario in random.sample(SCENARIOS, len(SCENARIOS)):
                recording = trials.record(scenario)
                for failing in FAILING if ask.long else random.sample(FAILING, 2):
                    losses, every = (4, 1) if ask.long else (1, 31)
                    runs = fail_everywhere(trials, recording, failing, losses, every=every)
                    taken = _taken(trials)
                    yield Tried(runs + taken.states, taken.refused)
            if not ask.long:
                return
