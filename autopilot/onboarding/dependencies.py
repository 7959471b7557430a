"""What a Python project says it needs to run its tests, wherever it says so.

Runtime: `[project]`, else setup.cfg, else poetry, else setup.py, else requirements.txt. Tests: extras or dependency
groups named test, tests or testing, else dev; else requirement files of such names. From a `dev` group the tools
that no test run needs are left out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from autopilot.onboarding.files import RepositoryFiles
from autopilot.onboarding.requirements import Requirement, normalised, parse_requirement

_TEST_NAMES = ("test", "tests", "testing")
_DEV_NAMES = ("dev", "develop", "development")
_TEST_FILES = tuple(
    pattern.format(name)
    for name in (*_TEST_NAMES, *_DEV_NAMES)
    for pattern in ("requirements-{}.txt", "requirements_{}.txt", "{}-requirements.txt", "requirements/{}.txt")
)
_NOT_FOR_TESTS = frozenset(
    {
        "black", "build", "bump-my-version", "bumpversion", "flake8", "furo", "hatch", "ipdb", "ipython", "isort",
        "mkdocs", "mkdocs-material", "mypy", "nox", "pip", "pip-tools", "pre-commit", "prek", "pylint", "pyright",
        "ruff", "setuptools", "sphinx", "sphinx-rtd-theme", "tox", "tox-uv", "twine", "uv", "wheel",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Requirements by name, and requirement files that pip must read itself because they hold options."""

    requirements: tuple[Requirement, ...] = ()
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_dependencies(files: RepositoryFiles, name: str) -> Dependencies:
    """Everything declared that a test run of the project called `name` needs."""
    pyproject, setup_cfg = files.toml("pyproject.toml"), files.ini("setup.cfg")
    gathered = _Gathered(normalised(name))
    runtime = _runtime(files, pyproject, setup_cfg)
    if runtime is None:
        gathered.add_file(files, "requirements.txt")
    else:
        gathered.add(runtime)
    groups = _groups(pyproject, setup_cfg)
    chosen = [group for group in _TEST_NAMES if group in groups] or [group for group in _DEV_NAMES if group in groups]
    for group in chosen:
        gathered.add(groups[group], groups, only_for_tests=group in _DEV_NAMES)
    if not chosen:
        present = [path for path in _TEST_FILES if files.has(path)]
        if present:
            gathered.add_file(files, present[0])
    return gathered.result()


def setup_arguments(files: RepositoryFiles) -> dict[str, Any]:
    """The literal keyword arguments of `setup(...)` in setup.py; what is computed there is not seen."""
    arguments: dict[str, Any] = {}
    for node in ast.walk(files.python("setup.py")):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "setup":
            for keyword in node.keywords:
                try:
                    arguments[keyword.arg or ""] = ast.literal_eval(keyword.value)
                except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                    continue
    return arguments


class _Gathered:
    """Collects requirements once each, follows `project[extra]`, and keeps notes on what was left out."""

    def __init__(self, project: str) -> None:
        self._project = project
        self._requirements: dict[str, Requirement] = {}
        self._files: list[str] = []
        self._notes: list[str] = []
        self._followed: set[str] = set()

    def add(
        self,
        texts: Iterable[str],
        groups: Mapping[str, tuple[str, ...]] | None = None,
        *,
        only_for_tests: bool = False,
    ) -> None:
        for text in texts:
            requirement = parse_requirement(text)
            if requirement is None:
                self._notes.append(f"the dependency {text!r} was not understood and is left out")
            elif requirement.name == self._project:
                for extra in requirement.extras:
                    if extra not in self._followed and groups and extra in groups:
                        self._followed.add(extra)
                        self.add(groups[extra], groups, only_for_tests=only_for_tests)
            elif not (only_for_tests and requirement.name in _NOT_FOR_TESTS):
                self._requirements.setdefault(requirement.text, requirement)

    def add_file(self, files: RepositoryFiles, path: str) -> None:
        lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in (files.text(path) or "").splitlines()]
        lines = [line for line in lines if line]
        if any(re.match(r"(-e|--editable)\b|\.(/|\[|$)", line) for line in lines):
            # The project itself must not be installed: the tests would run that copy, not the judged tree.
            self._notes.append(f"{path} installs the project itself; that line is left out")
            self.add(line for line in lines if parse_requirement(line))
        elif lines:
            requirements = [parse_requirement(line) for line in lines]
            if all(requirements):
                self.add(lines)
            else:
                self._files.append(path)

    def result(self) -> Dependencies:
        return Dependencies(tuple(self._requirements.values()), tuple(self._files), tuple(self._notes))


def _runtime(
    files: RepositoryFiles, pyproject: Mapping[str, Any], setup_cfg: Mapping[str, Mapping[str, str]]
) -> tuple[str, ...] | None:
    """Declared runtime dependencies; None where no declaration was found."""
    project = _table(pyproject, "project")
    if project and "dependencies" not in _strings(project.get("dynamic")):
        return _strings(project.get("dependencies"))
    if "install_requires" in setup_cfg.get("options", {}):
        return _lines(setup_cfg["options"]["install_requires"])
    poetry = _table(pyproject, "tool", "poetry")
    if poetry:
        return _poetry(_table(poetry, "dependencies"))
    required = setup_arguments(files).get("install_requires")
    return None if required is None else _strings(required)


def _groups(pyproject: Mapping[str, Any], setup_cfg: Mapping[str, Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    """Optional dependencies of every kind, by normalised name; an extra wins over a group of its name."""
    groups: dict[str, tuple[str, ...]] = {}
    declared = _table(pyproject, "dependency-groups")
    for name in declared:
        groups[normalised(name)] = _group(declared, name, frozenset())
    for name, content in _table(pyproject, "tool", "poetry", "group").items():
        groups[normalised(name)] = _poetry(_table(content, "dependencies") if isinstance(content, dict) else {})
    for name, text in setup_cfg.get("options.extras_require", {}).items():
        groups[normalised(name)] = _lines(text)
    for name, extra in _table(pyproject, "project", "optional-dependencies").items():
        groups[normalised(name)] = _strings(extra)
    return groups


def _group(declared: Mapping[str, Any], name: str, seen: frozenset[str]) -> tuple[str, ...]:
    """A dependency group with its `include-group` entries in place; a cycle ends where it closes."""
    texts: list[str] = []
    for item in declared.get(name) or ():
        if isinstance(item, str):
            texts.append(item)
        elif isinstance(item, dict) and isinstance(item.get("include-group"), str):
            included = item["include-group"]
            if included not in seen:
                texts += _group(declared, included, seen | {name})
    return tuple(texts)


def _poetry(table: Mapping[str, Any]) -> tuple[str, ...]:
    """Poetry's constraints as requirements; a caret or tilde becomes the range it stands for."""
    texts = []
    for name, constraint in table.items():
        if name == "python":
            continue
        version = constraint.get("version", "*") if isinstance(constraint, dict) else constraint
        texts.append(name + _poetry_range(version if isinstance(version, str) else "*"))
    return tuple(texts)


def _poetry_range(constraint: str) -> str:
    found = re.fullmatch(r"([\^~])\s*([0-9]+(?:\.[0-9]+)*)", constraint.strip())
    if not found:
        plain = constraint.strip()
        exact = re.fullmatch(r"[0-9]+(?:\.[0-9]+)*", plain)
        return f"=={plain}" if exact else "" if plain == "*" else plain
    parts = [int(part) for part in found[2].split(".")]
    if found[1] == "~":
        fixed = min(2, len(parts)) - 1
    else:
        # The caret fixes everything up to the first number that is not 0.
        fixed = next((position for position, part in enumerate(parts) if part), len(parts) - 1)
    above = [*parts[:fixed], parts[fixed] + 1]
    return f">={found[2]},<{'.'.join(map(str, above))}"


def _table(content: Mapping[str, Any], *path: str) -> dict[str, Any]:
    current: Any = content
    for name in path:
        current = current.get(name) if isinstance(current, Mapping) else None
    return dict(current) if isinstance(current, Mapping) else {}


def _strings(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return _lines(value)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, (list, tuple)) else ()


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#"))
