"""What the engine needs of the world, declared by the engine: one store with one transaction, and observers.

Every backend (memory, files, PostgreSQL) implements these and passes the same contract suite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

from autopilot.kernel.events import Event
from autopilot.leases.book import LeaseBook
from autopilot.leases.records import LeaseRecord
from autopilot.ledger.chain import Head
from autopilot.ledger.entry import Draft, LedgerEntry
from autopilot.ledger.verify import VerifyReport
from autopilot.process.state import EngineState

Observer = Callable[[Event], None]


class Objects(Protocol):
    """Sealed bytes by digest."""

    def put(self, data: bytes) -> str:
        """Store durably and return the SHA-256 as hex; storing the same bytes again is free."""
        ...

    def stage(self, data: bytes) -> str:
        """Seal for a line to come: durable, with all else that the call has staged, before the next transaction."""
        ...

    def settle(self) -> None:
        """Make durable what the call has staged, now."""
        ...

    def get(self, sha256: str) -> bytes:
        """The bytes; IntegrityError `object_missing` or `evidence_edited` if they are not what was sealed."""
        ...


class View(Protocol):
    """A consistent picture at one head."""

    @property
    def state(self) -> EngineState: ...
    @property
    def head(self) -> Head: ...
    @property
    def leases(self) -> LeaseBook: ...


class Transaction(Protocol):
    """Everything that is decided and written under the one lock."""

    @property
    def state(self) -> EngineState: ...
    @property
    def leases(self) -> LeaseBook: ...

    def append(self, draft: Draft, *, sync: bool = True) -> LedgerEntry:
        """One line: one write, one sync (with `sync=False` riding on the next). LeaseRefusedError `stale_fence`."""
        ...

    def record_lease(self, record: LeaseRecord) -> int:
        """One record on the lease log, synced where it must be, and the ledger line that repeats it; its number."""
        ...


class Store(Protocol):
    """The ledger, the lease log and the objects behind one lock."""

    ledger_id: str

    @property
    def objects(self) -> Objects: ...

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Take the lock, catch up, repair what a crash left, and hand out the one way to write."""
        ...

    def view(self) -> View:
        """The state at the head, without keeping the lock."""
        ...

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[LedgerEntry]:
        """Entries by sequence, verified as they are read."""
        ...

    def verify(self) -> VerifyReport:
        """Check every line; never writes."""
        ...

    @property
    def durable(self) -> int:
        """How many entries this store itself has seen synced."""
        ...

    def close(self) -> None: ...
