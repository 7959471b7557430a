"""The repository most tests start from."""

from __future__ import annotations

from pathlib import Path

import pytest
from real_repository import Repo


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """A repository with two files and a `.gitignore`, committed."""
    made = Repo(tmp_path / "repo")
    made.root.mkdir()
    made.git("init", "-q", "-b", "main")
    made.write("a.py", "a = 1\n")
    made.write("pkg/b.py", "b = 1\n")
    made.write(".gitignore", "*.log\nbuild/\n/state/\n")
    made.commit("first")
    return made
