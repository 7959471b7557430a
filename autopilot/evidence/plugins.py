"""Whether a new test file is more than a test: a file that, once collected, steers the runner for all others.

pytest takes `pytest_plugins` of any test module at its word and loads what it names, the module itself included; then
its `pytest_*` functions see and may rewrite every outcome. Found are the declared ways, by the syntax tree alone: the
file is not run. What a test does while it runs (replacing parts of pytest by assignment) is for review to see.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator

MAX_BYTES = 1024 * 1024

# Read by pytest from modules it collects, however they came there.
_NAMES = frozenset({"pytest_plugins", "collect_ignore", "collect_ignore_glob"})
_INSIDE = ("_pytest", "pluggy")
_PREFIX = "pytest_"
_NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


def plugin_fault(data: bytes | None) -> str:
    """Why a new test file with these bytes counts as pinned, or an empty string."""
    if data is None:
        return "a test file that cannot be read"
    tree = _parsed(data)
    if tree is None:
        # What we cannot read the runner may read otherwise.
        return "a test file that cannot be parsed"
    return next(_faults(tree), "")


def _parsed(data: bytes) -> ast.Module | None:
    if len(data) > MAX_BYTES:
        return None
    try:
        with warnings.catch_warnings():
            # A stray backslash is the project's business, and no reason to write to the engine's standard error.
            warnings.simplefilter("ignore")
            return ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _faults(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        for text in _texts(node):
            if text in _NAMES:
                yield f"a test file that steers the runner by {text!r}"
            if text == "pluginmanager" or text.partition(".")[0] in _INSIDE:
                yield f"a test file that reaches inside the runner: {text!r}"
    for name in _module_names(tree):
        # A star may bring any name, and a module's `__getattr__` may answer to any.
        if name in ("*", "__getattr__") or name.startswith(_PREFIX):
            yield f"a test file that may be a plugin: it defines or imports {name!r}"


def _texts(node: ast.AST) -> Iterator[str]:
    """Every name and text that stands in the node itself: identifiers, attributes, keywords, module names, strings."""
    for _, value in ast.iter_fields(node):
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (item for item in value if isinstance(item, str))


def _module_names(tree: ast.Module) -> Iterator[str]:
    """The names the module itself is given, in branches and loops too, but not inside functions and classes."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.ImportFrom(names=names):
                yield from (alias.asname or alias.name for alias in names)
            case _:
                pass
        if not isinstance(node, _NESTED):
            waiting.extend(ast.iter_child_nodes(node))
