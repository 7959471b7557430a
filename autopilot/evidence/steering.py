"""The parts of `pyproject.toml` and `setup.cfg` that steer test runners, coverage, linters and their plugins.

Each is brought to bytes that are equal if the parts are. A file that is not there steers as little as an empty one; a
file that cannot be read whole is its own bytes: a runner may read it otherwise than we would.
"""

from __future__ import annotations

import configparser
import tomllib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

_TOOLS = ("pytest", "coverage", "tox", "nox", "hatch", "ruff", "flake8", "pylint")
# Programs whose name a project's own script would take in the environment the commands run in.
_PROGRAMS = frozenset({"pytest", "py.test", "coverage", "coverage3", "python", "python3", "ruff", "flake8", "pylint"})
_SECTIONS = (
    *("tool:pytest", "pytest", "coverage", "flake8", "pycodestyle", "pylint", "tox"),
    "options.entry_points",
)


def pyproject_steering(data: bytes | None) -> bytes:
    """The steering parts of a pyproject.toml."""
    try:
        document = tomllib.loads((data or b"").decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError):
        return data or b""
    tools = _table(document, "tool")
    poetry, project, build = _table(tools, "poetry"), _table(document, "project"), _table(document, "build-system")
    scripts = {**_table(poetry, "scripts"), **_table(project, "gui-scripts"), **_table(project, "scripts")}
    parts = {
        "tools": [(name, tools[name]) for name in _TOOLS if name in tools],
        "backend-path": build.get("backend-path"),
        "plugins": [project.get("entry-points"), poetry.get("plugins"), _table(tools, "flit").get("entrypoints")],
        "scripts": sorted((name, repr(scripts[name])) for name in scripts if name in _PROGRAMS),
    }
    # `repr` keeps apart what JSON would not: 1 and true, a date and its text.
    return repr(parts).encode()


def _table(parent: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = parent.get(name)
    return value if isinstance(value, Mapping) else {name: value} if value is not None else {}


def setup_cfg_steering(data: bytes | None) -> bytes:
    """The steering parts of a setup.cfg."""
    parser = configparser.RawConfigParser()
    try:
        # pytest breaks lines where str.splitlines does, configparser at newlines only: a section must not hide
        # behind a form feed.
        parser.read_string("\n".join((data or b"").decode().splitlines()))
    except (configparser.Error, UnicodeDecodeError):
        return data or b""
    # By their beginning: pytest cuts a comment off a section's line, so that `[tool:pytest] # ]` is one as well.
    found = {name: sorted(parser.items(name)) for name in sorted(parser.sections()) if name.startswith(_SECTIONS)}
    return repr(found).encode()


def pyproject_installed(data: bytes | None) -> bytes:
    """The parts of a pyproject.toml that decide what an installer brings along."""
    try:
        document = tomllib.loads((data or b"").decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError):
        return data or b""
    tools, project = _table(document, "tool"), _table(document, "project")
    parts = (
        *(project.get(name) for name in ("dependencies", "optional-dependencies")),
        document.get("dependency-groups"),
        _table(document, "build-system").get("requires"),
        *(_table(_table(tools, "poetry"), name) for name in ("dependencies", "dev-dependencies", "group")),
        *(tools.get(name) for name in ("uv", "pdm", "setuptools", "flit")),
    )
    return repr(parts).encode()


def setup_cfg_installed(data: bytes | None) -> bytes:
    """The parts of a setup.cfg that decide what an installer brings along."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string("\n".join((data or b"").decode().splitlines()))
    except (configparser.Error, UnicodeDecodeError):
        return data or b""
    return repr(
        [sorted(parser.items(name)) for name in sorted(parser.sections()) if name.startswith("options")]
    ).encode()


INSTALLED_PARTS: Mapping[str, Callable[[bytes | None], bytes]] = MappingProxyType(
    {"pyproject.toml": pyproject_installed, "setup.cfg": setup_cfg_installed}
)

STEERING_PARTS: Mapping[str, Callable[[bytes | None], bytes]] = MappingProxyType(
    {"pyproject.toml": pyproject_steering, "setup.cfg": setup_cfg_steering}
)
