"""Every way of going back on a ledger is found, with a reason of its own; the table is `rewriting_table.py`.

Red without: any one of marker, stored checkpoints, head hint, given checkpoint, commits, and the witness's memory.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from cli_repo import Repo
from rewriting_table import ACTS, FROM, Act, honest, tried


@pytest.fixture(scope="session")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("rewriting") / "honest"
    repo = honest(home / "shop")
    assert repo.lines() > FROM + 40
    return home


@pytest.fixture
def fresh(origin: Path, tmp_path: Path) -> Callable[[], Repo]:
    numbers = count()

    def copied() -> Repo:
        target = tmp_path / f"copy-{next(numbers)}"
        shutil.copytree(origin, target, symlinks=True)
        return Repo(target / "shop")

    return copied


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.name)
def test_what_everybody_answers(fresh: Callable[[], Repo], act: Act) -> None:
    answers = tried(fresh, act)
    assert [(one.way, one.expected, one.lines()) for one in answers if not one.right] == []
    # Nobody who has something that was kept elsewhere says that all is well.
    assert all(one.expected[0] for one in answers[2:])
