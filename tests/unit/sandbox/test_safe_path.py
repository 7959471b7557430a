"""A `pytest.py` in the working directory is not what `python -m pytest` runs. Shown with the real pytest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from autopilot.sandbox.run import CommandResult, Runner


def test_a_pytest_in_the_working_directory_is_not_run(
    runner: Runner, copy: Path, python: Callable[..., CommandResult]
) -> None:
    (copy / "pytest.py").write_text("print('shim'); raise SystemExit(0)\n")
    (copy / "test_a.py").write_text("def test_a():\n    assert False\n")
    result = python(runner, "-m", "pytest", "-q")
    assert b"shim" not in result.output
    assert result.exit_code == 1
    # The control: without the engine's PYTHONSAFEPATH the shim is what runs.
    shimmed = python(runner, "-m", "pytest", "-q", env={"PYTHONSAFEPATH": ""})
    assert (shimmed.output, shimmed.exit_code) == (b"shim\n", 0)
