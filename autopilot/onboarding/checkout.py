"""What a checkout of the repository lacks, though the developer's own working copy has it.

The engine runs commands on a checkout of the judged tree: no ignored files, no compiled parts, nothing installed.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import Any

from autopilot.onboarding.files import RepositoryFiles
from autopilot.onboarding.project import PythonProject, below, table
from autopilot.onboarding.requirements import normalised

_COMPILED_BACKENDS = ("maturin", "scikit_build_core", "mesonpy", "setuptools_rust", "poetry.core.masonry.builder")


def lacking(files: RepositoryFiles, project: PythonProject) -> tuple[str, ...]:
    """What must be done by a person before the commands can work on a checkout, one sentence each."""
    pyproject = files.toml("pyproject.toml")
    missing: list[str] = []
    backend = str(table(pyproject, "build-system").get("build-backend", ""))
    compiled = any(backend.startswith(name) for name in _COMPILED_BACKENDS) or re.search(
        r"\bext_modules\b", files.text("setup.py") or ""
    )
    if compiled:
        missing.append(
            "commands.build: the project has compiled parts; set the command that builds them in place, "
            "since a fresh checkout has none"
        )
    missing += [
        f"{path}: the package imports it, but it is written at build time and not in git, so that no "
        "checkout has it; track it, or let the import fall back on ImportError"
        for path in _generated_version_files(pyproject)
        if _absent_from_checkout(files, path) and _imports_unguarded(files, project, path)
    ]
    return tuple(missing)


def reads_own_version(files: RepositoryFiles, project: PythonProject) -> bool:
    """Whether importing the package asks for its installed metadata, which a source tree does not have."""
    own = {normalised(project.name), *map(normalised, project.packages)}
    for package in project.packages:
        for node, guarded in _statements(files, below(project.source_root, f"{package}/__init__.py")):
            for call in ast.walk(node) if not guarded else ():
                if not isinstance(call, ast.Call) or not call.args or isinstance(node, ast.FunctionDef):
                    continue
                function = getattr(call.func, "attr", getattr(call.func, "id", ""))
                argument = call.args[0]
                named = getattr(argument, "id", "") in ("__name__", "__package__") or (
                    isinstance(argument, ast.Constant) and normalised(str(argument.value)) in own
                )
                if function in ("version", "metadata", "distribution", "get_distribution") and named:
                    return True
    return False


def _generated_version_files(pyproject: Mapping[str, Any]) -> tuple[str, ...]:
    scm = table(pyproject, "tool", "setuptools_scm")
    hook = table(pyproject, "tool", "hatch", "build", "hooks", "vcs")
    stated = (scm.get("write_to"), scm.get("version_file"), hook.get("version-file"))
    return tuple(dict.fromkeys(path for path in stated if isinstance(path, str) and path.endswith(".py")))


def _absent_from_checkout(files: RepositoryFiles, path: str) -> bool:
    ignored = {line.strip().strip("/") for line in (files.text(".gitignore") or "").splitlines()}
    return not files.has(path) or path in ignored or path.rpartition("/")[2] in ignored


def _imports_unguarded(files: RepositoryFiles, project: PythonProject, path: str) -> bool:
    stem = path.rpartition("/")[2].removesuffix(".py")
    for package in project.packages:
        for source in files.below(below(project.source_root, package), ".py"):
            for node, guarded in _statements(files, source):
                if guarded or not isinstance(node, (ast.Import, ast.ImportFrom)):
                    continue
                module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
                names = {module.rpartition(".")[2], *(alias.name.rpartition(".")[2] for alias in node.names)}
                if stem in names:
                    return True
    return False


def _statements(files: RepositoryFiles, path: str) -> Iterator[tuple[ast.stmt, bool]]:
    """Top-level statements, those inside `if` and `try` too, and whether a `try` catches what they raise."""
    waiting: list[tuple[ast.stmt, bool]] = [(node, False) for node in files.python(path).body]
    while waiting:
        node, guarded = waiting.pop(0)
        if isinstance(node, ast.Try):
            waiting += [(item, True) for item in node.body]
            waiting += [(item, guarded) for item in (*node.orelse, *node.finalbody)]
        elif isinstance(node, ast.If):
            # `if TYPE_CHECKING:` does not run; other branches may.
            skip = "TYPE_CHECKING" in ast.dump(node.test)
            waiting += [(item, guarded) for item in (*(() if skip else node.body), *node.orelse)]
        else:
            yield node, guarded
