"""Several transactions share one sync: none is told of before it, none is lost by it, and all fail with it.

The disk is held up on purpose: a sync has begun, and does not end before the test lets it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError, IntegrityError, StorageError
from autopilot.ledger.entry import LeaseRef
from autopilot.storage.files import store as file_store
from autopilot.storage.files.commit import Commit
from autopilot.storage.files.creation import create_store
from autopilot.storage.files.hint import read_hint
from autopilot.storage.files.store import FileStore, StoreParts
from autopilot.storage.files.turn import Turn
from autopilot.testing.clock import FakeClock
from autopilot.testing.contracts.ledger import a_draft, grant, hand_over
from autopilot.testing.folds import TallyFold
from autopilot.testing.power.files import Bench, PowerFiles
from autopilot.testing.power.scenarios import created, some_lines
from autopilot.testing.power.trials import LossError, PowerTrials, Recording, Scenario, Stage, Told, a_line
from tests.unit.storage.conftest import GENESIS, UnsyncedFiles

WAIT_SECONDS = 20.0


class HeldFiles(UnsyncedFiles):
    """Syncs of a log begin, and end when they are let; `error` is how they end."""

    def __init__(self) -> None:
        self.held = False
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.error: OSError | None = None
        self.syncs = 0

    def sync(self, descriptor: int) -> None:
        if not self.held:
            return
        self.syncs += 1
        self.begun.release()
        assert self.go.acquire(timeout=WAIT_SECONDS), "nobody let the sync end"
        if self.error is not None:
            raise self.error


class Calls:
    """Calls in threads, and what came of each."""

    def __init__(self) -> None:
        self.results: dict[str, Any] = {}
        self._threads: list[threading.Thread] = []

    def start(self, name: str, call: Callable[[], Any]) -> None:
        """Make the call in a thread of its own."""

        def run() -> None:
            try:
                self.results[name] = call()
            except Exception as error:  # noqa: BLE001 - what came of it is looked at
                self.results[name] = error

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def end(self) -> dict[str, Any]:
        """Wait for all of them."""
        for thread in self._threads:
            thread.join(WAIT_SECONDS)
            assert not thread.is_alive(), f"{thread.name} does not end"
        return self.results


@pytest.fixture
def files() -> HeldFiles:
    """The disk that is held up."""
    return HeldFiles()


@pytest.fixture
def held(tmp_path: Path, files: HeldFiles) -> Iterator[FileStore]:
    """A store on it."""
    store = create_store(StoreParts(tmp_path / "state", TallyFold(), files, FakeClock()), GENESIS)
    with store.transaction() as tx:
        tx.append(a_draft())
    yield store
    files.held = False
    store.close()


def append(store: FileStore, **changed: Any) -> int:
    """One line; its number, once it is told."""
    with store.transaction() as tx:
        return tx.append(a_draft(**changed)).seq


def written(store: FileStore) -> int:
    """How many lines stand in the file, synced or not."""
    return store.paths.segment(0).read_bytes().count(b"\n")


def until(holds: Callable[[], bool]) -> None:
    """Wait for it."""
    end = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < end, "it does not come to that"
        time.sleep(0.001)


@contextmanager
def one_sync_under_way(store: FileStore, files: HeldFiles, calls: Calls, waiting: int) -> Iterator[None]:
    """The sync of a first line has begun; `waiting` more lines are written behind it."""
    files.held = True
    before = written(store)
    calls.start("first", lambda: append(store))
    assert files.begun.acquire(timeout=WAIT_SECONDS)
    for number in range(waiting):
        calls.start(f"call {number}", lambda: append(store))
    until(lambda: written(store) == before + 1 + waiting)
    yield


def test_what_waits_at_the_same_moment_shares_a_sync(held: FileStore, files: HeldFiles) -> None:
    calls = Calls()
    with one_sync_under_way(held, files, calls, 5):
        assert calls.results == {}, "told before the sync has ended"
        assert held.view().head.seq == 1, "shown before the sync has ended"
        files.go.release()
        assert files.begun.acquire(timeout=WAIT_SECONDS)
        until(lambda: "first" in calls.results)
        assert calls.results == {"first": 2}, "the first sync began before the others were written"
        files.go.release()
    assert sorted(calls.end().values()) == [2, 3, 4, 5, 6, 7]
    assert files.syncs == 2
    assert held.durable == 8
    assert held.verify().entries == 8
    assert held.view().state["last"] == 7


def test_who_only_looked_waits_for_what_he_saw(held: FileStore, files: HeldFiles) -> None:
    """A transaction that refuses because of another's line tells of that line."""
    calls = Calls()

    def refuse() -> int:
        with held.transaction() as tx:
            last: int = tx.state["last"]
            assert tx.head.seq == last
            raise ContractError("malformed_task_id", detail=f"line {last}")

    with one_sync_under_way(held, files, calls, 0):
        calls.start("refused", refuse)
        time.sleep(0.05)
        assert "refused" not in calls.results
        assert held.view().state["last"] == 1
        files.go.release()
    assert calls.end()["refused"].detail == "line 2"


def test_a_sync_that_fails_fails_all_that_wait(held: FileStore, files: HeldFiles) -> None:
    calls = Calls()
    with one_sync_under_way(held, files, calls, 3):
        files.error = OSError(5, "the disk says no")
        for _ in range(4):
            files.go.release()
    results = calls.end()
    assert {result.code for result in results.values() if isinstance(result, StorageError)} == {"sync_failed"}
    assert [name for name, result in results.items() if not isinstance(result, StorageError)] == []
    assert files.syncs == 1, "a sync that failed is not tried again"
    for refused in (
        held.view,
        lambda: append(held),
        lambda: FileStore.open(StoreParts(held.paths.state_dir, TallyFold())),
    ):
        with pytest.raises(IntegrityError) as caught:
            refused()
        assert caught.value.code == "poisoned"


def test_a_sync_in_the_turn_of_another_call_knows_that_it_failed(held: FileStore, files: HeldFiles) -> None:
    """The system tells of a failed sync once; a second one, of a call that cannot wait, must not be believed."""
    calls = Calls()

    def lease() -> int:
        with held.transaction() as tx:
            return grant(tx)

    with one_sync_under_way(held, files, calls, 0):
        files.error = OSError(5, "the disk says no")
        calls.start("lease", lease)
        time.sleep(0.05)
        files.go.release()
        until(lambda: "first" in calls.results or files.begun.acquire(blocking=False))
        files.error = None
        for _ in range(4):
            files.go.release()
    results = calls.end()
    assert all(isinstance(result, (StorageError, IntegrityError)) for result in results.values()), results
    with pytest.raises(IntegrityError) as caught:
        held.view()
    assert caught.value.code == "poisoned"


def test_a_hand_over_is_in_the_lease_log_after_its_line_is_on_the_disk(held: FileStore, files: HeldFiles) -> None:
    with held.transaction() as tx:
        fence = grant(tx)
    calls, wal = Calls(), held.paths.leases
    before = wal.read_bytes()

    def move() -> int:
        with held.transaction() as tx:
            for record in hand_over(tx, fence):
                tx.record_lease(record)
            found = tx.leases.held("T-1")
            assert found is not None
            return found.fence

    files.held = True
    calls.start("move", move)
    assert files.begun.acquire(timeout=WAIT_SECONDS)
    calls.start("under the new fence", lambda: append(held, lease=LeaseRef("T-1/THINK", fence + 1)))
    until(lambda: written(held) == 5)
    assert wal.read_bytes() == before
    shown = held.view().leases.held("T-1")
    assert shown is not None
    assert shown.fence == fence
    for _ in range(2):
        files.go.release()
    assert calls.end() == {"move": fence + 1, "under the new fence": 4}
    assert wal.read_bytes().count(b"\n") == before.count(b"\n") + 2
    shown = held.view().leases.held("T-1")
    assert shown is not None
    assert shown.fence == fence + 1


def test_a_stale_fence_is_refused_though_the_newer_one_is_not_on_the_disk_yet(
    held: FileStore, files: HeldFiles
) -> None:
    with held.transaction() as tx:
        fence = grant(tx)
    calls = Calls()

    def move() -> None:
        with held.transaction() as tx:
            for record in hand_over(tx, fence):
                tx.record_lease(record)

    files.held = True
    calls.start("move", move)
    assert files.begun.acquire(timeout=WAIT_SECONDS)
    calls.start("stale", lambda: append(held, lease=LeaseRef("T-1/PLAN", fence)))
    time.sleep(0.05)
    assert "stale" not in calls.results
    for _ in range(2):
        files.go.release()
    assert calls.end()["stale"].code == "stale_fence"


def test_the_hint_and_the_remembered_size_end_with_what_is_synced(held: FileStore, files: HeldFiles) -> None:
    calls = Calls()
    with one_sync_under_way(held, files, calls, 2):
        assert held.durable == 2
        assert held.compact_range().size == 2
        files.go.release()
        files.go.release()
    calls.end()
    files.held = False
    held.close()
    hint = read_hint(held.paths.head, held.ledger_id)
    assert hint is not None
    assert hint.seq == 4


def test_a_segment_is_opened_in_the_middle_of_it(
    held: FileStore, files: HeldFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The full segment is synced and closed by another call than the one whose sync is under way."""
    from autopilot.storage.files import layout, ledger, verify

    for module in (layout, ledger, verify):
        monkeypatch.setattr(module, "SEGMENT_ENTRIES", 4)
    append(held)
    calls = Calls()
    with one_sync_under_way(held, files, calls, 0):
        for number in range(3):
            calls.start(f"call {number}", lambda: append(held))
        for _ in range(20):
            files.go.release()
    assert sorted(calls.end().values()) == [3, 5, 6, 7]
    files.held = False
    assert held.verify().entries == 8
    assert held.view().state["last"] == 7


def test_other_processes_have_their_turn(held: FileStore, files: HeldFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many calls follow one another here, the lock file is given back in between."""
    monkeypatch.setattr(file_store, "TURN_TRANSACTIONS", 3)
    other = FileStore.open(StoreParts(held.paths.state_dir, TallyFold(), UnsyncedFiles(), FakeClock()))
    calls, before = Calls(), written(held)
    with one_sync_under_way(held, files, calls, 2):
        calls.start("another process", lambda: append(other))
        for number in range(5):
            calls.start(f"late {number}", lambda: append(held))
        time.sleep(0.1)
        assert written(held) == before + 3, "they wait until the lock was given back"
        for _ in range(12):
            files.go.release()
    results = calls.end()
    assert sorted(results.values()) == list(range(2, 11))
    assert results["another process"] < 10, "it had its turn before all of ours"
    other.close()


# --- the turn


def test_the_turn_goes_to_who_waits_longest() -> None:
    turn, order = Turn(), list[int]()
    assert turn.acquire()
    assert not turn.acquire(0.01)
    calls = Calls()
    for number in range(5):
        calls.start(str(number), lambda number=number: (turn.acquire(), order.append(number), turn.release()))
        until(lambda number=number: len(turn._queue) == number + 1)
    turn.release()
    calls.end()
    assert order == [0, 1, 2, 3, 4]
    assert turn.acquire(0)
    turn.release()


def test_the_turn_is_had_by_one_at_a_time() -> None:
    turn, inside, most = Turn(), [0], [0]

    def work() -> int:
        had = 0
        for number in range(400):
            if not turn.acquire(0.0001 if number % 7 == 0 else -1):
                continue
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            had += 1
            inside[0] -= 1
            turn.release()
        return had

    calls = Calls()
    for number in range(6):
        calls.start(str(number), work)
    assert all(had > 300 for had in calls.end().values())
    assert most == [1]
    assert turn.acquire(0), "it was given back"


# --- the power goes


class SlowFiles(PowerFiles):
    """A disk on which a sync takes as long as it takes three others to write: what it covers was written before it."""

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        name = self._opened[descriptor][1]
        end = time.monotonic() + 0.03
        before = len(self.ops)
        while name.endswith(".jsonl") and len(self.ops) < before + 3 and time.monotonic() < end:
            time.sleep(0.0005)


def together(stage: Stage) -> None:
    """Six callers write three lines each, and one moves a task; each is told when its transaction is left."""
    telling = threading.Lock()

    def work(name: int) -> None:
        for number in range(3):
            with stage.store.transaction() as tx:
                entry = tx.append(a_line(f"{name} {number} {'x' * 300}", caller=Caller(f"agent-{name}")))
            with telling:
                stage.tell(Told("line", entry.seq, entry.body))

    calls = Calls()
    for name in range(6):
        calls.start(str(name), lambda name=name: work(name))
    failed = [result for result in calls.end().values() if result is not None]
    if failed:
        raise failed[0]


TOGETHER = Scenario("together", (together,), (created, some_lines))


@pytest.fixture
def trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PowerTrials:
    """Trials on the slow disk."""
    monkeypatch.setattr("autopilot.testing.power.trials.PowerFiles", SlowFiles)
    return PowerTrials(Bench(tmp_path / "disk"), 1)


def recorded(trials: PowerTrials) -> Recording:
    """The callers at work; some syncs were shared, or it would prove nothing."""
    recording = trials.record(TOGETHER)
    syncs = sum("/seg/*.jsonl" in getattr(op, "site", "") for op in recording.ops)
    assert 0 < syncs < 18
    return recording


def test_nothing_that_was_told_is_lost_though_syncs_are_shared(trials: PowerTrials) -> None:
    trials.cut_everywhere(recorded(trials), 5)
    assert trials.counts.states > 20


def told_at_once(self: Commit) -> bool:
    """A mutation: the transaction is told of before its sync."""
    self._show(self._added)
    return False


def test_telling_before_the_sync_is_found(trials: PowerTrials, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as changed:
        changed.setattr(Commit, "stand", told_at_once)
        recording = trials.record(TOGETHER)
    with pytest.raises(LossError):
        trials.cut_everywhere(recording, 5)


def test_telling_of_lines_written_after_the_sync_began_is_found(
    trials: PowerTrials, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = Commit._show
    with monkeypatch.context() as changed:
        changed.setattr(Commit, "_show", lambda self, upto: show(self, self._added))
        recording = recorded(trials)
    with pytest.raises(LossError):
        trials.cut_everywhere(recording, 5)
