"""Calls that are interrupted while they wait, processes that fork, and lines whose writer was killed before a sync."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from autopilot.kernel.errors import StorageError
from autopilot.ledger.anchoring import roots_at
from autopilot.ledger.entry import Draft
from autopilot.storage.files import store as file_store
from autopilot.storage.files.checkpoints import scan
from autopilot.storage.files.creation import create_store
from autopilot.storage.files.lock import StoreLock
from autopilot.storage.files.store import FileStore, StoreParts
from autopilot.storage.files.turn import Turn
from autopilot.testing.clock import FakeClock
from autopilot.testing.contracts.ledger import a_draft, grant
from autopilot.testing.folds import TallyFold
from autopilot.wiring.checkpoints import CheckpointDesk
from tests.unit.storage.conftest import GENESIS, HUMAN, UnsyncedFiles
from tests.unit.storage.test_group_commit import WAIT_SECONDS, Calls, HeldFiles, append, until, written

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Ctrl-C interrupts here, also where the tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class WatchedFiles(UnsyncedFiles):
    """Names the files that are synced."""

    def __init__(self) -> None:
        self.synced: list[str] = []

    def sync(self, descriptor: int) -> None:
        self.synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)


@pytest.fixture
def files() -> HeldFiles:
    """A disk that can be held up."""
    return HeldFiles()


@pytest.fixture
def held(tmp_path: Path, files: HeldFiles) -> Iterator[FileStore]:
    """A store on it, with a line."""
    store = create_store(StoreParts(tmp_path / "state", TallyFold(), files, FakeClock()), GENESIS)
    append(store)
    yield store
    files.held = False
    store.close()


def in_child(call: Callable[[], object]) -> int:
    """Make the call in a forked child; its process id. It ends with 0 if that went well."""
    child = os.fork()
    if child:
        return child
    try:
        call()
    except BaseException:  # noqa: BLE001 - a child must not go on as the test
        os._exit(1)
    os._exit(0)


def ended(child: int) -> int:
    """How the child ended."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def press_ctrl_c() -> None:
    """Interrupt the main thread where it waits: a signal that comes just before it begins to would not wake it."""
    time.sleep(0.2)
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def interrupt_when(holds: Callable[[], bool]) -> None:
    """Press Ctrl-C once it is so, and the call of the main thread that brings it about waits."""

    def press() -> None:
        until(holds)
        time.sleep(0.05)
        press_ctrl_c()

    threading.Thread(target=press, daemon=True).start()


def lost_line(store: FileStore, *drafts: Draft) -> None:
    """Another process writes the lines, and is killed before their sync."""

    def write() -> None:
        other = FileStore.open(StoreParts(store.paths.state_dir, TallyFold(), UnsyncedFiles(), FakeClock()))
        with other.transaction() as tx:
            for draft in drafts or (a_draft(),):
                tx.append(draft)
            os._exit(9)

    assert ended(in_child(write)) == 9


# --- forks


def test_a_child_that_is_forked_in_a_sync_has_no_part_in_its_parents_hold(
    held: FileStore, files: HeldFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, before = Calls(), written(held)
    files.held = True
    calls.start("first", lambda: append(held))
    assert files.begun.acquire(timeout=WAIT_SECONDS)

    def try_to_write() -> None:
        files.held = False
        with monkeypatch.context() as changed:
            changed.setattr(file_store, "LOCK_WAIT_SECONDS", 0.2)
            try:
                append(held)
            except StorageError as error:
                os._exit(7 if error.code == "lock_timeout" else 1)

    assert ended(in_child(try_to_write)) == 7
    assert written(held) == before + 1
    files.go.release()
    assert calls.end() == {"first": 2}
    files.held = False
    assert ended(in_child(lambda: append(held))) == 0
    assert append(held) == 4
    assert held.verify().intact


def test_a_child_leaves_its_parents_transaction_alone(held: FileStore) -> None:
    with held.transaction() as tx:
        tx.append(a_draft())

        def go_on() -> None:
            with pytest.raises(RuntimeError):
                tx.append(a_draft())
            tx.__exit__(None, None, None)

        assert ended(in_child(go_on)) == 0
        other = StoreLock(held.paths.lock, 0.1)
        with pytest.raises(StorageError), other.held():
            pass
        other.close()
        assert tx.append(a_draft()).seq == 3
    assert append(held) == 4
    assert held.verify().intact


def test_a_child_does_not_keep_its_dead_parents_lock(tmp_path: Path) -> None:
    path, (asleep, awake) = tmp_path / "lock", os.pipe()

    def killed_with_the_lock() -> None:
        lock = StoreLock(path, 5)
        with lock.held():
            pass
        in_child(lambda: (os.close(awake), os.read(asleep, 1)))
        lock.acquire()
        os._exit(9)

    assert ended(in_child(killed_with_the_lock)) == 9
    lock = StoreLock(path, 0.2)
    with lock.held():
        pass
    lock.close()
    os.close(awake)
    os.close(asleep)


# --- interruptions


def test_an_interrupted_wait_for_the_disk_gives_no_turn_back_that_another_has(
    held: FileStore, files: HeldFiles
) -> None:
    calls, deciding, go_on = Calls(), threading.Event(), threading.Event()

    def decide() -> int:
        with held.transaction() as tx:
            deciding.set()
            assert go_on.wait(WAIT_SECONDS)
            assert held._threads._lock.locked()
            return tx.append(a_draft()).seq

    files.held = True
    before = written(held)
    calls.start("first", lambda: append(held))
    assert files.begun.acquire(timeout=WAIT_SECONDS)

    def press() -> None:
        until(lambda: written(held) == before + 2)
        calls.start("deciding", decide)
        assert deciding.wait(WAIT_SECONDS)
        press_ctrl_c()
        time.sleep(0.1)
        calls.start("next", lambda: append(held))
        time.sleep(0.1)
        assert written(held) == before + 2, "two are inside at once"
        go_on.set()
        for _ in range(12):
            files.go.release()

    calls.start("press", press)
    with pytest.raises(KeyboardInterrupt):
        append(held)
    assert sorted(result for result in calls.end().values() if result is not None) == [2, 4, 5]
    files.held = False
    assert append(held) == 6
    assert (held._commit.inside, held._hold) == (0, None), "the lock is given back"
    assert held.verify().intact


def test_an_interrupted_wait_for_the_turn_leaves_no_dead_place() -> None:
    turn = Turn()
    turn.acquire()
    interrupt_when(lambda: bool(turn._queue))
    with pytest.raises(KeyboardInterrupt):
        turn.acquire()
    turn.release()
    assert turn.acquire(0.1), "it was handed to nobody"


def test_a_turn_that_has_to_be_had_is_had_though_interrupted() -> None:
    turn = Turn()
    turn.acquire()
    interrupt_when(lambda: bool(turn._queue))
    threading.Timer(0.3, turn.release).start()
    with pytest.raises(KeyboardInterrupt):
        turn.retake()
    assert not turn.acquire(0), "it is ours"
    turn.release()
    assert turn.acquire(0)


def test_an_interrupted_wait_for_the_lock_file_does_not_take_it_later(tmp_path: Path) -> None:
    holder, waiting = StoreLock(tmp_path / "lock", 5), StoreLock(tmp_path / "lock", 5)
    hold = holder.acquire()
    interrupt_when(lambda: True)
    with pytest.raises(KeyboardInterrupt):
        waiting.acquire()
    holder.release(hold)
    with holder.held():
        pass
    holder.close()
    waiting.close()


def test_a_line_that_was_written_as_the_interruption_came_is_in_the_state(
    held: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(entry: Any, *, sync: bool) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as changed:
        changed.setattr(held._commit, "add", interrupted)
        with pytest.raises(KeyboardInterrupt), held.transaction() as tx:
            tx.append(a_draft())
    assert append(held) == 3
    other = FileStore.open(StoreParts(held.paths.state_dir, TallyFold(), UnsyncedFiles(), FakeClock()))
    assert held.view().state == other.view().state
    assert held.compact_range() == other.compact_range()
    other.close()


def test_a_swallowed_interruption_does_not_end_well(held: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(entry: Any, *, sync: bool) -> None:
        raise KeyboardInterrupt

    def swallow() -> None:
        with held.transaction() as tx:
            tx.append(a_draft())
            with monkeypatch.context() as changed:
                changed.setattr(held._commit, "add", interrupted)
                with pytest.raises(KeyboardInterrupt):
                    tx.append(a_draft())

    with pytest.raises(StorageError) as caught:
        swallow()
    assert caught.value.code == "storage_failed"
    assert append(held) == 4
    assert held.verify().intact


# --- lines whose writer was killed before their sync


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[FileStore]:
    """A store whose syncs are counted."""
    store = create_store(StoreParts(tmp_path / "state", TallyFold(), WatchedFiles(), FakeClock()), GENESIS)
    append(store)
    yield store
    store.close()


def syncs(store: FileStore) -> int:
    """How many syncs of the segment there were since the last look."""
    synced = store._parts.files.synced  # type: ignore[attr-defined]
    count = sum(name.endswith(".jsonl") for name in synced)
    synced.clear()
    return count


def test_a_view_syncs_what_it_shows_of_others_once(watched: FileStore) -> None:
    syncs(watched)
    assert watched.view().head.seq == 1
    assert syncs(watched) == 0, "nothing of others came in"
    lost_line(watched)
    assert (watched.view().head.seq, syncs(watched)) == (2, 1)
    assert (watched.view().head.seq, watched.durable, syncs(watched)) == (2, 3, 0)


def test_a_refusal_because_of_anothers_line_is_told_after_a_sync(watched: FileStore) -> None:
    lost_line(watched)
    syncs(watched)
    with pytest.raises(ValueError, match="line 2"), watched.transaction() as tx:
        raise ValueError(f"line {tx.state['last']}")
    assert syncs(watched) == 1
    lost_line(watched)
    assert append(watched) == 4
    assert syncs(watched) == 1, "a writer's own sync is enough"


def test_a_store_that_is_opened_syncs_what_the_hint_does_not_name(watched: FileStore) -> None:
    def opened() -> int:
        files = WatchedFiles()
        store = FileStore.open(StoreParts(watched.paths.state_dir, TallyFold(), files, FakeClock()))
        try:
            return syncs(store)
        finally:
            store.close()

    watched.close()
    assert opened() == 0
    lost_line(watched)
    assert opened() == 1


def test_a_view_waits_for_lines_of_others_that_a_transaction_here_took_in(held: FileStore, files: HeldFiles) -> None:
    lost_line(held)
    calls = Calls()
    files.held = True
    with held.transaction() as tx:
        assert tx.head.seq == 2
        calls.start("view", lambda: held.view().head.seq)
        time.sleep(0.05)
        for _ in range(4):
            files.go.release()
    assert calls.end() == {"view": 2}
    assert files.syncs >= 1


class Office:
    """What the checkpoint desk wants of a workspace."""

    def __init__(self, store: FileStore) -> None:
        self.ledger = store
        self.state_dir = store.paths.state_dir
        self.engine = self


def test_no_checkpoint_is_signed_over_lines_that_nobody_synced(watched: FileStore) -> None:
    office: Any = Office(watched)
    CheckpointDesk(office, UnsyncedFiles()).publish(caller=HUMAN)
    watched.view()
    size = watched.view().head.seq + 1
    leaves = scan(watched.paths.state_dir, size).leaves
    root = roots_at(leaves, [size])[size].hex()
    lost_line(watched, Draft(kind="checkpoint.published", caller=HUMAN, data={"size": size, "root": root}))
    syncs(watched)
    assert CheckpointDesk(office, UnsyncedFiles()).publish(caller=HUMAN).seq == size
    assert syncs(watched) == 1


def test_a_grant_that_nobody_synced_is_on_the_disk_before_the_ledger_repeats_it(watched: FileStore) -> None:
    """Else a power loss leaves a ledger that knows more leases than the lease log: `lease_log_corrupt`."""

    class KilledFiles(UnsyncedFiles):
        def sync(self, descriptor: int) -> None:
            os._exit(9)

    def killed() -> None:
        with FileStore.open(
            StoreParts(watched.paths.state_dir, TallyFold(), KilledFiles(), FakeClock())
        ).transaction() as tx:
            grant(tx)

    watched.close()  # leaves the hint, so that the other has nothing to sync before
    assert ended(in_child(killed)) == 9
    assert append(watched) == 3
    synced = watched._parts.files.synced  # type: ignore[attr-defined]
    assert synced[-2:] == ["leases.wal", "0000000000000000.jsonl"]
