"""Whether new code steers the test runner: a test file that is more than a test, product code that reaches for it.

pytest takes `pytest_plugins` of any test module at its word and loads what it names, the module itself included; then
its `pytest_*` functions see and may rewrite every outcome. Product code is loaded by the test process too, and can
write the report that is judged. Found are the plain ways, by the syntax tree alone: the file is not run. Names that
are put together while the code runs are not found, but for constants that are added; what bends the runner all the
same meets the control tests (`autopilot.evidence.control`), and review.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator

from autopilot.evidence.reported import MAX_BYTES, parsed

__all__ = ["MAX_BYTES", "plugin_fault", "reach_fault"]

# Read by pytest from modules it collects, however they came there.
_NAMES = frozenset({"pytest_plugins", "collect_ignore", "collect_ignore_glob"})
_INSIDE = ("_pytest", "pluggy")
_PREFIX = "pytest_"
_NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)

# What ends or replaces the process so that no runner concludes, and what tells where the report goes.
_ENDS = frozenset({"_exit", "execl", "execle", "execlp", "execlpe", "execv", "execve", "execvp", "execvpe"})
_REPORT = frozenset({"orig_argv", "junitxml", "xmlpath", "PYTEST_CURRENT_TEST", "PYTEST_VERSION"})
_RUNNER = frozenset({"runtest", "pluginmanager", "PYTEST_PLUGINS", "PYTEST_ADDOPTS"})
# Texts that name these by a part of them.
_PARTS = ("--junit", "/proc/self/", "/proc/thread-self/")
# Product code has no business with these at all.
_TOOLS = frozenset({"pytest", "coverage", *_INSIDE})
_COMPILED = (".so", ".pyd", ".dll", ".dylib")


def plugin_fault(data: bytes | None) -> str:
    """Why a new test file with these bytes counts as pinned, or an empty string."""
    if data is None:
        return "a test file that cannot be read"
    tree = parsed(data)
    if tree is None:
        # What we cannot read the runner may read otherwise.
        return "a test file that cannot be parsed"
    return next(_faults(tree), "")


def reach_fault(path: str, before: bytes | None, after: bytes | None) -> str:
    """Why a change of product code waits for a person: what it newly has that reaches for the runner, or nothing.

    Only Python and compiled modules are looked at. What stood there before as often is no finding, but for a module
    that is a plugin or imports the runner: whatever changes in it, tests may be run by it.
    """
    if after is None:
        return ""
    if path.endswith(_COMPILED):
        return "a compiled module, which nobody can read"
    if not path.endswith(".py"):
        return ""
    tree = parsed(after)
    known = parsed(before) if before is not None else ast.Module([], [])
    if tree is None:
        return "" if known is None else "Python that cannot be parsed"
    if known is not None and any(_test_side(module) for module in (tree, known)):
        return "code of the test runner's side: it is a plugin, or imports the runner"
    new = Counter(_reaching(tree)) - Counter(_reaching(known) if known else ())
    return next((f"code that reaches for the test runner: {text!r}" for text in sorted(new)), "")


def _faults(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        for text in _texts(node):
            if text in _NAMES:
                yield f"a test file that steers the runner by {text!r}"
            if text in _RUNNER or text.partition(".")[0] in _INSIDE:
                yield f"a test file that reaches inside the runner: {text!r}"
            if text in _ENDS or text in _REPORT or any(part in text for part in _PARTS):
                yield f"a test file that reaches for the process or its report: {text!r}"
        if _writes_module_names(node):
            yield "a test file that gives its module names that cannot be read"
    for name in _module_names(tree):
        # A star may bring any name, and a module's `__getattr__` may answer to any.
        if name in ("*", "__getattr__") or name.startswith(_PREFIX):
            yield f"a test file that may be a plugin: it defines or imports {name!r}"


def _test_side(tree: ast.Module) -> bool:
    loaded = (name for node in ast.walk(tree) for name in _loaded(node))
    hooks = (name for name in _module_names(tree) if name.startswith(_PREFIX))
    return any(name.partition(".")[0] in _TOOLS for name in loaded) or any(hooks)


def _reaching(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        for text in _texts(node):
            whole = text in _ENDS or text in _REPORT or text in _RUNNER or text in _NAMES
            if whole or any(part in text for part in _PARTS):
                yield text


def _loaded(node: ast.AST) -> Iterator[str]:
    """Modules that are imported here, or named by a text of their own (`sys.modules["pytest"]`)."""
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=str(module), level=0):
            yield module
        case ast.Constant(value=("pytest" | "_pytest") as name):
            yield name
        case _:
            pass


def _writes_module_names(node: ast.AST) -> bool:
    """`globals()`, `locals()`, `vars()` and `sys.modules[__name__]`: a name could be put together there."""
    match node:
        case ast.Call(func=ast.Name(id="globals")):
            return True
        case ast.Call(func=ast.Name(id="vars" | "locals"), args=[]):
            return True
        case ast.Subscript(value=ast.Attribute(attr="modules"), slice=ast.Name(id="__name__")):
            return True
        case ast.Call(func=ast.Name(id="exec")):
            return True
        case _:
            return False


def _texts(node: ast.AST) -> Iterator[str]:
    """Every name and text that stands in the node itself: identifiers, attributes, keywords, module names, strings."""
    for _, value in ast.iter_fields(node):
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from (item for item in value if isinstance(item, str))
    if isinstance(node, ast.BinOp):
        added = _added(node)
        if added is not None:
            yield added


def _added(node: ast.expr) -> str | None:
    """The text of constants that are added: `"_ex" + "it"`."""
    parts: list[str] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        if not (isinstance(node.right, ast.Constant) and isinstance(node.right.value, str)):
            return None
        parts.append(node.right.value)
        node = node.left
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        return None
    return "".join((node.value, *reversed(parts)))


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
