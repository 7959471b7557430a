"""The power goes, or the disk fails, at every operation of the store: nothing that was told is lost.

The short tier tries every moment with a few contents of the disk; `soak` tries many, and cuts the power again while the
store recovers. A failure names seed and state; `AUTOPILOT_SEED` repeats it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from autopilot.storage.files import layout, leases, ledger, repair, verify
from autopilot.testing.power.disk import Cut, Disk, Made, Named, Synced, Written
from autopilot.testing.power.faults import Failing, fail_everywhere
from autopilot.testing.power.files import Bench
from autopilot.testing.power.mutations import objects_after_lines, sync_sites, without
from autopilot.testing.power.scenarios import CREATE, SCENARIOS
from autopilot.testing.power.trials import LossError, PowerTrials, Recording

SEED = int(os.environ.get("AUTOPILOT_SEED", "1"))
ALL = {scenario.name: scenario for scenario in (CREATE, *SCENARIOS)}
FAILING = (
    Failing(errno.EIO),
    Failing(errno.EIO, sticky=True),
    Failing(errno.ENOSPC, short=True),
    Failing(errno.ENOSPC, sticky=True, short=True),
)
SEGMENT, WAL, OBJECT = "state/ledger/seg/*.jsonl", "state/leases/leases.wal", "state/evidence/.objects/*/*"

NEEDED = {
    "sync_dir . in create_store": "create",
    "sync_dir state/ledger in create_store": "create",
    "sync_dir state/evidence/.objects in ObjectStore.prepare": "create",
    f"sync {SEGMENT} in _begin": "create",
    "sync_dir state/ledger/seg in _begin": "create",
    "sync_dir state/leases in RecordLog.create": "create",
    "sync state/ledger/LEDGER.json in create_store": "create",
    f"sync {SEGMENT} in SegmentLedger.append": "append",
    f"sync {SEGMENT} in SegmentLedger.roll": "append",
    "sync_dir state/ledger/seg in SegmentLedger.roll": "append",
    f"sync {OBJECT} in ObjectStore._create": "objects",
    "sync_dir state/evidence/.objects/* in ObjectStore._create": "objects",
    f"sync {OBJECT} in ObjectStore.settle": "objects",
    "sync_dir state/evidence/.objects/* in ObjectStore.settle": "objects",
    f"sync {WAL} in RecordLog.append": "move",
    f"sync {WAL} in RecordLog.sync": "roll",
    f"sync {SEGMENT} in SegmentLedger.sync": "leases",
    f"sync {WAL} in RecordLog.compact": "leases",
    "sync_dir state/leases in RecordLog.compact": "leases",
    "sync_dir state/ledger in quarantine": "recover-ledger",
    "sync state/ledger/quarantine/*-ledger-*.bin in quarantine": "recover-ledger",
    "sync_dir state/ledger/quarantine in quarantine": "recover-ledger",
    "sync state/ledger/quarantine/*-leases-*.bin in quarantine": "recover-leases",
    f"sync {SEGMENT} in _cut_ledger": "repair-damage",
    "sync_dir state/ledger/seg in _cut_ledger": "repair-poisoned",
}
"""Every sync without which something is lost, and a scenario that shows it."""

SPARE = {
    "sync_dir state in create_store": "the folder of the objects is made in the same one, and synced, later",
    "sync_dir state in ObjectStore.prepare": "what is lost of the folders is made again with the first object",
    "sync_dir state/evidence in ObjectStore.prepare": "as before",
    f"sync {WAL} in RecordLog.create": "the file is empty",
    "sync state/ledger/lock in create_store": "the file is empty",
    "sync state/leases/leases.previous in RecordLog.compact": "kept for a person, never read",
    f"sync {SEGMENT} in SegmentLedger._judge": "a tail that comes back is cut again, and the next line is synced",
    f"sync {WAL} in RecordLog._judge": "a tail that comes back is cut again",
    f"sync {WAL} in _mend_leases": "matters only after a sync that failed",
    "sync_dir state/leases in _mend_leases": "matters only after a sync that failed",
    "sync state/ledger/POISONED in repair": "that it is there says it all",
    "sync_dir state/ledger in repair": "what was cut is in quarantine under its line, and put on record from there",
}
"""Syncs whose loss costs nothing that was told, and why."""


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of eight lines and lease logs of five records, so that few operations come past every corner."""
    for module in (layout, ledger, verify, repair):
        monkeypatch.setattr(module, "SEGMENT_ENTRIES", 8)
    monkeypatch.setattr(leases, "COMPACT_RECORDS", 5)


@pytest.fixture
def trials(tmp_path: Path) -> Iterator[PowerTrials]:
    """Trials in a folder, from the seed."""
    made = PowerTrials(Bench(tmp_path / "disk"), SEED)
    yield made
    print(f"seed {made.seed}: {made.counts}")


# --- the disk itself


def test_the_disk_keeps_what_was_synced_and_nothing_else_for_sure() -> None:
    disk = Disk({"old": b"old"})
    for op in (Made(9, False), Named(0, "new", 9), Written(9, 0, b"x" * 1024), Cut(1, 1)):
        disk.apply(op)
    samples = [disk.after_loss(Random(number), number) for number in range(200)]
    assert samples[0] == {"old": b"old"}
    assert samples[1] == {"old": b"o", "new": b"x" * 1024}
    assert samples[2] == {"old": b"old", "new": b""}
    assert any(b"\0" in (one.get("new") or b"") for one in samples), "a block is missing"
    for op in (Synced(9, ""), Synced(0, ""), Synced(1, "")):
        disk.apply(op)
    assert disk.after_loss(Random(0), 0) == {"old": b"o", "new": b"x" * 1024}


def test_a_failed_sync_leaves_nothing_for_the_next_one() -> None:
    disk = Disk({"log": b""})
    for op in (Written(1, 0, b"line"), Synced(1, "", failed=True), Synced(1, "")):
        disk.apply(op)
    assert disk.live() == {"log": b"line"}
    assert disk.after_loss(Random(0), 0) == {"log": b""}


def first_of(recording: Recording) -> int:
    """Past the 256 equal folders that a creation makes: each look at one that did not come so far makes them anew."""
    return len(recording.ops) - 45 if recording.scenario is CREATE else 0


# --- power


@pytest.mark.parametrize("name", ALL)
def test_nothing_that_was_told_is_lost_with_the_power(trials: PowerTrials, name: str) -> None:
    recording = trials.record(ALL[name])
    trials.cut_everywhere(recording, 6, first=first_of(recording))
    assert trials.counts.states > 5


@pytest.mark.parametrize("name", ["recover-move"])
def test_nor_if_it_goes_again_while_the_store_recovers(trials: PowerTrials, name: str) -> None:
    trials.cut_everywhere(trials.record(ALL[name]), 4, nested=1)
    assert trials.counts.nested


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("name", ALL)
def test_nothing_is_lost_with_many_contents_and_a_second_loss(trials: PowerTrials, name: str, seed: int) -> None:
    trials.seed = seed
    trials.cut_everywhere(trials.record(ALL[name]), 12 if name == "create" else 60, nested=0 if name == "create" else 4)


# --- errors


@pytest.mark.parametrize("failing", FAILING, ids=str)
@pytest.mark.parametrize("name", ["move", "recover-both", "repair-poisoned"])
def test_no_error_of_the_disk_costs_what_was_told(trials: PowerTrials, name: str, failing: Failing) -> None:
    assert fail_everywhere(trials, trials.record(ALL[name]), failing, 1, every=7) > 1


@pytest.mark.soak
@pytest.mark.parametrize("failing", FAILING, ids=str)
@pytest.mark.parametrize("name", ALL)
def test_no_error_at_any_operation_costs_what_was_told(trials: PowerTrials, name: str, failing: Failing) -> None:
    assert fail_everywhere(trials, trials.record(ALL[name]), failing, 8, every=7 if name == "create" else 1) > 3


# --- what the trials are worth


def red(trials: PowerTrials, recording: Recording, samples: int) -> bool:
    """Whether the trials find something."""
    try:
        trials.cut_everywhere(recording, samples if recording.scenario is not CREATE else 6, first=first_of(recording))
    except LossError:
        return True
    return False


@pytest.mark.parametrize("site", NEEDED)
def test_every_needed_sync_is_missed(trials: PowerTrials, site: str) -> None:
    recording = trials.record(ALL[NEEDED[site]])
    assert site in sync_sites(recording)
    assert red(trials, without(recording, site), 12), "the sync is left out, and nothing is lost"


def test_objects_that_are_synced_after_their_line_are_missed(trials: PowerTrials) -> None:
    assert red(trials, objects_after_lines(trials.record(ALL["objects"])), 6)


def test_every_sync_is_needed_or_known_to_be_spare(trials: PowerTrials) -> None:
    found = {site for scenario in ALL.values() for site in sync_sites(trials.record(scenario))}
    assert found == NEEDED.keys() | SPARE.keys()


@pytest.mark.soak
@pytest.mark.parametrize("site", SPARE)
def test_a_spare_sync_is_not_missed(trials: PowerTrials, site: str) -> None:
    for scenario in ALL.values():
        recording = trials.record(scenario)
        if site in sync_sites(recording):
            assert not red(trials, without(recording, site), 12)
