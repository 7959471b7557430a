"""The simulated disk, and what the trials on it are worth: each sync of the store, left out, must be missed.

The sweep itself over all scenarios is the plan's (`tests/acceptance/crash/test_plan.py`, T2 and T3). A failure names
seed and state; `AUTOPILOT_SEED` repeats it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from autopilot.storage.files import checkpoints, layout, leases, ledger, repair, verify
from autopilot.testing.power.disk import Cut, Disk, Made, Named, Synced, Written
from autopilot.testing.power.faults import Failing, fail_everywhere
from autopilot.testing.power.files import Bench
from autopilot.testing.power.kills import cut_and_killed, kill_everywhere, killed
from autopilot.testing.power.mutations import objects_after_lines, sync_sites, without
from autopilot.testing.power.scenarios import CREATE, SCENARIOS
from autopilot.testing.power.trials import LossError, PowerTrials, Recording
from autopilot.wiring import packs

SEED = int(os.environ.get("AUTOPILOT_SEED", "1"))
ALL = {scenario.name: scenario for scenario in (CREATE, *SCENARIOS)}
UNMARKED = (
    Failing(errno.ENOSPC, sticky=True, short=True, allocating=True, dies=True),
    Failing(errno.EIO, times=2, dies=True),
)
SEGMENT, WAL, OBJECT = "state/ledger/seg/*.jsonl", "state/leases/leases.wal", "state/evidence/.objects/*/*"

NEEDED = {
    "sync_dir . in _make_folders": "create",
    "sync_dir state in _make_folders": "create",
    "sync_dir state/ledger in _make_folders": "create",
    "sync_dir state/evidence in _make_folders": "create",
    "sync_dir state/ledger in create_store": "create",
    "sync_dir state/evidence/.objects in ObjectStore.prepare": "create",
    f"sync {SEGMENT} in _begin": "create",
    "sync_dir state/ledger/seg in _begin": "create",
    "sync_dir state/leases in RecordLog.create": "create",
    "sync state/ledger/LEDGER.json in create_store": "create",
    f"sync {SEGMENT} in Commit._sync_apart": "append",
    f"sync {SEGMENT} in SegmentLedger.roll": "append",
    "sync_dir state/ledger/seg in SegmentLedger.roll": "append",
    f"sync {OBJECT} in ObjectStore._create": "objects",
    "sync_dir state/evidence/.objects/* in ObjectStore._create": "objects",
    f"sync {OBJECT} in ObjectStore.settle": "objects",
    "sync_dir state/evidence/.objects/* in ObjectStore.settle": "objects",
    f"sync {WAL} in RecordLog.append": "move",
    f"sync {WAL} in RecordLog.sync": "roll",
    f"sync {SEGMENT} in Commit.settle": "leases",
    f"sync {WAL} in RecordLog.compact": "leases",
    "sync_dir state/leases in RecordLog.compact": "leases",
    "sync_dir state/ledger in quarantine": "recover-ledger",
    "sync state/ledger/quarantine/*-ledger-*.bin in quarantine": "recover-ledger",
    "sync_dir state/ledger/quarantine in quarantine": "recover-ledger",
    "sync state/ledger/quarantine/*-leases-*.bin in quarantine": "recover-leases",
    f"sync {SEGMENT} in SegmentLedger._judge": "recover-move",
    f"sync {WAL} in RecordLog._judge": "recover-renew",
    f"sync {SEGMENT} in _cut_ledger": "repair-damage",
    "sync_dir state/ledger/seg in _cut_ledger": "repair-poisoned",
    f"sync {WAL} in _mend_leases": "repair-unsynced",
    "sync_dir state/leases in _mend_leases": "repair-unsynced",
    f"sync {OBJECT} in ObjectStore.renew": "repair-poisoned",
    "sync state/ledger/POISONED in _repair": "repair-damage",
    "sync_dir state/ledger in _repair": "repair-poisoned",
    "sync state/keys/*.key in write_secret": "checkpoint",
    "sync_dir state in KeyRing._make_folder": "checkpoint",
    "sync_dir state/keys in KeyRing.create": "checkpoint",
    "sync state/keys/*.vkey in KeyRing.create": "checkpoint",
    "sync_dir state/ledger in CheckpointFiles.keep": "checkpoint",
    "sync state/ledger/checkpoints/*.note in CheckpointFiles.keep": "checkpoint",
    "sync_dir state/ledger/checkpoints in CheckpointFiles.keep": "checkpoint",
}
"""Every sync without which something is lost, and a scenario that shows it."""

NEEDED_AFTER_KILL = {
    "sync_dir state/ledger/seg in SegmentLedger._settle_names": ("append", 20),
    "sync_dir state/ledger in SegmentLedger._settle_names": ("create", 268),
    "sync_dir state/leases in RecordLog.sync_name": ("recover-leases", 15),
}
"""Syncs of what a killed program made and did not come to sync: the scenario, and about when it is killed."""

NOT_SHOWN = {"sync_dir state/evidence/.objects/* in ObjectStore.renew"}
"""Needed where the system holds for stored what it lost of an object: no scenario here brings that about."""


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of eight lines and lease logs of five records, so that few operations come past every corner."""
    for module in (layout, ledger, verify, repair, checkpoints, packs):
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


# --- power, kills, errors


@pytest.mark.parametrize(("name", "first"), [("create", 266), ("append", 0), ("recover-leases", 0), ("rotate-key", 0)])
def test_what_a_killed_program_made_is_synced_by_the_next(trials: PowerTrials, name: str, first: int) -> None:
    assert kill_everywhere(trials, ALL[name], 2, every=4 if first == 0 else 1, first=first) > 5


@pytest.mark.parametrize("name", ["append", "leases"])
def test_a_cut_whose_maker_was_killed_is_recorded_by_a_program_that_was_open(trials: PowerTrials, name: str) -> None:
    assert cut_and_killed(trials, ALL[name]) > 5


@pytest.mark.parametrize("failing", UNMARKED, ids=str)
def test_the_next_program_knows_of_a_failed_sync_though_the_mark_was_hard_to_make(
    trials: PowerTrials, failing: Failing
) -> None:
    assert fail_everywhere(trials, trials.record(ALL["append"]), failing, 1, every=3) > 3


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
    assert red(trials, without(recording, site), 40 if "_judge" in site else 12), (
        "the sync is left out, and nothing is lost"
    )


def test_objects_that_are_synced_after_their_line_are_missed(trials: PowerTrials) -> None:
    assert red(trials, objects_after_lines(trials.record(ALL["objects"])), 6)


@pytest.mark.parametrize("site", NEEDED_AFTER_KILL)
def test_every_sync_of_what_a_killed_program_made_is_missed(trials: PowerTrials, site: str) -> None:
    name, first = NEEDED_AFTER_KILL[site]
    image, told = trials.prepared(ALL[name])
    start = Recording(ALL[name], image, (), told, len(told))
    for at in range(first, first + 20):
        found = killed(trials, start, at)
        if found is None or site not in sync_sites(found.recording):
            continue
        run = without(found.recording, site)
        try:
            trials.cut_everywhere(run, 6, label=f"killed at {at}", first=len(run.ops) - 2)
        except LossError:
            return
    pytest.fail("the sync is left out, and nothing is lost")


def test_every_sync_is_known(trials: PowerTrials) -> None:
    found = {site for scenario in ALL.values() for site in sync_sites(trials.record(scenario))}
    assert found | NEEDED_AFTER_KILL.keys() == NEEDED.keys() | NEEDED_AFTER_KILL.keys() | NOT_SHOWN
