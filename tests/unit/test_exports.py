"""The public names are there, are what they say, and cost nothing until they are used."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import autopilot


def test_every_public_name_resolves_to_its_own_definition() -> None:
    for name in autopilot.__all__:
        assert getattr(autopilot, name).__name__ == name
    assert set(autopilot.__all__) <= set(dir(autopilot))


def test_there_is_no_other_name() -> None:
    assert not hasattr(autopilot, "Workspaces")


def test_the_version_is_the_distributions() -> None:
    assert autopilot.__version__ == version("autopilot-governance")


def test_importing_the_package_imports_nothing_else_of_it() -> None:
    code = (
        "import autopilot, sys; print([m for m in sys.modules if m.startswith(('autopilot.', 'pydantic', 'orjson'))])"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
