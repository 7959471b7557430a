"""Paths and patterns that a document may name: inside the repository, never the engine's or git's own.

A pattern is for what a command generates: `*` and `?` within one component, `**` for any number of components. It must
begin with a literal folder (`docs/api/**`) or be one file pattern with three literal characters (`*.lock`), so that no
pattern covers the repository. Matching is linear in pattern times path; there is no regular expression.
"""

from __future__ import annotations

MAX_PATH_CHARACTERS = 1_024
MAX_COMPONENTS = 64
MIN_LITERAL_CHARACTERS = 3

WILDCARDS = frozenset("*?")
# Letters by their category, blank on every screen: two paths would look like one.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def path_fault(path: str, *, state_dir: str = "state") -> str:
    """Why `path` cannot be a file of the repository, or an empty string."""
    if not path:
        return "an empty path"
    shown = repr(path[:80])
    if len(path) > MAX_PATH_CHARACTERS or path.count("/") >= MAX_COMPONENTS:
        return f"{shown} is longer than {MAX_PATH_CHARACTERS} characters or {MAX_COMPONENTS} components"
    if not path.isprintable() or "\\" in path or _BLANK & set(path):
        return f"{shown} has a backslash or a character that cannot be seen"
    if path.startswith("/") or (len(path) > 1 and path[1] == ":"):
        return f"{shown} is absolute"
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts):
        return f"{shown} has an empty, `.` or `..` component"
    folded = [part.casefold().rstrip(". ") for part in parts]
    if ".git" in folded or "git~1" in folded:
        return f"{shown} is git's own"
    state = state_dir.casefold().strip("/").split("/")
    if state != [""] and folded[: len(state)] == state:
        return f"{shown} is the engine's own ({state_dir}/)"
    return ""


def pattern_fault(pattern: str, *, state_dir: str = "state") -> str:
    """Why `pattern` cannot say what a command generates, or an empty string."""
    fault = path_fault(pattern, state_dir=state_dir)
    if fault:
        return fault
    parts = pattern.split("/")
    if any("**" in part and part != "**" for part in parts):
        return f"{pattern[:80]!r} has ** beside other characters; it stands for whole components"
    if len(parts) == 1:
        literal = sum(character not in WILDCARDS for character in pattern)
        return "" if literal >= MIN_LITERAL_CHARACTERS else f"{pattern[:80]!r} would cover nearly anything"
    if WILDCARDS & set(parts[0]):
        return f"{pattern[:80]!r} begins with a wildcard; begin with the folder the command writes to"
    return ""


def matches(pattern: str, path: str) -> bool:
    """Whether `path` is one that `pattern` means, component by component."""
    wanted, given = pattern.split("/"), path.split("/")
    reachable = {0}
    for component in given:
        # Positions in the pattern after this component; `**` stays where it is or is passed over.
        reachable = {
            target
            for position in _passing(wanted, reachable)
            if position < len(wanted)
            for target in ((position,) if wanted[position] == "**" else (position + 1,))
            if wanted[position] == "**" or _component_matches(wanted[position], component)
        }
        if not reachable:
            return False
    return len(wanted) in _passing(wanted, reachable)


def _passing(wanted: list[str], positions: set[int]) -> set[int]:
    """`positions` and those reached by letting `**` stand for nothing more."""
    reached: set[int] = set()
    for position in positions:
        reached.add(position)
        while position < len(wanted) and wanted[position] == "**":
            position += 1
            reached.add(position)
    return reached


def _component_matches(pattern: str, text: str) -> bool:
    """`*` and `?` by two pointers: on a mismatch the last `*` takes one character more."""
    at, star, taken = 0, -1, 0
    index = 0
    while index < len(text):
        if at < len(pattern) and pattern[at] != "*" and pattern[at] in ("?", text[index]):
            at, index = at + 1, index + 1
        elif at < len(pattern) and pattern[at] == "*":
            star, taken, at = at, index, at + 1
        elif star >= 0:
            taken += 1
            at, index = star + 1, taken
        else:
            return False
    return all(character == "*" for character in pattern[at:])
