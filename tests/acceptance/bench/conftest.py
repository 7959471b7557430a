"""Places for the benchmarks. Run with `make bench`; nothing here is asserted against a budget."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from autopilot.bench.floors import UnsyncedFiles
from autopilot.bench.workplace import Workplace


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Workplace]:
    """A governed repository whose task stands in STRATEGIZE, its lease free."""
    with closing(Workplace(tmp_path / "place")) as made:
        yield made


@pytest.fixture
def unsynced(tmp_path: Path) -> Iterator[Workplace]:
    """The same with all syncs left out."""
    with closing(Workplace(tmp_path / "unsynced", files=UnsyncedFiles())) as made:
        yield made
