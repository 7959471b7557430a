"""A store that takes nothing in: the real call runs on it, and what it would append is forgotten.

`--dry-run` must answer and exit as the real call would. A second implementation of every decision would drift away
from the first; so the same desks run, on a store that starts from the real one's state and keeps what is appended in
memory. Files that desks write beside the ledger go to a folder that is thrown away.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Iterator
from itertools import islice
from typing import Any

from autopilot.kernel.canonical import sha256_hex
from autopilot.kernel.clock import Clock
from autopilot.kernel.errors import RefusedError
from autopilot.kernel.stamps import stamp
from autopilot.kernel.throwaway import throwaway
from autopilot.leases.book import LeaseBook, apply
from autopilot.leases.records import LeaseRecord, mirror_of
from autopilot.ledger.chain import Head, compose
from autopilot.ledger.entry import Draft, LedgerEntry
from autopilot.ledger.verify import VerifyReport
from autopilot.process.fold import ProcessFold
from autopilot.process.ports import Objects, Store, View
from autopilot.process.state import EngineState
from autopilot.storage.rules import draft_of, require_fence, require_open_kind
from autopilot.wiring.full import Outside, Workspace
from autopilot.wiring.stores import clock_of

_COPY_TRIES = 20


@contextlib.contextmanager
def judging(workspace: Workspace, outside: Outside) -> Iterator[Workspace]:
    """The workspace over a store that forgets, with the real files: for calls that only read files."""
    copied = Workspace(workspace.repository, RehearsalStore(workspace.ledger, outside.clock), outside)
    # Closed telemetry records nothing: what did not happen is not measured.
    copied.telemetry.close()
    yield copied


@contextlib.contextmanager
def rehearsing(workspace: Workspace, outside: Outside) -> Iterator[Workspace]:
    """The workspace over a store that forgets. Not to be closed: the real one is its caller's."""
    with judging(workspace, outside) as copied, throwaway("autopilot-dry-") as folder:
        copied.engine.state_dir = folder
        with _nothing_recorded():
            yield copied


@contextlib.contextmanager
def _nothing_recorded() -> Iterator[None]:
    """A refusal in a rehearsal names no ledger line: there is none."""
    try:
        yield
    except RefusedError as error:
        error.seq = None
        raise


class RehearsalStore:
    """A store with the real one's content, and nothing of it changed."""

    def __init__(self, real: Store, clock: Clock) -> None:
        view = real.view()
        self.ledger_id = real.ledger_id
        self.objects: Objects = _Overlay(real.objects)
        self._real = real
        self.clock = self._clock = clock_of(real, clock)
        self._fold = ProcessFold()
        self._state: EngineState = _copied(view.state)
        self._head: Head = view.head
        self._book: LeaseBook = view.leases
        self._added: list[LedgerEntry] = []

    @contextlib.contextmanager
    def transaction(self) -> Iterator[_Rehearsed]:
        """Hand out what looks like the one way to write."""
        yield _Rehearsed(self)

    def view(self) -> View:
        """The real content and what was rehearsed so far."""
        return _View(self._state, self._head, self._book)

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[LedgerEntry]:
        """The real entries, then the rehearsed ones."""
        first = self._head.seq + 1 - len(self._added)
        yield from self._real.entries(start, first if stop is None else min(stop, first))
        yield from islice(self._added, max(0, start - first), None if stop is None else max(0, stop - first))

    def verify(self) -> VerifyReport:
        """The real ledger's report."""
        return self._real.verify()

    @property
    def durable(self) -> int:
        """What the real store has seen synced."""
        return self._real.durable

    def close(self) -> None:
        """The real store is closed by who opened it."""

    def take(self, draft: Draft) -> LedgerEntry:
        """The entry that the draft would be."""
        entry, _ = compose(self._head, self.ledger_id, draft, stamp(self._clock.wall()))
        self._head = Head(entry.seq, entry.hash)
        self._state = self._fold.apply(self._state, entry)
        self._added.append(entry)
        return entry

    def take_lease(self, record: LeaseRecord) -> int:
        """The number that the record would have."""
        self._book = apply(self._book, record)
        line = mirror_of(record, self._book.wal_seq)
        if line is not None:
            self.take(draft_of(line))
        return self._book.wal_seq


def _copied(state: EngineState) -> EngineState:
    """A copy: the fold changes its state in place, and the real store goes on using it, from other threads too."""
    for _ in range(_COPY_TRIES):
        with contextlib.suppress(RuntimeError):  # it grew while it was copied
            return copy.deepcopy(state)
    return copy.deepcopy(state)


@dataclasses.dataclass(frozen=True, slots=True)
class _View:
    state: EngineState
    head: Head
    leases: LeaseBook


class _Rehearsed:
    """The transaction of a rehearsal; refuses what the real one refuses."""

    def __init__(self, store: RehearsalStore) -> None:
        self._store = store

    @property
    def state(self) -> EngineState:
        """The state, rehearsed lines included."""
        return self._store.view().state

    @property
    def leases(self) -> LeaseBook:
        """The lease book, rehearsed records included."""
        return self._store.view().leases

    def append(self, draft: Draft, *, sync: bool = True) -> LedgerEntry:
        """As the real one, without a line."""
        del sync
        require_open_kind(draft)
        require_fence(self.leases, draft)
        return self._store.take(draft)

    def record_lease(self, record: LeaseRecord, **_: Any) -> int:
        """As the real one, without a record."""
        return self._store.take_lease(record)


class _Overlay:
    """The real objects, and in memory those that the rehearsal would put."""

    def __init__(self, real: Objects) -> None:
        self._real = real
        self._put: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        """Keep `data` for the rehearsal; its digest."""
        digest = sha256_hex(data)
        self._put[digest] = data
        return digest

    def stage(self, data: bytes) -> str:
        """As `put`: there is no disk to wait for."""
        return self.put(data)

    def settle(self) -> None:
        """Nothing is held back."""

    def get(self, sha256: str) -> bytes:
        """The object's bytes."""
        return self._put[sha256] if sha256 in self._put else self._real.get(sha256)
