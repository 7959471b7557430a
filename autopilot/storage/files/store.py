"""The embedded store: ledger, lease log and objects behind one lock, with one way to write.

A transaction takes the thread lock and the lock file, takes in and checks what others appended, mends what a crash
left (a torn tail, lease lines that the ledger lacks, a hand-over that the lease log lacks), and hands out itself.
Each `append` in it is one write, and stands by itself: an error later in the transaction takes nothing back. When the
transaction is left, well or with an error, its lines are on the disk: one sync for all, and for those of other threads
that wait at the same moment (`storage.files.commit` has the rules). A sync that fails poisons the store: it is never
tried again, and nobody opens it until a person repairs it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from autopilot.kernel.clock import Clock, SystemClock
from autopilot.kernel.errors import AutopilotError, IntegrityError, StorageError
from autopilot.kernel.files import DiskFiles, Files
from autopilot.kernel.ids import Draw, drawn
from autopilot.kernel.stamps import stamp
from autopilot.leases.book import LeaseBook
from autopilot.leases.handover import MoveFacts, rebuild_handover
from autopilot.leases.records import LeaseRecord, must_sync
from autopilot.leases.terms import task_of
from autopilot.ledger.chain import Head
from autopilot.ledger.entry import Draft, LedgerEntry
from autopilot.ledger.merkle import CompactRange
from autopilot.ledger.store import Fold
from autopilot.ledger.verify import Anchors, VerifyReport
from autopilot.storage.files.commit import Commit
from autopilot.storage.files.hint import read_hint, write_hint
from autopilot.storage.files.layout import FORMAT as FORMAT
from autopilot.storage.files.layout import StorePaths
from autopilot.storage.files.layout import read_identity as read_identity
from autopilot.storage.files.leases import LeaseLog, is_handover
from autopilot.storage.files.ledger import LedgerParts, SegmentLedger, read_entries
from autopilot.storage.files.lock import StoreLock
from autopilot.storage.files.poison import Poison
from autopilot.storage.files.quarantine import Torn, cut_for, kept_in, recovered
from autopilot.storage.files.record_log import LogPlace
from autopilot.storage.files.turn import Turn
from autopilot.storage.files.verify import verify_files
from autopilot.storage.objects import ObjectStore
from autopilot.storage.rules import draft_of, move_facts, require_fence, require_open_kind
from autopilot.storage.view import View

HINT_ENTRIES = 64
HINT_NS = 1_000_000_000
LOCK_WAIT_SECONDS = 30.0
TURN_TRANSACTIONS = 32
"""So many transactions of one process may follow one another before other processes have their turn."""


@dataclass(frozen=True, slots=True)
class StoreParts:
    """What a store is made of. `floor` is the least number of entries there must be, as someone outside remembers."""

    state_dir: Path
    fold: Fold
    files: Files = field(default_factory=DiskFiles)
    clock: Clock = field(default_factory=SystemClock)
    floor: int = 0
    draw: Draw = drawn


class FileStore:
    """A store in a state directory. Make one with `storage.files.creation.create_store`, open one with `open`."""

    def __init__(self, parts: StoreParts, ledger_id: str) -> None:
        self.ledger_id = ledger_id
        self.paths = paths = StorePaths(parts.state_dir)
        self._poison = Poison(parts.files, paths, parts.clock)
        self.objects = ObjectStore(parts.files, paths.objects, self._poison.mark)
        self._parts = parts
        self._quarantine = paths.quarantine
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Nothing read, nothing taken. In a forked child too: it has no part in what its parent holds and waits for.

        Nothing of the parent's is closed or given back there, because a thread that the child lacks may have had it.
        """
        parts, paths = self._parts, self.paths
        self._process = os.getpid()
        self._lock = StoreLock(paths.lock, LOCK_WAIT_SECONDS)
        self._threads = Turn()
        ledger = LedgerParts(parts.files, paths, self.ledger_id, parts.fold, self.objects)
        self._ledger = SegmentLedger(ledger, self._notice)
        self._leases = LeaseLog(parts.files, LogPlace(paths.leases, paths.quarantine, self.ledger_id))
        self._commit = Commit(self._ledger, self._leases, parts.fold, self._threads, self._poison.mark)
        self._hold: int | None = None
        self._leaving: list[Lock] = []
        self._served = 0
        self._moves: dict[str, MoveFacts] = {}
        self._fences: dict[str, int] = {}
        self._cuts = self._hint_seq = -1
        self._hinted = Head()
        self._hinted_ns = 0

    @classmethod
    def open(cls, parts: StoreParts) -> FileStore:
        """The store in `parts.state_dir`, its last segment checked.

        IntegrityError `ledger_missing`, `poisoned`, `truncated`, or what a line fails on.
        """
        store = cls(parts, read_identity(StorePaths(parts.state_dir)))
        try:
            store.view()
        except BaseException:
            store.close()
            raise
        return store

    def transaction(self) -> FileTransaction:
        """Take the lock, catch up, mend what a crash left, and hand out the one way to write. Not to be nested."""
        return FileTransaction(self)

    def view(self) -> View:
        """State, head and lease book as they are now; no lock is kept and nothing is written.

        No line is in it that a power loss could take, but for what rides unsynced and can be made again; where others
        wrote, that costs a sync. A lease may be in it whose grant was never told, its writer killed before its sync.
        Both logs only grow: while neither has, what was read last is the present, and the lock file need not be asked.
        """
        self._take_turn()
        try:
            self._poison.refuse()
            if self._hold is not None or (self._ledger.is_unchanged() and self._leases.is_unchanged()):
                if self._commit.foreign:
                    self._commit.settle()
                return self._shown()
        finally:
            self._threads.release()
        with self._held(shared=True):
            self._take_in()
            return self._shown()

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[LedgerEntry]:
        """The entries from `start` up to, not including, `stop` (the head's if None), checked as they are read."""
        end = self.view().head.seq + 1
        return read_entries(self.paths, self.ledger_id, max(0, start), end if stop is None else min(stop, end))

    def verify(self) -> VerifyReport:
        """Check every line, the segments' ranges and state objects, hint, floor and lease log; writes nothing."""
        return verify_files(self._parts.state_dir, self._parts.floor)

    @property
    def durable(self) -> int:
        """How many entries this store itself has seen synced: what survives a power loss now."""
        return self._commit.synced.seq + 1

    def compact_range(self) -> CompactRange:
        """The Merkle compact range of the entries that a view shows, as a checkpoint needs it."""
        self.view()
        with self._threads:
            return self._ledger.range()

    def append_recovery(self, draft: Draft) -> LedgerEntry:
        """The line of a repair, written although the store is still poisoned: lifting that is the repair's last act."""
        with self._held(mending=True):
            self._catch_up(repaired=True)
            self._mend()
            entry = self._append(draft, sync=True)
            self._commit.settle()
            self._write_hint()
            return entry

    def close(self) -> None:
        """Leave the head hint for the next opener and give the files back. The store can be used again after it."""
        self._take_turn()
        try:
            self._wait_for_others()
            synced = self._commit.synced
            if synced.seq > self._hinted.seq and not self._poison.stands():
                with contextlib.suppress(StorageError), self._lock.held():
                    known = read_hint(self.paths.head, self.ledger_id)
                    # Another process may have come further than this one.
                    if known is None or known.seq < synced.seq:
                        self._write_hint()
            self._commit.forget()
            self._lock.close()
        finally:
            self._threads.release()

    # --- writing, for the transaction

    def _append(self, draft: Draft, *, sync: bool, checked: bool = True) -> LedgerEntry:
        ledger = self._ledger
        if ledger.is_full():
            self._roll()
        if checked:
            require_fence(self._leases.book, draft)
        head = ledger.head
        try:
            entry = ledger.append(draft, stamp(self._parts.clock.wall()))
            self._commit.add(entry, sync=sync)
        except BaseException as error:
            # Interrupted, the line may stand and be in no state. Any other error left nothing behind.
            if ledger.head is not head or not isinstance(error, AutopilotError):
                self._commit.forget()
            raise
        return entry

    def _roll(self) -> None:
        """Open the next segment."""
        # Hand-overs are only rebuilt from the last segment: what came before has to be safe in the lease log.
        self._rebuild_handovers()
        self._commit.settle()
        self._leases.sync()
        self._ledger.roll(stamp(self._parts.clock.wall()))
        self._commit.synced = self._ledger.head

    def _record(self, record: LeaseRecord, *, sync: bool) -> int:
        if self._commit.pending and not sync and is_handover(record):
            line = self._leases.hold(record)
            self._commit.add_held()
        else:
            if self._commit.pending:
                # The lease log is written in its order, and never before the line that a record of it comes from.
                self._commit.settle()
            line = self._leases.append(record, sync=sync)
        if line is not None:
            # Rides on the next synced append; after a crash `_mend` writes it again.
            self._append(draft_of(line), sync=False, checked=False)
        return self._leases.book.wal_seq

    # --- under the lock

    def _begin(self) -> None:
        """Enter a transaction."""
        # Outside the lock, and before any line: what the call has staged may be named in this transaction.
        self.objects.settle()
        self._take_turn()
        try:
            if self._served >= TURN_TRANSACTIONS:
                self._wait_for_others()
            if self._hold is None:
                self._hold, self._served = self._lock.acquire(), 0
            self._served += 1
            self._commit.inside += 1
        except BaseException:
            self._threads.release()
            raise
        try:
            self._poison.refuse()
            cuts = kept_in(self._quarantine)
            if not (cuts == self._cuts and self._ledger.is_unchanged() and self._leases.is_unchanged()):
                self._catch_up()
            self._mend()
        except BaseException as error:
            self._exit(error)
            raise

    def _end(self, error: BaseException | None, losses: int) -> None:
        """Leave it, whatever happened in it, once its lines and all that it saw are on the disk."""
        try:
            if error is None:
                self._commit.require(losses)
            if self._commit.stand():
                return
        except BaseException as failure:
            self._exit(failure)
            raise
        self._exit(error)

    def _exit(self, error: BaseException | None) -> None:
        """Let the next one in; the last of this process gives the lock file back."""
        try:
            self._blame(error)
            self._commit.inside -= 1
            if not self._commit.inside and self._hold is not None:
                hold, self._hold, self._served = self._hold, None, 0
                try:
                    if error is None:
                        self._hint()
                finally:
                    self._lock.release(hold)
                    while self._leaving:
                        self._leaving.pop().release()
        finally:
            self._threads.release()

    def _wait_for_others(self) -> None:
        """Return when no transaction of this process is under way and its lock is given back."""
        while self._hold is not None:
            bed = Lock()
            bed.acquire()
            self._leaving.append(bed)
            self._threads.release()
            try:
                woken = bed.acquire(timeout=LOCK_WAIT_SECONDS)
            finally:
                self._threads.retake()
            if not woken:
                raise StorageError("lock_timeout", where="this process", retryable=True)

    @contextlib.contextmanager
    def _held(self, *, shared: bool = False, mending: bool = False) -> Iterator[None]:
        self._take_turn()
        try:
            # Where a transaction of this process waits for the disk, it has the lock for all of us.
            with contextlib.nullcontext() if self._hold is not None else self._lock.held(shared=shared):
                try:
                    if not mending:
                        self._poison.refuse()
                    yield
                except BaseException as error:
                    self._blame(error)
                    raise
        finally:
            self._threads.release()

    def _take_turn(self) -> None:
        """The thread lock: one call at a time decides and writes in this process."""
        if self._process != os.getpid():
            self._begin_anew()
        if not self._threads.acquire(LOCK_WAIT_SECONDS):
            raise StorageError("lock_timeout", where="this process", retryable=True)

    def _blame(self, error: BaseException | None) -> None:
        """Poison the store if `error` is a sync that failed and nobody did yet."""
        if isinstance(error, StorageError) and error.code == "sync_failed" and not self._poison.stands():
            self._commit.fail(error)

    def _shown(self) -> View:
        return View(self._ledger.state, self._ledger.shown, self._leases.shown)

    def _take_in(self) -> None:
        """What others appended, read only."""
        if self._commit.unshown:
            self._commit.settle()  # left behind by a call that was interrupted
        self._take_in_lines(recover=False)
        self._leases.catch_up()
        if self._commit.foreign:
            behind = self._commit.synced.seq > self._hinted.seq
            self._commit.settle()
            # Who only reads leaves no hint.
            self._hinted = self._hinted if behind else self._commit.synced

    def _take_in_lines(self, *, recover: bool) -> Torn | None:
        """The ledger's `catch_up`; what it found waits for a sync, but for what the hint names."""
        torn = self._ledger.catch_up(self._anchors, recover=recover)
        if self._ledger.foreign:
            self._ledger.foreign = False
            if self._ledger.head.seq > self._hint_seq:
                self._commit.add_foreign()
        return torn

    def _catch_up(self, *, repaired: bool = False) -> None:
        """Take in what is new in both logs. A torn tail is kept in quarantine, cut, and put on record.

        What an earlier run cut without coming so far is put on record as well, but for what a repair did.
        """
        if self._commit.unshown:
            self._commit.settle()
        torn = self._take_in_lines(recover=True) is not None
        torn = self._leases.catch_up(recorded_at=self._next_line() + torn) is not None or torn
        kept = kept_in(self.paths.quarantine)
        if torn or not (repaired or kept == self._cuts):
            self._cuts = -1
            while cuts := cut_for(self.paths.quarantine, self._next_line()):
                for log, cut in cuts:
                    self._append(recovered(log, cut), sync=True)
                    self._commit.settle()
        self._cuts = kept

    def _next_line(self) -> int:
        """The number of the next line, past the one that opens a segment first if the last is full."""
        return self._ledger.head.seq + 1 + self._ledger.is_full()

    def _mend(self) -> None:
        """Give each log what a crash took from it and the other still has."""
        self._rebuild_handovers()
        lines = self._leases.unmirrored(self._ledger.mirrored)
        if lines:
            # Who wrote the records was killed, perhaps before their sync: the ledger may not outlast them.
            self._leases.sync()
        for line in lines:
            self._append(draft_of(line), sync=False, checked=False)
        if self._leases.wants_compaction():
            # The log forgets its records: the ledger's repetition of them has to be safe first.
            self._commit.settle()
            self._leases.compact()

    def _rebuild_handovers(self) -> None:
        """What lines named since the last time and the lease log lacks; most transactions write none that does."""
        if self._leases.book.wal_seq < self._ledger.mirrored:
            raise IntegrityError(
                "lease_log_corrupt",
                where="leases.wal",
                detail=f"{self._leases.book.wal_seq} records, the ledger repeats {self._ledger.mirrored}",
            )
        if not self._fences:
            return
        for facts in self._moves.values():
            for record in rebuild_handover(self._leases.book, facts):
                self._record(record, sync=False)
        self._leases.require_fences(self._fences)
        self._moves, self._fences = {}, {}

    def _notice(self, entry: LedgerEntry) -> None:
        """Keep what `_mend` compares with the lease log."""
        lease = entry.lease
        if lease is None:
            return
        task = task_of(lease.resource)
        self._fences[task] = max(self._fences.get(task, 0), lease.fence)
        facts = move_facts(entry)
        if facts is not None:
            self._moves[task] = facts

    def _anchors(self) -> Anchors:
        hint = read_hint(self.paths.head, self.ledger_id) or Head()
        self._hint_seq = hint.seq
        return Anchors(hint.seq, hint.hash, self._parts.floor)

    def _hint(self) -> None:
        """Replace the head hint if it is 64 entries or a second old. It names synced lines only."""
        behind = self._commit.synced.seq - self._hinted.seq
        if behind <= 0:
            return
        if behind >= HINT_ENTRIES or self._parts.clock.boot_ns() - self._hinted_ns >= HINT_NS:
            # A cache: a full disk must not turn an acknowledged append into an error.
            with contextlib.suppress(StorageError):
                self._write_hint()

    def _write_hint(self) -> None:
        write_hint(self._parts.files, self.paths.head, self.ledger_id, self._commit.synced)
        self._hinted, self._hinted_ns = self._commit.synced, self._parts.clock.boot_ns()

    def distrust(self, error: StorageError) -> None:
        """A sync of a file beside the logs failed: treat the store as if it had been one of theirs."""
        self._poison.mark(error)


class FileTransaction:
    """The one way to write, while the lock is held."""

    __slots__ = ("_losses", "_open", "_process", "_store")

    def __init__(self, store: FileStore) -> None:
        self._store = store
        self._open = False
        self._losses = self._process = 0

    def __enter__(self) -> FileTransaction:
        self._store._begin()
        self._open, self._process, self._losses = True, os.getpid(), self._store._commit.losses
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # A forked child leaves what its parent has entered, and has no part in it.
        if self._open and self._process == os.getpid():
            self._open = False
            self._store._end(error, self._losses)

    @property
    def state(self) -> Any:
        """The fold at the head, lines of this transaction included."""
        return self._store._commit.decided()

    @property
    def head(self) -> Head:
        """The last line."""
        return self._store._ledger.head

    @property
    def leases(self) -> LeaseBook:
        """The lease book, records of this transaction included."""
        return self._store._leases.book

    def append(self, draft: Draft, *, sync: bool = True) -> LedgerEntry:
        """One line, written now and on the disk when the transaction is left, or with `sync=False` riding on the next.

        LeaseRefusedError `stale_fence`; ContractError for a draft that cannot be held; StorageError.
        """
        self._require_open()
        require_open_kind(draft)
        self._store.objects.settle()
        return self._store._append(draft, sync=sync)

    def record_lease(self, record: LeaseRecord, *, sync: bool | None = None) -> int:
        """One record on the lease log, and unsynced the ledger line that repeats it; the record's number.

        Synced as `must_sync` says unless told otherwise. A hand-over is recorded right after its move's line.
        """
        self._require_open()
        return self._store._record(record, sync=must_sync(record) if sync is None else sync)

    def _require_open(self) -> None:
        if not self._open or self._process != os.getpid():
            raise RuntimeError("the transaction is over, or another process's")
