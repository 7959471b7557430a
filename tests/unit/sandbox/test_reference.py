"""What docs/reference/evidence-executed.md says of commands and caps is the code's."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from autopilot.sandbox.environment import Places, command_environment
from autopilot.sandbox.placeholders import expand
from autopilot.sandbox.reports import caps

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "evidence-executed.md").read_text("utf-8")


def test_the_environment_table() -> None:
    for name, value in command_environment({}, Places((), Path("/h"), Path("/t"))).items():
        assert f"`{name}`" in PAGE
        if name not in ("PATH", "HOME", "TMPDIR"):
            assert f"`{value}`" in PAGE


def test_the_caps() -> None:
    assert caps.MAX_BYTES == 16 * 1024 * 1024
    for figure in ("16 MiB", f"{caps.MAX_DEPTH} levels", f"{caps.MAX_CASES:,} tests", f"{caps.MAX_CONTAINERS:,} JSON"):
        assert figure in PAGE


def test_the_example_command() -> None:
    block = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert block is not None
    command = tomllib.loads(block[1])["commands"]["test"]
    argv, env = expand(command["argv"], command["env"], {"report": "/r", "deps": "/d", "source": "/s"})
    assert (argv[-1], env["PYTHONPATH"]) == ("--junitxml=/r", "src:/d")
