"""Stores in a folder, quick ones where durability is not the matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autopilot.kernel.callers import Caller
from autopilot.kernel.files import DiskFiles, Files
from autopilot.storage.files.creation import Genesis, create_store
from autopilot.storage.files.store import FileStore, StoreParts
from autopilot.testing.clock import FakeClock
from autopilot.testing.folds import TallyFold

HUMAN = Caller("ops", "human")
GENESIS = Genesis(HUMAN, "autopilot test")


class UnsyncedFiles(DiskFiles):
    """The disk without syncs."""

    def sync(self, descriptor: int) -> None:
        """Not here."""

    def sync_dir(self, path: Path) -> None:
        """Not here."""


@pytest.fixture
def parts(tmp_path: Path) -> StoreParts:
    """The parts of a quick store."""
    return StoreParts(tmp_path / "state", TallyFold(), UnsyncedFiles(), FakeClock())


@pytest.fixture
def store(parts: StoreParts) -> Iterator[FileStore]:
    """A new quick store."""
    made = create_store(parts, GENESIS)
    yield made
    made.close()


@pytest.fixture
def opened(parts: StoreParts) -> Iterator[Callable[..., FileStore]]:
    """Open the store again, with another file port or floor if asked; all are closed in the end."""
    made: list[FileStore] = []

    def open_again(files: Files | None = None, floor: int = 0) -> FileStore:
        again = StoreParts(parts.state_dir, parts.fold, files or parts.files, parts.clock, floor)
        made.append(FileStore.open(again))
        return made[-1]

    yield open_again
    for store in made:
        store.close()
