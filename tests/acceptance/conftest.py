"""Prepared governed repositories: made once for each session, copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from governed import Governed, Prepare, Stock

from autopilot.kernel.phases import Phase


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stock]:
    """Where copies come from."""
    home = tmp_path_factory.mktemp("stock")
    yield Stock(home)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def at(stock: Stock, tmp_path: Path) -> Iterator[Prepare]:
    """`at(Phase.VERIFY)`: a repository of one's own with task T-1 in that phase; closed when the test ends."""
    given: list[Governed] = []

    def prepare(phase: Phase, *, plan: tuple[tuple[str, str], ...] = ()) -> Governed:
        governed = stock.at(phase, tmp_path / f"repository-{len(given)}", plan=plan)
        given.append(governed)
        return governed

    yield prepare
    for governed in given:
        governed.workspace.close()


@pytest.fixture
def fresh(stock: Stock, tmp_path: Path) -> Iterator[Governed]:
    """A repository with a ledger, a configuration, and no task."""
    governed = stock.fresh(tmp_path / "fresh")
    yield governed
    governed.workspace.close()
