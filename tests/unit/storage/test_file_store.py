"""The store in files: what is synced when, opening, segments, the hint, and what a crash left."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError, IntegrityError, StorageError
from autopilot.kernel.framing import frame
from autopilot.leases.records import Renew
from autopilot.leases.terms import Moment
from autopilot.ledger.entry import LeaseRef
from autopilot.storage.files.creation import Genesis, create_store
from autopilot.storage.files.hint import read_hint
from autopilot.storage.files.layout import SEGMENT_ENTRIES, StorePaths
from autopilot.storage.files.leases import COMPACT_RECORDS
from autopilot.storage.files.store import FileStore, StoreParts
from autopilot.storage.files.verify import verify_files
from autopilot.testing.clock import FakeClock
from autopilot.testing.contracts.ledger import AGENT, NOW, OTHER, a_draft, grant, hand_over
from autopilot.testing.files import FaultyFiles
from autopilot.testing.folds import TallyFold

Opener = Callable[..., FileStore]
GENESIS = Genesis(Caller("ops", "human"), "autopilot test")


def fill(store: FileStore, count: int) -> None:
    with store.transaction() as tx:
        for number in range(count):
            tx.append(a_draft(number), sync=False)
        tx.append(a_draft())


# --- one write, one sync


def test_an_append_is_one_write_and_one_sync(store: FileStore, opened: Opener) -> None:
    store.close()
    files = FaultyFiles()
    again = opened(files)
    with again.transaction() as tx:
        tx.append(a_draft())  # the first one after the genesis also syncs the names that the ledger was made with
    files.calls.clear()
    with again.transaction() as tx:
        tx.append(a_draft())
    assert files.calls == [("write", "0000000000000000.jsonl"), ("sync", "0000000000000000.jsonl")]


def test_a_grant_is_synced_in_the_lease_log_before_the_ledger_repeats_it(store: FileStore, opened: Opener) -> None:
    store.close()
    files = FaultyFiles()
    again = opened(files)
    files.calls.clear()
    with again.transaction() as tx:
        fence = grant(tx)
        assert [call for call in files.calls if call[0] != "sync_dir"] == [
            ("write", "leases.wal"),
            ("sync", "leases.wal"),
            ("write", "0000000000000000.jsonl"),
        ]
        files.calls.clear()
        held = tx.leases.held("T-1")
        assert held is not None
        tx.record_lease(Renew("T-1/PLAN", fence, held.granted_ns + 1000, held.deadline_ns + 1000))
        assert files.calls == [("write", "leases.wal")]


def test_a_new_object_costs_two_syncs(store: FileStore, opened: Opener) -> None:
    store.close()
    files = FaultyFiles()
    again = opened(files)
    files.calls.clear()
    again.objects.put(b"evidence")
    assert files.operations() == ["open", "write", "sync", "move", "sync_dir"]


def test_an_edited_object_is_found(store: FileStore) -> None:
    digest = store.objects.put(b"evidence")
    (store.paths.objects / digest[:2] / digest).write_bytes(b"edited")
    with pytest.raises(IntegrityError) as caught:
        store.objects.get(digest)
    assert caught.value.code == "evidence_edited"
    with pytest.raises(ContractError):
        store.objects.get("../../ledger/LEDGER.json")


# --- opening


def test_a_store_opens_where_it_was_left(store: FileStore, opened: Opener) -> None:
    with store.transaction() as tx:
        fence = grant(tx)
        last = tx.append(a_draft(lease=LeaseRef("T-1/PLAN", fence)))
    store.close()
    view = opened().view()
    assert view.head.hash == last.hash
    assert view.state["kinds"] == {"genesis": 1, "lease.granted": 1, "gate.verdict": 1}
    assert view.leases.fence_high("T-1") == fence


def test_readers_and_writers_see_one_anothers_lines(store: FileStore, opened: Opener) -> None:
    other = opened()
    for number in range(3):
        for one in (store, other):
            with one.transaction() as tx:
                tx.append(a_draft(number))
            assert store.view().head == other.view().head
    assert store.verify().entries == 7


@pytest.mark.parametrize("missing", ["LEDGER.json", "seg/0000000000000000.jsonl"])
def test_a_ledger_that_is_not_there_is_missing(store: FileStore, parts: StoreParts, missing: str) -> None:
    store.close()
    (store.paths.ledger / missing).unlink()
    with pytest.raises(IntegrityError) as caught:
        FileStore.open(parts)
    assert caught.value.code == "ledger_missing"
    assert verify_files(parts.state_dir).as_dict() == {"status": "corrupt", "reason": "missing", "seq": 0, "entries": 0}


def test_a_second_ledger_is_refused(store: FileStore, parts: StoreParts) -> None:
    with pytest.raises(ContractError) as caught:
        create_store(parts, GENESIS)
    assert caught.value.code == "ledger_exists"
    assert store.verify().intact


def test_a_creation_cut_short_is_taken_up_again(tmp_path: Path) -> None:
    """Fail after each operation of it in turn; the next run ends with one ledger of one line."""
    files = FaultyFiles()
    clean = StoreParts(tmp_path / "clean", TallyFold(), files, FakeClock())
    create_store(clean, GENESIS).close()
    totals = {
        name: files.operations().count(name) for name in ("open", "write", "sync", "move", "make_dir", "sync_dir")
    }
    for name, total in totals.items():
        for number in range(0, total, max(1, total // 8)):
            failing = FaultyFiles()
            failing.fail = {name: number}
            parts = StoreParts(tmp_path / f"{name}-{number}", TallyFold(), failing, FakeClock())
            with pytest.raises((StorageError, OSError)):
                create_store(parts, GENESIS)
            failing.fail = {}
            if StorePaths(parts.state_dir).identity.exists():
                store = FileStore.open(parts)
            else:
                store = create_store(parts, GENESIS)
            assert store.verify().entries == 1, (name, number)
            store.close()


def test_a_ledger_in_use_without_its_identity_is_not_a_beginning(store: FileStore, parts: StoreParts) -> None:
    fill(store, 2)
    store.close()
    store.paths.identity.unlink()
    with pytest.raises(IntegrityError) as caught:
        create_store(parts, GENESIS)
    assert caught.value.code == "ledger_missing"


def test_a_floor_above_the_ledger_is_a_loss(store: FileStore, opened: Opener) -> None:
    fill(store, 2)
    store.close()
    assert opened(floor=4).view().head.seq == 3
    with pytest.raises(IntegrityError) as caught:
        opened(floor=5)
    assert caught.value.code == "truncated"


# --- the hint


def test_the_hint_names_synced_lines_only(store: FileStore, parts: StoreParts) -> None:
    def hinted() -> int:
        hint = read_hint(store.paths.head, store.ledger_id)
        return -1 if hint is None else hint.seq

    clock = parts.clock
    assert isinstance(clock, FakeClock)
    with store.transaction() as tx:
        tx.append(a_draft())
    with store.transaction() as tx:
        tx.append(a_draft(), sync=False)
    assert hinted() == 1
    for _ in range(62):
        with store.transaction() as tx:
            tx.append(a_draft())
    assert hinted() == 1
    with store.transaction() as tx:
        tx.append(a_draft())
    assert hinted() == 65
    clock.advance(1)
    with store.transaction() as tx:
        tx.append(a_draft(), sync=False)
    assert hinted() == 65
    with store.transaction() as tx:
        tx.append(a_draft())
    assert hinted() == 67
    with store.transaction() as tx:
        tx.append(a_draft())
    with store.transaction() as tx:
        tx.append(a_draft(), sync=False)
    store.close()
    assert hinted() == 68


def test_an_older_hint_does_not_replace_a_newer_one(store: FileStore, opened: Opener) -> None:
    other = opened()
    with store.transaction() as tx:
        tx.append(a_draft())
        tx.append(a_draft())
    with store.transaction() as tx:
        tx.append(a_draft())
    fill(other, 5)
    other.close()
    store.close()
    hint = read_hint(store.paths.head, store.ledger_id)
    assert hint is not None
    assert hint.seq == 9


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 512, b"{}", b'{"check":"x","hint":{"ledger":"x","seq":9,"hash":"y"}}']
)
def test_an_unreadable_hint_counts_as_absent(store: FileStore, opened: Opener, content: bytes) -> None:
    fill(store, 2)
    store.close()
    store.paths.head.write_bytes(content)
    assert opened().view().head.seq == 3
    assert store.verify().intact


def test_a_full_disk_at_the_hint_takes_no_append_back(store: FileStore, opened: Opener) -> None:
    store.close()
    files = FaultyFiles()
    again = opened(files)
    again.view()
    files.fail = {"open": 0}
    with again.transaction() as tx:
        tx.append(a_draft())
    assert again.view().head.seq == 1


# --- torn tails


@pytest.mark.parametrize("torn", [b'{"h":"ab', bytes(700), b"x"])
def test_a_torn_tail_is_kept_cut_and_put_on_record(store: FileStore, opened: Opener, torn: bytes) -> None:
    fill(store, 2)
    store.close()
    segment = store.paths.segment(0)
    good = segment.read_bytes()
    segment.write_bytes(good + torn)
    again = opened()
    assert again.view().head.seq == 3
    assert segment.read_bytes() == good + torn, "a reader changes nothing"
    report = again.verify()
    assert (report.status, report.reason, report.seq) == ("corrupt", "torn_tail", 4)
    with again.transaction() as tx:
        assert tx.head.seq == 4
    (recovered,) = again.entries(4)
    (dropped,) = recovered.data["dropped"]
    assert (recovered.kind, recovered.data["cause"], dropped["bytes"]) == ("ledger.recovered", "torn_tail", len(torn))
    assert (store.paths.quarantine / dropped["name"]).read_bytes() == torn
    assert again.verify().intact


def test_a_tail_that_was_acknowledged_is_not_cut(store: FileStore, opened: Opener) -> None:
    fill(store, 2)
    store.close()
    segment = store.paths.segment(0)
    damaged = segment.read_bytes()[:-10]
    segment.write_bytes(damaged)
    with pytest.raises(IntegrityError) as caught:
        opened()
    assert caught.value.code == "truncated"
    assert segment.read_bytes() == damaged
    assert store.verify().reason == "torn_tail"


def test_a_tail_torn_under_a_running_store_is_mended_by_its_next_transaction(store: FileStore) -> None:
    fill(store, 2)
    with store.paths.segment(0).open("ab") as file:
        file.write(b'{"h":"')
    with store.transaction() as tx:
        assert tx.append(a_draft()).seq == 5
    assert [entry.kind for entry in store.entries(4)] == ["ledger.recovered", "gate.verdict"]


def test_a_ledger_cut_under_a_running_store_is_a_loss(store: FileStore) -> None:
    fill(store, 2)
    os.truncate(store.paths.segment(0), 100)
    with pytest.raises(IntegrityError) as caught, store.transaction():
        pass
    assert caught.value.code == "truncated"


def test_a_write_that_fails_half_way_leaves_nothing(store: FileStore, opened: Opener) -> None:
    """A full disk: the half line is taken back, and the store goes on when there is room again."""
    store.close()
    files = FaultyFiles()
    again = opened(files)
    files.fail, files.error, files.half = {"write": 0}, 28, True
    with pytest.raises(StorageError) as caught, again.transaction() as tx:
        tx.append(a_draft())
    assert caught.value.code == "disk_full"
    files.fail = {}
    with again.transaction() as tx:
        assert tx.append(a_draft()).seq == 1
    assert again.verify().entries == 2


def test_a_half_line_that_cannot_be_taken_back_is_a_torn_tail(store: FileStore, opened: Opener) -> None:
    store.close()
    files = FaultyFiles()
    again = opened(files)
    files.fail, files.half = {"write": 0, "truncate": 0}, True
    with pytest.raises(StorageError), again.transaction() as tx:
        tx.append(a_draft())
    files.fail = {}
    with again.transaction() as tx:
        assert tx.append(a_draft()).seq == 2
    assert [entry.kind for entry in again.entries(1)] == ["ledger.recovered", "gate.verdict"]


# --- poison


@pytest.mark.parametrize("log", ["ledger", "leases"])
def test_a_failed_sync_poisons_the_store_and_is_not_tried_again(store: FileStore, opened: Opener, log: str) -> None:
    store.close()
    files = FaultyFiles()
    first, second = opened(files), opened()
    files.fail = {"sync": 0}
    files.calls.clear()
    write = {"ledger": lambda tx: tx.append(a_draft()), "leases": grant}[log]
    with pytest.raises(StorageError) as failed, first.transaction() as tx:
        write(tx)
    assert failed.value.code == "sync_failed"
    assert files.operations().count("sync") == 1, "once for the line, and never again"
    files.fail = {}
    for refused in (
        lambda: first.transaction().__enter__(),
        lambda: second.transaction().__enter__(),
        second.view,
        opened,
    ):
        with pytest.raises(IntegrityError) as caught:
            refused()
        assert caught.value.code == "poisoned"
    assert second.verify().reason == "poisoned"


def test_a_sync_that_fails_while_a_segment_opens_poisons_too(store: FileStore, opened: Opener) -> None:
    fill(store, SEGMENT_ENTRIES - 2)
    store.close()
    files = FaultyFiles()
    again = opened(files)
    files.fail = {"sync_dir": 1}
    with pytest.raises(StorageError) as failed, again.transaction() as tx:
        tx.append(a_draft())
    assert failed.value.code == "sync_failed"
    with pytest.raises(IntegrityError):
        opened()


# --- segments


def test_segments_open_with_range_and_state(store: FileStore, opened: Opener) -> None:
    fill(store, 2 * SEGMENT_ENTRIES + 10)
    assert StorePaths(store.paths.state_dir).segment_starts() == [0, SEGMENT_ENTRIES, 2 * SEGMENT_ENTRIES]
    report = store.verify()
    assert (report.status, report.entries) == ("intact", 2 * SEGMENT_ENTRIES + 14)
    root, view = store.compact_range(), store.view()
    store.close()
    seen: list[int] = []
    folded = StoreParts(store.paths.state_dir, TallyFold(lambda entry: seen.append(entry.seq)))
    again = FileStore.open(folded)
    assert seen == list(range(2 * SEGMENT_ENTRIES, 2 * SEGMENT_ENTRIES + 14)), "only the last segment is read"
    assert again.view().state == view.state
    assert again.compact_range() == root
    with again.transaction() as tx:
        tx.append(a_draft())
    again.close()
    assert [entry.seq for entry in store.entries(SEGMENT_ENTRIES - 2, SEGMENT_ENTRIES + 2)] == list(
        range(SEGMENT_ENTRIES - 2, SEGMENT_ENTRIES + 2)
    )
    for first in (SEGMENT_ENTRIES, 2 * SEGMENT_ENTRIES):
        (opening,) = store.entries(first, first + 1)
        assert (opening.kind, opening.data["range"]["size"]) == ("segment.opened", first)


def test_another_process_follows_into_the_next_segment(store: FileStore, opened: Opener) -> None:
    other = opened()
    fill(store, SEGMENT_ENTRIES + 5)
    with other.transaction() as tx:
        assert tx.append(a_draft()).seq == SEGMENT_ENTRIES + 8
    assert store.view().head == other.view().head


def test_damage_to_segments_is_found(store: FileStore, parts: StoreParts) -> None:
    fill(store, 2 * SEGMENT_ENTRIES + 10)
    store.close()
    paths = store.paths
    second = paths.segment(SEGMENT_ENTRIES)
    content = second.read_bytes()
    lines = content.splitlines(keepends=True)

    def found() -> tuple[str | None, int]:
        report = verify_files(parts.state_dir)
        return report.reason, report.seq

    second.unlink()
    assert found() == ("missing", SEGMENT_ENTRIES)
    with pytest.raises(IntegrityError):
        FileStore.open(parts)
    second.write_bytes(b"".join(lines[:-1]))
    assert found() == ("missing", 2 * SEGMENT_ENTRIES - 1)
    second.write_bytes(content[:-4])
    assert found() == ("bad_json", 2 * SEGMENT_ENTRIES - 1)
    second.write_bytes(b"")
    assert found() == ("missing", SEGMENT_ENTRIES)
    opening = orjson.loads(lines[0])["r"]
    for changed in ({"range": {"size": SEGMENT_ENTRIES, "hashes": ["0" * 64]}}, {"range": {"size": 0, "hashes": []}}):
        second.write_bytes(frame(orjson.dumps({**opening, "data": {**opening["data"], **changed}})))
        assert found() == ("bad_link", SEGMENT_ENTRIES)
    second.write_bytes(content)
    assert found()[0] is None
    state = paths.objects / opening["data"]["state"]["sha256"][:2] / opening["data"]["state"]["sha256"]
    kept = state.read_bytes()
    state.write_bytes(kept + b" ")
    assert found() == ("missing", SEGMENT_ENTRIES)
    state.unlink()
    assert found() == ("missing", SEGMENT_ENTRIES)
    state.write_bytes(kept)
    paths.segment(2 * SEGMENT_ENTRIES).unlink()
    assert found() == ("truncated", 2 * SEGMENT_ENTRIES)


def test_a_segment_with_a_line_too_many_is_refused(store: FileStore, parts: StoreParts) -> None:
    """The chain would go on in it; the place of every line would not be known any more."""
    fill(store, SEGMENT_ENTRIES)
    store.close()
    following = store.paths.segment(SEGMENT_ENTRIES)
    with store.paths.segment(0).open("ab") as file:
        file.write(following.read_bytes())
    following.unlink()
    store.paths.head.unlink()
    assert verify_files(parts.state_dir).reason == "bad_link"
    with pytest.raises(IntegrityError):
        FileStore.open(parts)


def test_a_forged_state_object_does_not_open(store: FileStore, parts: StoreParts) -> None:
    fill(store, SEGMENT_ENTRIES)
    (opening,) = store.entries(SEGMENT_ENTRIES, SEGMENT_ENTRIES + 1)
    store.close()
    digest = opening.data["state"]["sha256"]
    (store.paths.objects / digest[:2] / digest).write_bytes(b'{"kinds":{},"last":0,"hash":""}')
    with pytest.raises(IntegrityError) as caught:
        FileStore.open(parts)
    assert caught.value.code == "evidence_edited"


# --- the lease log beside it


def test_lease_lines_that_a_crash_took_are_written_again(store: FileStore, opened: Opener) -> None:
    with store.transaction() as tx:
        tx.append(a_draft())
    size = store.paths.segment(0).stat().st_size
    with store.transaction() as tx:
        grant(tx)
        grant(tx, resource="T-1/THINK")
    store.close()
    lines = [entry.data for entry in store.entries(2)]
    # The lease log was synced, the ledger's repetition was not: a power loss takes the latter.
    os.truncate(store.paths.segment(0), size)
    again = opened()
    with again.transaction() as tx:
        tx.append(a_draft())
    assert [entry.data for entry in again.entries(2, 5)] == lines
    assert [entry.kind for entry in again.entries(2)] == [
        "lease.granted",
        "lease.released",
        "lease.granted",
        "gate.verdict",
    ]
    with again.transaction():
        pass
    assert again.verify().entries == 6


def test_a_hand_over_that_a_crash_took_is_made_again_from_its_line(store: FileStore, opened: Opener) -> None:
    with store.transaction() as tx:
        fence = grant(tx)
        hand_over(tx, fence)
    store.close()
    again = opened()
    with again.transaction() as tx:
        held = tx.leases.held("T-1")
        assert held is not None
        assert (held.resource, held.fence, held.holder.caller) == ("T-1/THINK", fence + 1, AGENT)
    records = again.view().leases.wal_seq
    again.close()
    third = opened()
    with third.transaction() as tx:
        assert tx.leases.wal_seq == records, "made again once"


def test_a_move_that_leaves_the_phase_free_is_made_again_too(store: FileStore, opened: Opener) -> None:
    with store.transaction() as tx:
        hand_over(tx, grant(tx), to=None)
    with store.transaction() as tx:
        assert tx.leases.held("T-1") is None
        assert grant(tx, OTHER) == 2


def test_a_lease_log_behind_the_ledger_is_refused(store: FileStore, opened: Opener) -> None:
    """An older copy put back would hand the same fence out twice."""
    with store.transaction() as tx:
        grant(tx)
    old = store.paths.leases.read_bytes()
    with store.transaction() as tx:
        grant(tx, resource="T-1/THINK")
        tx.append(a_draft())
    store.close()
    for content in (old, b""):
        store.paths.leases.write_bytes(content)
        with pytest.raises(IntegrityError) as caught, opened().transaction():
            pass
        assert caught.value.code == "lease_log_corrupt"


def test_a_missing_lease_log_is_refused(store: FileStore, parts: StoreParts) -> None:
    store.close()
    store.paths.leases.unlink()
    with pytest.raises(IntegrityError) as caught:
        FileStore.open(parts)
    assert caught.value.code == "lease_log_corrupt"


def test_a_damaged_lease_log_is_refused_and_found(store: FileStore, parts: StoreParts) -> None:
    with store.transaction() as tx:
        grant(tx)
        grant(tx, resource="T-1/THINK")
    store.close()
    content = store.paths.leases.read_bytes()
    store.paths.leases.write_bytes(content.replace(b'"fence":1', b'"fence":9', 1))
    with pytest.raises(IntegrityError) as caught:
        FileStore.open(parts)
    assert caught.value.code == "lease_log_corrupt"
    report = verify_files(parts.state_dir)
    assert (report.status, report.where) == ("corrupt", "leases.wal")
    store.paths.leases.write_bytes(b"".join(content.splitlines(keepends=True)[1:]))
    with pytest.raises(IntegrityError):
        FileStore.open(parts)


def test_a_torn_renewal_is_cut_and_put_on_record(store: FileStore, opened: Opener) -> None:
    with store.transaction() as tx:
        grant(tx)
    store.close()
    with store.paths.leases.open("ab") as file:
        file.write(b'{"h":"0')
    again = opened()
    with again.transaction() as tx:
        assert tx.leases.held("T-1") is not None
    (recovered,) = again.entries(2)
    assert (recovered.kind, recovered.data["log"]) == ("ledger.recovered", "leases")
    assert again.verify().intact


def test_a_long_lease_log_is_summed_up(store: FileStore, opened: Opener) -> None:
    """After compaction the book is the same, fences go on, other processes follow, and the ledger has every line."""
    other = opened()
    at = NOW
    with store.transaction() as tx:
        fence = grant(tx)
    for _ in range(COMPACT_RECORDS + 5):
        at = Moment(at.boot_ns + 1_000_000_000, at.boot_id)
        with store.transaction() as tx:
            tx.record_lease(Renew("T-1/PLAN", fence, at.boot_ns, at.boot_ns + 120_000_000_000))
    assert store.paths.leases.read_bytes().count(b"\n") < 20
    assert b'"snapshot"' in store.paths.leases.read_bytes()
    held = other.view().leases.held("T-1")
    assert held == store.view().leases.held("T-1")
    assert held is not None
    assert held.renewals == COMPACT_RECORDS + 5
    store.close()
    again = opened()
    with again.transaction() as tx:
        assert grant(tx, at=at) == fence + 1
    with other.transaction() as tx:
        tx.append(a_draft(lease=LeaseRef("T-1/PLAN", fence + 1)))
    assert again.verify().intact


def test_the_ledger_is_synced_before_the_lease_log_forgets(store: FileStore, opened: Opener) -> None:
    with store.transaction() as tx:
        fence = grant(tx)
        at = NOW
        for _ in range(COMPACT_RECORDS):
            at = Moment(at.boot_ns + 1_000_000_000, at.boot_id)
            tx.record_lease(Renew("T-1/PLAN", fence, at.boot_ns, at.boot_ns + 120_000_000_000))
    store.close()
    files = FaultyFiles()
    with opened(files).transaction():
        pass
    replaced = files.calls.index(("move", "leases.wal"))
    assert ("sync", "0000000000000000.jsonl") in files.calls[:replaced]
