"""Runners for the tests. A machine without bubblewrap skips what needs it and says so; in CI that is a failure."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autopilot.sandbox.bwrap import BwrapRunner
from autopilot.sandbox.choose import probe
from autopilot.sandbox.interpreter import Toolbox
from autopilot.sandbox.plain import PlainRunner
from autopilot.sandbox.run import CommandResult, CommandSpec, Runner


def _bwrap() -> BwrapRunner:
    found = probe()
    if found.bubblewrap is None:
        if os.environ.get("CI"):
            pytest.fail(f"bubblewrap is needed in CI: {found.detail}")
        pytest.skip(f"bubblewrap: {found.detail}")
    return BwrapRunner(found.bubblewrap)


@pytest.fixture
def bwrap() -> BwrapRunner:
    return _bwrap()


@pytest.fixture
def plain() -> PlainRunner:
    return PlainRunner()


@pytest.fixture(params=["bwrap", "none"])
def runner(request: pytest.FixtureRequest) -> Runner:
    return _bwrap() if request.param == "bwrap" else PlainRunner()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The throw-away copy."""
    folder = tmp_path / "copy"
    folder.mkdir()
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    return folder


@pytest.fixture
def toolbox(repository: Path) -> Toolbox:
    """The interpreter of this test run, with pytest in it."""
    return Toolbox.of(repository, sys.executable)


@pytest.fixture
def shell(copy: Path) -> Callable[..., CommandResult]:
    """Run a shell line in the copy: `shell(runner, "exit 3", timeout_seconds=5)`."""

    def run(runner: Runner, line: str, **changes: Any) -> CommandResult:
        settings: dict[str, Any] = {"cwd": copy, "timeout_seconds": 20, "writable": (copy,), **changes}
        return runner.run(CommandSpec(argv=("/bin/sh", "-c", line), **settings))

    return run


@pytest.fixture
def python(copy: Path, toolbox: Toolbox) -> Callable[..., CommandResult]:
    """Run Python code in the copy with the interpreter of this test run."""

    def run(runner: Runner, *arguments: str, **changes: Any) -> CommandResult:
        program = toolbox.resolve("python", source=copy)
        settings: dict[str, Any] = {
            "cwd": copy,
            "timeout_seconds": 30,
            "writable": (copy,),
            "readonly": program.mounts,
            "path": toolbox.path,
            **changes,
        }
        return runner.run(CommandSpec(argv=(str(program.path), *arguments), **settings))

    return run
