"""Reads coverage.py's JSON report (formats 2 and 3).

The percentage is computed from the files' own lists, in integer hundredths and rounded down; the report's totals
are only held against it. Branches count as in coverage.py: (lines + branches covered) / (lines + branches). Where it
lists them, its numbers are held against the lists; where it does not, a line has no more than 16.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autopilot.sandbox.reports.caps import count, parse_json, unreadable

_WHERE = "coverage report"
_MAX_FILES = 100_000
_MAX_PATH_CHARACTERS = 4096
# Ways out of one line. Two are usual; comprehensions that share a line have more.
_MAX_BRANCHES_OF_LINE = 16


@dataclass(frozen=True, slots=True)
class FileCoverage:
    """One file: the lines that ran, the lines that did not, and the branches by number."""

    executed: tuple[int, ...]
    missing: tuple[int, ...]
    branches_covered: int = 0
    branches: int = 0


@dataclass(frozen=True, slots=True)
class CoverageReport:
    """The whole. `percent_hundredths` is 8333 for 83.33 %; 0 where nothing was measured."""

    percent_hundredths: int
    statements: int
    files: Mapping[str, FileCoverage]


def parse_coverage(data: bytes) -> CoverageReport:
    """The report in `data`; ContractError `report_unreadable` if it is not one or contradicts itself."""
    value = parse_json(data, where=_WHERE)
    if not isinstance(value, dict) or not isinstance(value.get("files"), dict):
        raise unreadable("no `files` object", where=_WHERE)
    if len(value["files"]) > _MAX_FILES:
        raise unreadable(f"more than {_MAX_FILES} files", where=_WHERE)
    files = {path: _file(path, record) for path, record in sorted(value["files"].items())}
    statements = sum(len(found.executed) + len(found.missing) for found in files.values())
    branches = sum(found.branches for found in files.values())
    covered = sum(len(found.executed) + found.branches_covered for found in files.values())
    # Nothing measured is nothing covered, where coverage.py would say 100 %.
    percent = covered * 10_000 // (statements + branches) if statements + branches else 0
    _refuse_other_totals(value.get("totals"), statements, covered, branches)
    return CoverageReport(percent, statements, files)


def _file(path: str, record: Any) -> FileCoverage:
    if not isinstance(record, dict):
        raise unreadable(f"{path[:80]!r}: not an object", where=_WHERE)
    _refuse_path(path)
    executed, missing = _lines(path, record, "executed_lines"), _lines(path, record, "missing_lines")
    if set(executed) & set(missing):
        raise unreadable(f"{path}: a line both ran and did not", where=_WHERE)
    summary = record.get("summary")
    if not isinstance(summary, dict):
        raise unreadable(f"{path}: no summary", where=_WHERE)
    branches_covered = count(summary.get("covered_branches", 0), f"{path}: covered_branches", where=_WHERE)
    branches = count(summary.get("num_branches", 0), f"{path}: num_branches", where=_WHERE)
    for name, seen in (("covered_lines", len(executed)), ("missing_lines", len(missing))):
        if count(summary.get(name), f"{path}: {name}", where=_WHERE) != seen:
            raise unreadable(f"{path}: {name} is not what is listed", where=_WHERE)
    if branches_covered > branches:
        raise unreadable(f"{path}: more branches covered than there are", where=_WHERE)
    if branches > _MAX_BRANCHES_OF_LINE * (len(executed) + len(missing)):
        raise unreadable(f"{path}: {branches} branches on {len(executed) + len(missing)} lines", where=_WHERE)
    if "executed_branches" in record or "missing_branches" in record:
        lines = {*executed, *missing}
        taken, left = (_arcs(path, record, name, lines) for name in ("executed_branches", "missing_branches"))
        if taken & left or (len(taken), len(taken) + len(left)) != (branches_covered, branches):
            raise unreadable(f"{path}: its branches are not those that are listed", where=_WHERE)
    return FileCoverage(executed, missing, branches_covered, branches)


def _lines(path: str, record: dict[str, Any], name: str) -> tuple[int, ...]:
    lines = record.get(name)
    if not isinstance(lines, list) or any(type(line) is not int or line < 0 for line in lines):
        raise unreadable(f"{path}: {name} is not a list of line numbers", where=_WHERE)
    if len(set(lines)) != len(lines):
        raise unreadable(f"{path}: {name} names a line twice", where=_WHERE)
    return tuple(sorted(lines))


def _arcs(path: str, record: dict[str, Any], name: str, lines: set[int]) -> set[tuple[int, int]]:
    """The branches listed, each from a line of the file."""
    arcs = record.get(name)
    if not isinstance(arcs, list) or any(
        not isinstance(arc, list) or len(arc) != 2 or any(type(end) is not int for end in arc) for arc in arcs
    ):
        raise unreadable(f"{path}: {name} is not a list of pairs of lines", where=_WHERE)
    found = {(arc[0], arc[1]) for arc in arcs}
    if len(found) != len(arcs) or any(start not in lines for start, _ in found):
        raise unreadable(f"{path}: {name} names a branch twice, or one of no line", where=_WHERE)
    return found


def _refuse_path(path: str) -> None:
    """A path that a reader would take for another file than it is."""
    parts = path.replace("\\", "/").split("/")
    plain = path.isprintable() and 0 < len(path) <= _MAX_PATH_CHARACTERS
    if not plain or ".." in parts or "." in parts or "" in parts[1:]:
        raise unreadable(f"{path[:80]!r} is not a plain path", where=_WHERE)


def _refuse_other_totals(totals: Any, statements: int, covered: int, branches: int) -> None:
    if not isinstance(totals, dict):
        raise unreadable("no `totals` object", where=_WHERE)
    claimed = count(totals.get("covered_lines"), "covered_lines", where=_WHERE)
    claimed += count(totals.get("covered_branches", 0), "covered_branches", where=_WHERE)
    all_claimed = count(totals.get("num_statements"), "num_statements", where=_WHERE)
    all_claimed += count(totals.get("num_branches", 0), "num_branches", where=_WHERE)
    if claimed != covered or all_claimed != statements + branches:
        raise unreadable("the totals are not the sum of the files", where=_WHERE)
