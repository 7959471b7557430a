"""Repair: by a person only; what verifies is kept, the rest is in quarantine, and the ledger says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError, IntegrityError, RefusedError, StorageError
from autopilot.ledger.entry import LeaseRef
from autopilot.storage.files.layout import SEGMENT_ENTRIES
from autopilot.storage.files.repair import repair
from autopilot.storage.files.store import FileStore, StoreParts
from autopilot.storage.files.verify import verify_files
from autopilot.testing.contracts.ledger import AGENT, a_draft, grant
from autopilot.testing.files import FaultyFiles

Opener = Callable[..., FileStore]
OPERATOR = Caller("ada", "human")


def fill(store: FileStore, count: int) -> None:
    with store.transaction() as tx:
        for number in range(count):
            tx.append(a_draft(number), sync=False)
        tx.append(a_draft())


def test_objects_of_a_poisoned_store_are_written_anew(store: FileStore, opened: Opener, parts: StoreParts) -> None:
    """Red without `ObjectStore.renew`: a later sync of the folder says nothing of what an earlier one lost."""
    first = store.objects.put(b"one")
    damaged = store.objects.put(b"two")
    paths = [store.paths.objects / digest[:2] / digest for digest in (first, damaged)]
    paths[1].chmod(0o644)
    paths[1].write_bytes(b"another two")
    store.close()
    files = FaultyFiles()
    broken = opened(files)
    files.fail = {"sync_dir": 0}
    with pytest.raises(StorageError):
        broken.objects.put(b"three")
    inodes = [path.stat().st_ino for path in paths]
    clean = FaultyFiles()
    repair(replace(parts, files=clean), caller=OPERATOR, reason="disk replaced")
    assert ("sync_dir", first[:2]) in clean.calls
    assert [path.stat().st_ino != inode for path, inode in zip(paths, inodes, strict=True)] == [True, False]
    assert opened().objects.get(first) == b"one"
    assert paths[1].read_bytes() == b"another two"


def test_agents_do_not_repair_and_a_reason_is_due(store: FileStore, parts: StoreParts) -> None:
    with pytest.raises(RefusedError) as refused:
        repair(parts, caller=AGENT, reason="because")
    assert refused.value.code == "human_only"
    with pytest.raises(ContractError):
        repair(parts, caller=OPERATOR, reason=" ")
    assert store.verify().entries == 1


def test_a_poisoned_store_works_again_on_new_files(store: FileStore, opened: Opener, parts: StoreParts) -> None:
    fill(store, 3)
    store.close()
    files = FaultyFiles()
    broken = opened(files)
    files.fail = {"sync": 0}
    with pytest.raises(StorageError), broken.transaction() as tx:
        tx.append(a_draft())
    inodes = [path.stat().st_ino for path in (store.paths.segment(0), store.paths.leases)]
    report = repair(parts, caller=OPERATOR, reason="disk replaced")
    assert (report.cause, report.dropped, report.dropped_entries) == ("poisoned", (), 0)
    assert [path.stat().st_ino for path in (store.paths.segment(0), store.paths.leases)] != inodes
    again = opened()
    with again.transaction() as tx:
        tx.append(a_draft())
    (line,) = again.entries(report.seq, report.seq + 1)
    assert (line.kind, line.caller, line.data["reason"]) == ("ledger.recovered", OPERATOR, "disk replaced")
    assert again.verify().intact
    # The store that was open all the time follows.
    files.fail = {}
    assert broken.view().head == again.view().head


def test_a_repair_whose_sync_fails_leaves_the_store_poisoned(
    store: FileStore, opened: Opener, parts: StoreParts
) -> None:
    store.close()
    files = FaultyFiles()
    broken = opened(files)
    files.fail = {"sync": 0}
    with pytest.raises(StorageError), broken.transaction() as tx:
        tx.append(a_draft())
    for number in range(3):
        failing = FaultyFiles()
        failing.fail = {"sync": number}
        with pytest.raises(StorageError):
            repair(StoreParts(parts.state_dir, parts.fold, failing, parts.clock), caller=OPERATOR, reason="try")
        with pytest.raises(IntegrityError):
            opened()
    repair(parts, caller=OPERATOR, reason="now")
    assert opened().verify().intact


@pytest.mark.parametrize("index", [1, 5, 9])
def test_a_damaged_line_and_all_after_it_go_to_quarantine(
    store: FileStore, opened: Opener, parts: StoreParts, index: int
) -> None:
    fill(store, 8)
    store.close()
    segment = store.paths.segment(0)
    lines = segment.read_bytes().splitlines(keepends=True)
    rest = b"".join([lines[index].replace(b'"T-1"', b'"T-2"'), *lines[index + 1 :]])
    segment.write_bytes(b"".join(lines[:index]) + rest)
    report = repair(parts, caller=OPERATOR, reason="disk error")
    assert (report.entries, report.seq, report.dropped_entries) == (index, index, 10 - index)
    (dropped,) = report.dropped
    assert (store.paths.quarantine / dropped.name).read_bytes() == rest
    assert dropped.sha256 == sha256(rest).hexdigest()
    again = opened()
    assert again.verify().entries == index + 1
    (line,) = again.entries(index)
    assert line.data["dropped"] == [{"name": dropped.name, "bytes": len(rest), "sha256": dropped.sha256}]
    assert line.data["dropped_entries"] == 10 - index


def test_a_ledger_without_a_good_first_line_is_not_repaired(store: FileStore, parts: StoreParts) -> None:
    fill(store, 2)
    store.close()
    segment = store.paths.segment(0)
    content = segment.read_bytes().replace(b"genesis", b"genesiz")
    segment.write_bytes(content)
    with pytest.raises(IntegrityError):
        repair(parts, caller=OPERATOR, reason="try")
    assert segment.read_bytes() == content


@pytest.mark.parametrize("damage", ["second opens wrong", "second in the middle", "second missing", "state object"])
def test_segments_after_the_damage_go_to_quarantine(
    store: FileStore, opened: Opener, parts: StoreParts, damage: str
) -> None:
    fill(store, 2 * SEGMENT_ENTRIES + 10)
    (opening,) = store.entries(SEGMENT_ENTRIES, SEGMENT_ENTRIES + 1)
    store.close()
    paths = store.paths
    second, third = paths.segment(SEGMENT_ENTRIES), paths.segment(2 * SEGMENT_ENTRIES)
    last = third.read_bytes()
    lines = second.read_bytes().splitlines(keepends=True)
    kept = SEGMENT_ENTRIES
    if damage == "second opens wrong":
        second.write_bytes(b"".join([lines[0].replace(b'"size"', b'"sizE"'), *lines[1:]]))
    elif damage == "second in the middle":
        second.write_bytes(b"".join([*lines[:100], *lines[101:]]))
        kept = SEGMENT_ENTRIES + 100
    elif damage == "second missing":
        second.unlink()
    else:
        digest = opening.data["state"]["sha256"]
        (paths.objects / digest[:2] / digest).unlink()
    assert not verify_files(parts.state_dir).intact
    report = repair(parts, caller=OPERATOR, reason="disk error")
    assert report.entries == kept
    assert report.dropped_entries > 0
    assert any((paths.quarantine / dropped.name).read_bytes() == last for dropped in report.dropped)
    again = opened()
    # A ledger kept to the end of a segment goes on in a new one, which opens itself.
    assert again.verify().as_dict() == {
        "status": "intact",
        "reason": None,
        "seq": report.seq,
        "entries": report.seq + 1,
    }
    (line,) = again.entries(report.seq)
    assert line.kind == "ledger.recovered"


@pytest.mark.parametrize("damage", ["edited", "gone", "emptied"])
def test_a_lost_lease_log_starts_anew_with_the_ledgers_fences(
    store: FileStore, opened: Opener, parts: StoreParts, damage: str
) -> None:
    with store.transaction() as tx:
        grant(tx)
        grant(tx, resource="T-1/THINK")
        fence = grant(tx, resource="T-2/PLAN")
        tx.append(a_draft(task="T-2", lease=LeaseRef("T-2/PLAN", fence)))
    store.close()
    wal = store.paths.leases
    if damage == "gone":
        wal.unlink()
    else:
        wal.write_bytes(wal.read_bytes().replace(b'"fence":2', b'"fence":8') if damage == "edited" else b"")
    report = repair(parts, caller=OPERATOR, reason="lease log lost")
    assert report.dropped_entries == 0
    again = opened()
    with again.transaction() as tx:
        assert [tx.leases.fence_high(task) for task in ("T-1", "T-2")] == [2, 1]
        assert list(tx.leases.leases()) == []
        assert grant(tx) == 3
    assert again.verify().intact
    mirrored = [entry.data["wal_seq"] for entry in again.entries() if "wal_seq" in entry.data]
    assert mirrored == sorted(set(mirrored)), "numbers of lease records are not used twice"


def test_a_whole_store_comes_through_a_repair_unchanged(store: FileStore, opened: Opener, parts: StoreParts) -> None:
    with store.transaction() as tx:
        grant(tx)
        tx.append(a_draft())
    store.close()
    content, leases = store.paths.segment(0).read_bytes(), store.paths.leases.read_bytes()
    repair(parts, caller=OPERATOR, reason="to be sure")
    assert store.paths.segment(0).read_bytes().startswith(content)
    assert store.paths.leases.read_bytes() == leases
    assert opened().view().leases.held("T-1") is not None


def test_one_repair_at_a_time(store: FileStore, parts: StoreParts) -> None:
    """The second would lift a mark that is not the one it was called for: it is turned away, and nothing is touched."""
    fill(store, 2)

    class Interrupting(FaultyFiles):
        def remove(self, path: Path) -> None:
            if path.name == "POISONED":
                with pytest.raises(StorageError, match="another repair is under way"):
                    repair(parts, caller=OPERATOR, reason="in a hurry")
            super().remove(path)

    repair(replace(parts, files=Interrupting()), caller=OPERATOR, reason="disk replaced")
    assert store.verify().intact
    assert repair(parts, caller=OPERATOR, reason="once more").cause == "repair"
