"""The store in memory: the same contract as the files, for tests and for trying out.

Bodies, hashes and chain are those of the file store, byte for byte; only durability is missing.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from autopilot.kernel.canonical import sha256_hex
from autopilot.kernel.clock import Clock
from autopilot.kernel.errors import IntegrityError, StorageError
from autopilot.kernel.ids import new_ledger_id
from autopilot.kernel.stamps import stamp
from autopilot.leases.book import EMPTY_BOOK, LeaseBook, apply
from autopilot.leases.records import LeaseRecord, mirror_of
from autopilot.ledger.chain import START, Head, compose, walk
from autopilot.ledger.entry import Draft, LedgerEntry
from autopilot.ledger.merkle import CompactRange
from autopilot.ledger.store import Fold
from autopilot.ledger.verify import VerifyReport, corrupt, intact
from autopilot.storage.files.creation import Genesis, genesis_draft
from autopilot.storage.rules import draft_of, require_fence, require_open_kind
from autopilot.storage.view import View

LOCK_WAIT_SECONDS = 30.0


class MemoryObjects:
    """Sealed bytes in a dictionary."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        """Keep `data`; its digest."""
        digest = sha256_hex(data)
        self._objects.setdefault(digest, data)
        return digest

    def stage(self, data: bytes) -> str:
        """The same: there is no disk to wait for."""
        return self.put(data)

    def settle(self) -> None:
        """Nothing is held back."""

    def get(self, sha256: str) -> bytes:
        """The object's bytes; IntegrityError `object_missing`."""
        try:
            return self._objects[sha256]
        except KeyError:
            raise IntegrityError("object_missing", where=sha256) from None

    def has(self, sha256: str) -> bool:
        """Whether the object is there."""
        return sha256 in self._objects


class MemoryStore:
    """Ledger, lease book and objects of one process."""

    def __init__(self, fold: Fold, clock: Clock, genesis: Genesis) -> None:
        self.ledger_id = new_ledger_id()
        self.objects = MemoryObjects()
        self._clock = clock
        self._fold = fold
        self._threads = threading.Lock()
        self._state: Any = fold.initial()
        self._book: LeaseBook = EMPTY_BOOK
        self._head = START
        self._lines: list[bytes] = []
        self._entries: list[LedgerEntry] = []
        self._append(genesis_draft(self.ledger_id, genesis))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[MemoryTransaction]:
        """Take the lock and hand out the one way to write. Not to be nested."""
        if not self._threads.acquire(timeout=LOCK_WAIT_SECONDS):
            raise StorageError("lock_timeout", where="this process", retryable=True)
        transaction = MemoryTransaction(self)
        try:
            yield transaction
        finally:
            transaction.over = True
            self._threads.release()

    @property
    def durable(self) -> int:
        """How many entries there are; memory knows no power loss."""
        return len(self._entries)

    def view(self) -> View:
        """State, head and lease book as they are now."""
        with self._threads:
            return View(self._state, self._head, self._book)

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[LedgerEntry]:
        """The entries from `start` up to, not including, `stop`."""
        return iter(self._entries[max(0, start) : stop])

    def verify(self) -> VerifyReport:
        """Check every line."""
        with self._threads:
            data, head = b"".join(self._lines), self._head
        found = walk(data, START, self.ledger_id)
        if found.fault is not None:
            return corrupt(found.fault.reason, found.fault.seq, detail=found.fault.detail, where="memory")
        if found.head != head:
            return corrupt("truncated", found.head.seq + 1, where="memory")
        return intact(head.seq + 1)

    def compact_range(self) -> CompactRange:
        """The Merkle compact range of all entries."""
        return CompactRange().extended([bytes.fromhex(entry.hash) for entry in self._entries])

    def close(self) -> None:
        """Nothing to give back."""

    def _append(self, draft: Draft) -> LedgerEntry:
        entry, line = compose(self._head, self.ledger_id, draft, stamp(self._clock.wall()))
        self._lines.append(line)
        self._entries.append(entry)
        self._head = Head(entry.seq, entry.hash)
        self._state = self._fold.apply(self._state, entry)
        return entry

    def _record(self, record: LeaseRecord) -> int:
        self._book = apply(self._book, record)
        line = mirror_of(record, self._book.wal_seq)
        if line is not None:
            self._append(draft_of(line))
        return self._book.wal_seq


class MemoryTransaction:
    """The one way to write to a MemoryStore, while its lock is held."""

    __slots__ = ("_store", "over")

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.over = False

    @property
    def state(self) -> Any:
        """The fold at the head, lines of this transaction included."""
        return self._store._state

    @property
    def head(self) -> Head:
        """The last line."""
        return self._store._head

    @property
    def leases(self) -> LeaseBook:
        """The lease book, records of this transaction included."""
        return self._store._book

    def append(self, draft: Draft, *, sync: bool = True) -> LedgerEntry:
        """One line; refused as in the file store. `sync` makes no difference here."""
        del sync
        self._require_open()
        require_open_kind(draft)
        require_fence(self._store._book, draft)
        return self._store._append(draft)

    def record_lease(self, record: LeaseRecord, *, sync: bool | None = None) -> int:
        """One record, and the ledger line that repeats it; the record's number."""
        del sync
        self._require_open()
        return self._store._record(record)

    def _require_open(self) -> None:
        if self.over:
            raise RuntimeError("the transaction is over")
