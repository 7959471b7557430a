"""A repository whose ledger is in PostgreSQL. Imported only where one is: the driver is an extra."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from autopilot.kernel.clock import Clock
from autopilot.ledger.entry import LedgerEntry
from autopilot.ledger.verify import VerifyReport, intact
from autopilot.onboarding.store import StoreFacts
from autopilot.process.fold import ProcessFold
from autopilot.process.ports import Store
from autopilot.storage.files.creation import Genesis
from autopilot.storage.postgres import copying, notes
from autopilot.storage.postgres.address import Address
from autopilot.storage.postgres.creation import create_store
from autopilot.storage.postgres.facts import server_facts
from autopilot.storage.postgres.rows import read_rows
from autopilot.storage.postgres.schema import require_schema
from autopilot.storage.postgres.session import Session
from autopilot.storage.postgres.store import PostgresStore, RowParts

KEYS_FOLDER = "keys"


class RowsHome:
    """Implements `wiring.stores.Home` for a database; `state_dir` holds what stays on this machine."""

    shared = True

    def __init__(self, address: Address, state_dir: Path) -> None:
        self.address = address
        self._state_dir = state_dir

    @property
    def shown(self) -> str:
        """The address without its password."""
        return self.address.shown

    def described(self) -> StoreFacts | None:
        """The server and the role's rights in it."""
        version, server, role, may_change, owns, commit, fsync, standbys = server_facts(self.address)
        return StoreFacts(
            where=self.address.shown,
            version=version,
            server=server,
            role=role,
            may_change=may_change,
            owns=owns,
            synchronous_commit=commit,
            fsync=fsync,
            standbys=standbys,
        )

    def present(self, ledger: str) -> str:
        """`ledger` if the database has it."""
        with contextlib.closing(Session(self.address)) as session:
            require_schema(session)
            found = ledger and session.rows("SELECT 1 FROM autopilot.head WHERE ledger = %s", ledger)
        return ledger if found else ""

    def open(self, ledger: str, clock: Clock, floor: int) -> Store:
        """As `Home.open`; time is the server's."""
        del clock
        return PostgresStore.open(RowParts(self.address, ledger, ProcessFold(), floor))

    def create(self, genesis: Genesis, clock: Clock) -> Store:
        """As `Home.create`; a database has room for many."""
        del clock
        return create_store(self.address, ProcessFold(), genesis)

    def genesis(self, ledger: str) -> LedgerEntry:
        """As `Home.genesis`."""
        with contextlib.closing(Session(self.address)) as session:
            return next(read_rows(session.rows, ledger, 0, 1))

    def verify(self, ledger: str, floor: int = 0) -> VerifyReport:
        """As `Home.verify`, on a copy."""
        return copying.verify_rows(self.address, ledger, floor)

    @contextlib.contextmanager
    def place(self, ledger: str, *, objects: bool = False) -> Iterator[Path]:
        """As `Home.place`: a copy, with this machine's keys beside it.

        IntegrityError `bad_link` for rows beyond the head row: in files they would look like lines of ours.
        """
        with copying.copied(self.address, ledger, objects=objects) as (place, found):
            beyond = copying.judged(intact(found.rows), found)
            if found.rows > found.head.head.seq + 1:
                raise beyond.error()
            (place / KEYS_FOLDER).symlink_to(self._state_dir / KEYS_FOLDER)
            yield place

    def keep_note(self, ledger: str, size: int, note: bytes) -> None:
        """Keep a checkpoint in the database: who verifies elsewhere has it too."""
        notes.keep(self.address, ledger, size, note)
