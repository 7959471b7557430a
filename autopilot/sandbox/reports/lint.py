"""Counts what a linter found.

    ruff-json   `ruff check --output-format json --output-file {report}`
    flake8      `path:line[:col]: CODE message`, as flake8, pycodestyle and pyflakes write
    lines       anything else: every line that is not blank is one finding

In text, a line that does not fit counts as a finding: a crash, a warning or a format nobody knows must not look
like a clean run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from autopilot.kernel.errors import ContractError
from autopilot.sandbox.reports.caps import MAX_BYTES, parse_json, unreadable

LintFormat = Literal["ruff-json", "flake8", "lines"]

_WHERE = "lint report"
# No nested repetition: the time is linear in the line, whatever stands in it.
_FLAKE8 = re.compile(r"([^:\n]+):(\d{1,9}):(?:(\d{1,9}):)? +(?:([A-Z]{1,10}\d{1,5}) +)?\S")


@dataclass(frozen=True, slots=True)
class LintReport:
    """How many findings there are, by rule and by file; `""` stands for findings that name none."""

    findings: int
    by_rule: Mapping[str, int]
    by_file: Mapping[str, int]


def parse_lint(data: bytes, form: LintFormat) -> LintReport:
    """The findings in `data`. Text may be empty (no findings), JSON may not.

    Raises ContractError `report_unreadable` for a report that is not of this form, `bad_config` for no such form.
    """
    if form not in get_args(LintFormat):
        raise ContractError("bad_config", where="lint format", detail=f"use one of {', '.join(get_args(LintFormat))}")
    return _report(_ruff(data) if form == "ruff-json" else _text(data, form))


def _ruff(data: bytes) -> list[tuple[str, str]]:
    value = parse_json(data, where=_WHERE)
    if not isinstance(value, list):
        raise unreadable("not a list of findings", where=_WHERE)
    found: list[tuple[str, str]] = []
    for entry in value:
        if not isinstance(entry, dict) or not isinstance(entry.get("filename"), str):
            raise unreadable("a finding without a file name", where=_WHERE)
        # Ruff reports a syntax error with no code.
        code = entry.get("code")
        found.append((code if isinstance(code, str) else "", entry["filename"]))
    return found


def _text(data: bytes, form: LintFormat) -> list[tuple[str, str]]:
    if len(data) > MAX_BYTES:
        raise unreadable(f"{len(data)} bytes, at most {MAX_BYTES} are read", where=_WHERE)
    found: list[tuple[str, str]] = []
    for line in data.decode("utf-8", "replace").splitlines():
        if line.strip():
            match = _FLAKE8.match(line) if form == "flake8" else None
            found.append((match[4] or "", match[1]) if match else ("", ""))
    return found


def _report(found: list[tuple[str, str]]) -> LintReport:
    rules, files = Counter(rule for rule, _ in found), Counter(file for _, file in found)
    return LintReport(len(found), dict(sorted(rules.items())), dict(sorted(files.items())))
