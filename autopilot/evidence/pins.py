"""Pins: which files a task may not change without a person's approval.

Pinned are the tests, conftest files, runner configuration and CI definitions that exist when the task opens, and the
files that a configured command runs by name. New test files are free, unless they are more than tests: see
`autopilot.evidence.plugins`. A *new* conftest, runner configuration, start-up file (`sitecustomize.py`, `*.pth`) or
CI file counts as pinned too, and so does a new module that takes the name of a runner or of the standard library: one
such file can turn every failure into a pass that no report shows. So is new code of the product that reaches for the
runner (`autopilot.evidence.plugins`), and where something is installed for the tests, what decides which. The
configuration of this engine is pinned always.

Of `pyproject.toml` and `setup.cfg` only the parts that steer runners are pinned, so that a version number can change:
see `autopilot.evidence.steering`.
"""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from autopilot.evidence.paths import matches
from autopilot.evidence.plugins import plugin_fault, reach_fault
from autopilot.evidence.steering import INSTALLED_PARTS, STEERING_PARTS
from autopilot.kernel.configuration import Command
from autopilot.kernel.test_files import TEST_PATTERNS

STEERING_FILES = (
    "**/conftest.py",
    "**/pytest.ini",
    "**/.pytest.ini",
    "**/pytest.toml",
    "**/.pytest.toml",
    "**/tox.ini",
    "**/.coveragerc",
    "**/.coveragerc.toml",
    "**/coverage.toml",
    "**/noxfile.py",
    "**/ruff.toml",
    "**/.ruff.toml",
    # What these name is not looked at by ruff and by others that search as ripgrep does.
    "**/.ignore",
    "**/.rgignore",
    "**/.ruffignore",
    "**/.flake8",
    "**/.pylintrc",
    "**/.pylintrc.toml",
    "**/pylintrc",
    "**/pylintrc.toml",
    "**/sitecustomize.py",
    "**/usercustomize.py",
    "**/*.pth",
    # Python runs one of these unseen in place of its source, if it is marked to need no check.
    "**/*.pyc",
    "**/*.egg-info/entry_points.txt",
    "**/*.dist-info/entry_points.txt",
    ".github/**",
    ".gitlab-ci.yml",
    ".circleci/**",
    ".buildkite/**",
    "azure-pipelines.yml",
    "Jenkinsfile",
    ".pre-commit-config.yaml",
    "autopilot.toml",
)

# What `commands.setup` installs is loaded by the test process, with any plugin in it.
INSTALLED_FILES = (
    "**/setup.py",
    "**/requirements*.txt",
    "**/requirements*.in",
    "**/*requirements.txt",
    "**/requirements/**",
    "**/constraints*.txt",
    *(f"**/{name}" for name in ("poetry.lock", "uv.lock", "pdm.lock", "pylock*.toml", "Pipfile", "Pipfile.lock")),
    *("**/package-lock.json", "**/*.whl", "**/*.tar.gz", "**/*.zip", "**/*.egg"),
)

# Where a command names a file that decides what it does.
_INTERPRETERS = ("python", "bash", "dash", "sh", "node", "perl", "ruby")
_CONFIG_OPTIONS = frozenset({"-c", "--config", "--config-file", "--rcfile", "--cov-config", "--settings"})
# What a program reads of itself, without being told on the command line.
_READ_BY = {"make": ("Makefile", "makefile", "GNUmakefile")}
# The product itself may be what these run: its files are the task.
_RUN_THE_PRODUCT = frozenset({"setup", "build", "smoke"})

_INSTALLERS = frozenset({"pip", "uv", "poetry", "pdm", "hatch", "pipenv", "build", "setup.py", "flit", "npm"})

# Imported before the first test runs, whatever the command is.
_STARTUP = frozenset({"sitecustomize", "usercustomize"})
_VERIFIERS = frozenset(
    {
        *("pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments", "coverage", "pytest_cov", "xdist"),
        *("ruff", "flake8", "pyflakes", "pycodestyle", "mccabe", "pylint", "junitparser", "build", "pip", "setuptools"),
    }
)
_MODULE_SUFFIXES = (".py", ".pyc", ".so", ".pyd")

Contents = Callable[[str], tuple[bytes | None, bytes | None]]


@dataclass(frozen=True, slots=True)
class PinnedChange:
    """A pinned file that differs from the base: its path and why it is pinned."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Runs:
    """What the configured commands run: their import roots ("" is the repository's), modules, and files by name.

    `installs`: whether one of them installs what the tree names.
    """

    roots: frozenset[str] = frozenset({""})
    modules: frozenset[str] = _STARTUP | _VERIFIERS | sys.stdlib_module_names
    files: frozenset[str] = frozenset()
    installs: bool = False

    @classmethod
    def of(cls, commands: Mapping[str, Command]) -> Runs:
        """What `commands`, by their names in autopilot.toml, run; placeholders unexpanded."""
        roots, modules, files = {""}, set(cls().modules), set[str]()
        for name, command in commands.items():
            for entry in command.env.get("PYTHONPATH", "").split(":"):
                roots |= _inside(entry)
            modules |= _plugins_of(command.env)
            if name in _RUN_THE_PRODUCT:
                continue
            for vector in command.vectors:
                modules |= _modules_of(vector)
                files |= _files_of(vector)
        installs = "setup" in commands or ("build" in commands and _installs(commands["build"]))
        return cls(frozenset(roots), frozenset(modules), frozenset(files - {""}), installs)


def pinned_changes(
    changes: Iterable[tuple[str, str]],
    read: Contents,
    *,
    runs: Runs = Runs(),
    extra: tuple[str, ...] = (),
    product: bool = True,
) -> tuple[PinnedChange, ...]:
    """The pinned files among `changes` (path, kind: added|modified|deleted|mode).

    `read(path)` gives the bytes before and after (None where there is none); `extra` are further path patterns.
    `product`: whether product code is looked at for what reaches for the runner.
    """
    found: list[PinnedChange] = []
    for path, kind in changes:
        why = _why_pinned(path, kind, read, runs, extra, product=product)
        if why:
            found.append(PinnedChange(path, why))
    return tuple(found)


def pinned_by_name(path: str, *, runs: Runs = Runs(), extra: tuple[str, ...] = ()) -> bool:
    """Whether some change of the file would be pinned whatever is in it: a test, or what steers a runner."""
    name = path.rpartition("/")[2]
    installed = runs.installs and _any(INSTALLED_FILES, path)
    return (
        installed
        or path in runs.files
        or name in STEERING_PARTS
        or _any((*STEERING_FILES, *TEST_PATTERNS, *extra), path)
    )


def _why_pinned(path: str, kind: str, read: Contents, runs: Runs, extra: tuple[str, ...], *, product: bool) -> str:
    if _any(STEERING_FILES, path):
        return "steers a runner or CI" if kind != "added" else "a new file that steers a runner or CI"
    if _any(extra, path):
        return "pinned by [pins]"
    if runs.installs and _any(INSTALLED_FILES, path):
        return "decides what is installed for the tests"
    if path in runs.files:
        return "a configured command runs it"
    name = path.rpartition("/")[2]
    if name in STEERING_PARTS:
        before, after = read(path)
        if STEERING_PARTS[name](before) != STEERING_PARTS[name](after):
            return f"the parts of {name} that steer a runner changed"
        if runs.installs and INSTALLED_PARTS[name](before) != INSTALLED_PARTS[name](after):
            return f"the parts of {name} that decide what is installed for the tests changed"
    is_test = _any(TEST_PATTERNS, path)
    if kind != "added" and is_test:
        return "a test of the base"
    why = _why_new_pinned(path, read, runs) if kind == "added" else ""
    if why or is_test or not product:
        return why
    return reach_fault(path, *read(path))


def _why_new_pinned(path: str, read: Contents, runs: Runs) -> str:
    is_test = _any(TEST_PATTERNS, path)
    # pytest puts the folders of test files on the import path as well.
    roots = runs.roots | set(_folders_of(path)) if is_test else runs.roots
    for root in sorted(roots):
        if root and (root + "/").startswith(path + "/"):
            return "a file or link that takes the place of a folder on the import path"
        module = _imported_as(path, root)
        if module in runs.modules:
            return f"takes the name of {module!r} on the import path"
    if is_test and path.endswith(".py"):
        return plugin_fault(read(path)[1])
    return ""


def _modules_of(vector: tuple[str, ...]) -> set[str]:
    """The top-level modules that a command runs (`-m`) or loads as plugins (`-p`) by name."""
    named = (after for word, after in pairwise(vector) if word in ("-m", "-p"))
    return {name.removeprefix("no:").partition(".")[0] for name in named}


def _plugins_of(env: Mapping[str, str]) -> set[str]:
    """The top-level modules that pytest is told to load by a command's environment."""
    words = tuple(env.get("PYTEST_ADDOPTS", "").split())
    glued = (word[2:] for word in words if word.startswith("-p") and len(word) > len("-p"))
    named = (*env.get("PYTEST_PLUGINS", "").split(","), *glued)
    return {name.strip().partition(".")[0] for name in named if name.strip()} | _modules_of(words)


def _installs(build: Command) -> bool:
    return any(word in _INSTALLERS for vector in build.vectors for word in vector)


def _files_of(vector: tuple[str, ...]) -> set[str]:
    """The files of the repository that decide what a command does: its program, script, configuration."""
    program = posixpath.basename(vector[0])
    words = [vector[0]]
    if program.startswith(_INTERPRETERS):
        words += vector[1:2]
    words += [after for word, after in pairwise(vector) if word in _CONFIG_OPTIONS]
    words += [word.partition("=")[2] for word in vector if word.partition("=")[0] in _CONFIG_OPTIONS]
    return {path for word in words for path in _inside(word)}.union(_READ_BY.get(program, ()))


def _any(patterns: Iterable[str], path: str) -> bool:
    return any(matches(pattern, path) for pattern in patterns)


def _inside(word: str) -> set[str]:
    """The path inside the repository that a word of a command names, if it can be one; `{source}` is the root."""
    path = word.replace("{source}", ".")
    if not path or path.startswith(("/", "-", "{")):
        return set()
    path = posixpath.normpath(path)
    return {"" if path == "." else path}


def _folders_of(path: str) -> Iterable[str]:
    parts = path.split("/")[:-1]
    return ("/".join(parts[:end]) for end in range(1, len(parts) + 1))


def _imported_as(path: str, root: str) -> str:
    """The top-level name that a new file at `path` would be imported as from `root`, or nothing.

    A folder becomes a package by its `__init__`; without one an installed package of the same name goes first. A name
    without a suffix counts: it may be a link to such a folder.
    """
    if root and not path.startswith(root + "/"):
        return ""
    head, _, tail = path[len(root) + 1 if root else 0 :].partition("/")
    if tail:
        return head if tail.partition(".")[0] == "__init__" and tail.endswith(_MODULE_SUFFIXES) else ""
    stem, dot, _ = head.partition(".")
    return stem if not dot or head.endswith(_MODULE_SUFFIXES) else ""
