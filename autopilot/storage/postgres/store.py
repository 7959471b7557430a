"""The store in PostgreSQL: ledger, lease log and objects of several machines, with one way to write.

One transaction of the engine is one transaction of the database. It takes the head row `FOR UPDATE`, takes in and
checks what others appended, and hands out itself. What is appended is composed in memory and stored at the end, all
of it together with the new head, also when the caller's code failed meanwhile: appended lines stand. Nothing was
promised to anyone before the commit was answered.

A commit whose answer is lost is looked up: whoever holds the head row next knows that the lost session is over, and
whether its last line stands. So a line is never written twice, and one that stands is never reported as lost.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from autopilot.kernel.errors import AutopilotError, ContractError, IntegrityError, StorageError
from autopilot.kernel.stamps import stamp
from autopilot.leases.book import LeaseBook
from autopilot.leases.records import LeaseRecord, mirror_of
from autopilot.ledger.chain import Head
from autopilot.ledger.entry import Draft, LedgerEntry
from autopilot.ledger.merkle import CompactRange
from autopilot.ledger.store import Fold
from autopilot.ledger.verify import Anchors, VerifyReport
from autopilot.storage.postgres.address import Address
from autopilot.storage.postgres.clock import CLUSTER, NOW_US, ServerClock, moment_of
from autopilot.storage.postgres.copying import verify_rows
from autopilot.storage.postgres.lease_rows import LeaseRow, LeaseRows
from autopilot.storage.postgres.objects import RowObjects
from autopilot.storage.postgres.rows import SELECT_HEAD, Ask, HeadRow, RowLedger, range_bytes, read_rows
from autopilot.storage.postgres.schema import require_schema
from autopilot.storage.postgres.session import Connection, Session
from autopilot.storage.rules import draft_of, require_fence, require_open_kind
from autopilot.storage.view import View

LOCK_WAIT_SECONDS = 30.0
LOOK_UP_SECONDS = 60.0
LOOK_AGAIN_SECONDS = 0.2

_LOCK_HEAD = f"{SELECT_HEAD} FOR UPDATE"
_ADD_LINES = (
    "INSERT INTO autopilot.entry (ledger, seq, hash, body)"
    " SELECT %s, * FROM unnest(%s::bigint[], %s::bytea[], %s::bytea[])"
)
_ADD_RECORDS = (
    "INSERT INTO autopilot.lease_record (ledger, seq, hash, body)"
    " SELECT %s, * FROM unnest(%s::bigint[], %s::bytea[], %s::bytea[])"
)
_DROP_RECORDS = "DELETE FROM autopilot.lease_record WHERE ledger = %s AND seq < %s"
_MOVE_HEAD = (
    "UPDATE autopilot.head SET seq = %s, hash = %s, range = %s, lease_first = %s, lease_seq = %s, lease_hash = %s"
    " WHERE ledger = %s"
)
_CLOSE = "UPDATE autopilot.head SET moved_to = %s WHERE ledger = %s"


@dataclass(frozen=True, slots=True)
class RowParts:
    """What a store is made of. `floor` is the least number of entries there must be, as someone outside remembers."""

    address: Address
    ledger: str
    fold: Fold
    floor: int = 0


class PostgresStore:
    """A ledger in a database. Make one with `storage.postgres.creation.create_store`, open one with `open`."""

    def __init__(self, parts: RowParts) -> None:
        self.ledger_id = parts.ledger
        self.address = parts.address
        self._floor = parts.floor
        self._threads = threading.Lock()
        self._readers = threading.RLock()
        self._writing, self._reading = Session(parts.address), Session(parts.address)
        self.objects = RowObjects(parts.ledger, self._borrowed)
        self.clock = ServerClock(self._now_us, self._cluster)
        self._ledger = RowLedger(parts.ledger, parts.fold, self.objects)
        self._leases = LeaseRows(parts.ledger)
        self._boot = ""
        self._held: Connection | None = None
        self._inside = 0
        self._durable = 0

    @classmethod
    def open(cls, parts: RowParts) -> PostgresStore:
        """The store, its last segment checked.

        StorageError `store_unreachable`, `store_schema`; IntegrityError `ledger_missing`, `truncated`, or what a line
        fails on; ContractError `store_moved`.
        """
        store = cls(parts)
        try:
            require_schema(store._reading)
            store.view()
        except BaseException:
            store.close()
            raise
        return store

    def transaction(self) -> RowTransaction:
        """Take the head row, catch up, and hand out the one way to write. Not to be nested."""
        return RowTransaction(self)

    def view(self) -> View:
        """State, head and lease book as they are now; nothing is locked or written."""
        with self._turn():
            try:
                self._look()
            except IntegrityError:
                # Between two questions another process may have summed up the lease log: once more.
                self._look()
            return View(self._ledger.state, self._ledger.head, self._leases.book)

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[LedgerEntry]:
        """The entries from `start` up to, not including, `stop` (the head's if None), checked as they are read."""
        end = self.view().head.seq + 1
        return read_rows(self._ask, self.ledger_id, max(0, start), end if stop is None else min(stop, end))

    def verify(self) -> VerifyReport:
        """Check every line, the segments' ranges and state objects, head row, floor and lease log; writes nothing."""
        return verify_rows(self.address, self.ledger_id, self._floor)

    @property
    def durable(self) -> int:
        """How many entries this store itself has seen committed."""
        return self._durable

    def compact_range(self) -> CompactRange:
        """The Merkle compact range of all entries, as a checkpoint needs it."""
        self.view()
        with self._turn():
            return self._ledger.range

    def close(self) -> None:
        """Give the connections back. The store can be used again after it."""
        self._writing.close()
        self._reading.close()

    # --- for the transaction

    def _begin(self) -> int:
        """Enter a transaction; the server's time in microseconds, asked after the head row was had."""
        self.objects.settle()
        self._take_turn()
        try:
            row, us = self._locked()
            self._require_here(row)
            # Under the lock: what was read before it was had may be old.
            self._catch_up(self._ask_held, row)
            self._inside = threading.get_ident()
        except BaseException:
            self._forget()
            self._threads.release()
            raise
        return us

    def _locked(self) -> tuple[HeadRow, int]:
        again = self._writing.lives
        try:
            return self._lock_head()
        except StorageError as error:
            # A connection that was lost since the last call; nothing was asked of this one yet.
            if not (again and error.code == "store_lost"):
                raise
        return self._lock_head()

    def _lock_head(self) -> tuple[HeadRow, int]:
        with self._writing.translated():
            # Kept: a transaction goes on on the connection that it began on, or not at all.
            self._held = connection = self._writing.connection
            with connection.pipeline():
                connection.execute("BEGIN")
                head = connection.cursor(binary=True).execute(_LOCK_HEAD, (self.ledger_id,))
                # A question of its own: in the one before, the time is taken before the wait for the row.
                now = connection.execute(NOW_US)
                rows = head.fetchall()
                (us,) = now.fetchone() or (0,)
        return self._existing(rows), int(us)

    def _ask_held(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        if self._held is None:
            raise StorageError("store_lost", where=self.address.shown, retryable=True)
        return self._writing.rows_on(self._held, query, *values)

    def _end(self, written: _Written) -> None:
        """Leave it: what was appended is committed, or nothing is. StorageError where it does not stand."""
        try:
            if not written.anything:
                self._roll_back()
                return
            self._require_folded()
            self._commit(written)
        except BaseException:
            self._forget()
            raise
        finally:
            self._inside = 0
            self._threads.release()
        self._durable = max(self._durable, self._ledger.head.seq + 1)

    def _require_folded(self) -> None:
        if not self._ledger.loaded:
            # The fold failed on a line, and the caller may have passed over that.
            raise StorageError("storage_failed", where=self.address.shown, detail="a line could not be folded in")

    def _roll_back(self) -> None:
        try:
            with self._writing.translated():
                if self._held is not None:
                    self._held.execute("ROLLBACK")
        except StorageError:
            # Nothing was appended: nothing can be lost with the connection.
            return

    def _commit(self, written: _Written) -> None:
        try:
            with self._writing.translated():
                self._store(written)
        except StorageError as error:
            if error.code != "store_lost" or not self._stands(written):
                raise

    def _store(self, written: _Written) -> None:
        connection, ledger, leases = self._held, self._ledger, self._leases
        if connection is None:
            raise StorageError("store_lost", where=self.address.shown, retryable=True)
        with connection.pipeline():
            if written.lines:
                lines = written.lines
                bodies = [line.body for line in lines]
                hashes = [bytes.fromhex(line.hash) for line in lines]
                connection.execute(_ADD_LINES, (self.ledger_id, [line.seq for line in lines], hashes, bodies))
            if written.records:
                rows = written.records
                hashes, bodies = [bytes.fromhex(row.hash) for row in rows], [row.body for row in rows]
                connection.execute(_ADD_RECORDS, (self.ledger_id, [row.seq for row in rows], hashes, bodies))
            if written.compacted:
                connection.execute(_DROP_RECORDS, (self.ledger_id, leases.first))
            head, range_ = ledger.head, range_bytes(ledger.range)
            ends = (leases.first, leases.seq, bytes.fromhex(leases.hash))
            connection.execute(_MOVE_HEAD, (head.seq, bytes.fromhex(head.hash), range_, *ends, self.ledger_id))
            if written.moved_to:
                connection.execute(_CLOSE, (written.moved_to, self.ledger_id))
            # Refused where one of those before it was: the server answers them in turn.
            connection.execute("COMMIT")

    def _stands(self, written: _Written) -> bool:
        """Whether the lost commit took place. StorageError `commit_unknown` where nobody can be asked.

        The head row is had only when the lost session is over: the answer is final. Also where the ledger has gone
        elsewhere since: its lines stay here, and who wrote one must not hear that it does not stand.
        """
        give_up = time.monotonic() + LOOK_UP_SECONDS
        while True:
            try:
                row, _ = self._lock_head()
                stands = self._look_up(written, row)
                self._roll_back()
            except AutopilotError as error:
                again = isinstance(error, StorageError) and error.retryable
                if time.monotonic() > give_up or not again:
                    detail = f"{error.code}: {error.detail}"
                    raise StorageError("commit_unknown", where=self.address.shown, detail=detail) from None
                time.sleep(LOOK_AGAIN_SECONDS)
            else:
                return stands

    def _look_up(self, written: _Written, row: HeadRow) -> bool:
        if written.lines:
            line = written.lines[-1]
            table, seq, digest = "entry", line.seq, line.hash
        else:
            record = written.records[-1]
            table, seq, digest = "lease_record", record.seq, record.hash
            if seq < row.lease_first:
                raise StorageError("commit_unknown", where=self.address.shown, detail="the lease log was summed up")
        query = f"SELECT hash FROM autopilot.{table} WHERE ledger = %s AND seq = %s"  # noqa: S608 - one of two names
        found = self._ask_held(query, self.ledger_id, seq)
        return bool(found) and bytes(found[0][0]).hex() == digest

    # --- reading

    def _look(self) -> None:
        row = self._existing(self._writing.rows(SELECT_HEAD, self.ledger_id))
        self._require_here(row)
        self._catch_up(self._writing.rows, row)

    def _existing(self, rows: list[tuple[Any, ...]]) -> HeadRow:
        if not rows:
            detail = f"no ledger {self.ledger_id}"
            raise IntegrityError("ledger_missing", where=self.address.shown, detail=detail)
        return HeadRow.of(rows[0])

    def _require_here(self, row: HeadRow) -> None:
        if row.moved_to:
            raise ContractError("store_moved", where=self.address.shown, detail=f"it is in {row.moved_to}")

    def _catch_up(self, ask: Ask, row: HeadRow) -> None:
        self._ledger.catch_up(ask, row, Anchors(floor=self._floor))
        self._leases.catch_up(ask, row)
        self._leases.require_fences(self._ledger.fences)
        self._durable = max(self._durable, row.head.seq + 1)

    def _forget(self) -> None:
        """After a failure what is in memory may be ahead of what is stored."""
        self._ledger.forget()
        self._leases.forget()
        self._writing.close()
        self._held = None

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        self._take_turn()
        try:
            yield
        except AutopilotError:
            self._forget()
            raise
        finally:
            self._threads.release()

    def _take_turn(self) -> None:
        """One call at a time in this process."""
        if not self._threads.acquire(timeout=LOCK_WAIT_SECONDS):
            raise StorageError("lock_timeout", where="this process", retryable=True)

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[Session]:
        with self._readers:
            yield self._reading

    def _ask(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._readers:
            return self._reading.rows(query, *values)

    def _now_us(self) -> int:
        if self._inside == threading.get_ident():
            # On the transaction's own connection: whoever lost it must not go on judging.
            return int(self._ask_held(NOW_US)[0][0])
        return int(self._ask(NOW_US)[0][0])

    def _cluster(self) -> str:
        if not self._boot:
            self._boot = f"postgresql-{self._ask(CLUSTER)[0][0]}"
        return self._boot


class _Written:
    """What a transaction appended: lines and lease records, if the lease log was summed up, where the ledger goes."""

    __slots__ = ("compacted", "lines", "moved_to", "records")

    def __init__(self) -> None:
        self.lines: list[LedgerEntry] = []
        self.records: list[LeaseRow] = []
        self.compacted = False
        self.moved_to = ""

    @property
    def anything(self) -> bool:
        """Whether there is something to commit."""
        return bool(self.lines or self.records)


@contextlib.contextmanager
def _both_or_none(written: _Written, leases: LeaseRows) -> Iterator[None]:
    """Take back the lease records of the block where it fails: the line that repeats the last was not made."""
    records, compacted, at = len(written.records), written.compacted, leases.place
    try:
        yield
    except BaseException:
        del written.records[records:]
        written.compacted, leases.place = compacted, at
        raise


class RowTransaction:
    """The one way to write, while the head row is held. What it appends stands once the block has ended."""

    __slots__ = ("_store", "_ts", "_written")

    def __init__(self, store: PostgresStore) -> None:
        self._store = store
        self._written: _Written | None = None
        self._ts = ""

    def __enter__(self) -> RowTransaction:
        self._ts = stamp(moment_of(self._store._begin()))
        self._written = _Written()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        written, self._written = self._written, None
        if written is not None:
            self._store._end(written)

    @property
    def state(self) -> Any:
        """The fold at the head, lines of this transaction included."""
        return self._store._ledger.state

    @property
    def head(self) -> Head:
        """The last line, of this transaction or before it."""
        return self._store._ledger.head

    @property
    def leases(self) -> LeaseBook:
        """The lease book, records of this transaction included."""
        return self._store._leases.book

    def append(self, draft: Draft, *, sync: bool = True) -> LedgerEntry:
        """One line. `sync` makes no difference: all of the transaction stands with its commit.

        LeaseRefusedError `stale_fence`; ContractError for a draft that cannot be held.
        """
        del sync
        written = self._open()
        require_open_kind(draft)
        self._store.objects.settle()
        self._make_room(written)
        require_fence(self.leases, draft)
        return self._add(written, draft)

    def record_lease(self, record: LeaseRecord, *, sync: bool | None = None) -> int:
        """One record on the lease log, and the ledger line that repeats it; the record's number. Both stand or none."""
        del sync
        written, leases = self._open(), self._store._leases
        if mirror_of(record, 0) is not None:
            # First: it may fail, and is nothing by halves.
            self._make_room(written)
        with _both_or_none(written, leases):
            if leases.wants_compaction():
                written.records.extend(leases.compacted())
                written.compacted = True
            written.records.append(leases.append(record))
            line = mirror_of(record, leases.book.wal_seq)
            if line is not None:
                self._add(written, draft_of(line))
        return leases.book.wal_seq

    def leave(self, to: str) -> None:
        """Close the ledger here with this transaction: whoever comes later is told that it is in `to`."""
        self._open().moved_to = to

    def _make_room(self, written: _Written) -> None:
        if self._store._ledger.is_full():
            self._add(written, self._store._ledger.opening())

    def _add(self, written: _Written, draft: Draft) -> LedgerEntry:
        entry = self._store._ledger.append(draft, self._ts)
        written.lines.append(entry)
        return entry

    def _open(self) -> _Written:
        if self._written is None:
            raise RuntimeError("the transaction is over")
        return self._written
