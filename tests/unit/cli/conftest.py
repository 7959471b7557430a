"""A governed repository made once, and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli_repo import PERSON, Repo

from autopilot.cli.demo.project import make_repository


@pytest.fixture(scope="session")
def plain_stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plain") / "shop"
    folder.mkdir()
    return make_repository(folder)


@pytest.fixture(scope="session")
def governed_stock(tmp_path_factory: pytest.TempPathFactory, plain_stock: Path) -> Path:
    root = tmp_path_factory.mktemp("governed") / "shop"
    shutil.copytree(plain_stock, root, symlinks=True)
    repo = Repo(root)
    repo.run("init", env=PERSON, check=0)
    repo.run("task", "open", "T-1", "--title", "Take the discount off once in shop pricing", check=0)
    return root


@pytest.fixture
def plain(tmp_path: Path, plain_stock: Path) -> Repo:
    shutil.copytree(plain_stock, tmp_path / "plain" / "shop", symlinks=True)
    return Repo(tmp_path / "plain" / "shop")


@pytest.fixture
def repo(tmp_path: Path, governed_stock: Path) -> Repo:
    shutil.copytree(governed_stock, tmp_path / "shop", symlinks=True)
    return Repo(tmp_path / "shop")
