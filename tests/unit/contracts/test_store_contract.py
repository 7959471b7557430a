"""The store contract on every backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autopilot.kernel.callers import Caller
from autopilot.storage.files.creation import Genesis, create_store
from autopilot.storage.files.store import FileStore, StoreParts
from autopilot.storage.memory import MemoryStore
from autopilot.storage.postgres.address import Address
from autopilot.storage.postgres.creation import create_store as create_rows
from autopilot.storage.postgres.store import PostgresStore
from autopilot.testing.clock import FakeClock
from autopilot.testing.contracts.ledger import StoreContract
from autopilot.testing.folds import TallyFold

GENESIS = Genesis(Caller("ops", "human"), "autopilot test")


class TestMemoryStore(StoreContract):
    def make(self) -> MemoryStore:
        return MemoryStore(TallyFold(), FakeClock(), GENESIS)


class TestFileStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path / "state"

    def make(self) -> FileStore:
        return create_store(StoreParts(self.folder, TallyFold(), clock=FakeClock()), GENESIS)


class TestPostgresStore(StoreContract):
    """As the application role: what it was granted is enough."""

    @pytest.fixture(autouse=True)
    def _database(self, database: Any) -> None:
        self.address = Address(database.app)

    def make(self) -> PostgresStore:
        return create_rows(self.address, TallyFold(), GENESIS)
