"""Which changed test files a report must have cases of, and whether it has. By their names and syntax trees alone."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable

from autopilot.kernel.test_files import is_test_module

MAX_BYTES = 1024 * 1024
_PARTS = re.compile(r"[./\\]+")


def parsed(data: bytes) -> ast.Module | None:
    """The syntax tree of a file that is not run; None where there is none to be had."""
    if len(data) > MAX_BYTES:
        return None
    try:
        with warnings.catch_warnings():
            # A stray backslash is the project's business, and no reason to write to the engine's standard error.
            warnings.simplefilter("ignore")
            return ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def holds_tests(path: str, data: bytes | None) -> bool:
    """Whether the file is one whose tests a runner would run: `test_…` functions, or methods of a class."""
    if data is None or not is_test_module(path):
        return False
    tree = parsed(data)
    if tree is None:
        return True
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return any(node.name.startswith("test") for node in functions)


def unreported(paths: Iterable[str], identifiers: Iterable[str]) -> tuple[str, ...]:
    """Those of `paths` of which no identifier is a test's.

    A runner may be rooted above or below the repository: names are compared from the file's own name upwards, as far
    as both go.
    """
    known: dict[str, list[list[str]]] = {}
    for identifier in identifiers:
        parts = _PARTS.split(identifier.partition("[")[0].replace(".py::", ".").replace("::", "."))
        for place, part in enumerate(parts):
            known.setdefault(part, []).append(parts[:place][::-1])
    return tuple(path for path in paths if not _listed(path, known))


def _listed(path: str, known: dict[str, list[list[str]]]) -> bool:
    *folders, stem = path.removesuffix(".py").split("/")
    upwards = folders[::-1]
    return any(all(a == b for a, b in zip(upwards, above, strict=False)) for above in known.get(stem, ()))
