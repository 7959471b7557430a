"""Lint: findings are counted, and what is not understood counts as one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autopilot.kernel.errors import ContractError
from autopilot.sandbox.interpreter import Toolbox
from autopilot.sandbox.reports import parse_lint
from autopilot.sandbox.run import CommandSpec, Runner


def test_ruffs_own_report(plain: Runner, copy: Path, toolbox: Toolbox) -> None:
    (copy / "a.py").write_text("import os, sys\nx=1\n")
    program = toolbox.resolve("ruff", source=copy)
    for select, findings in (("F", 2), ("E9", 0)):
        result = plain.run(
            CommandSpec(
                argv=(
                    *(str(program.path), "check", "--isolated", "--no-cache", "--select", select),
                    *("--output-format", "json", "--output-file", "lint.json", "."),
                ),
                cwd=copy,
                timeout_seconds=30,
                writable=(copy,),
            )
        )
        report = parse_lint((copy / "lint.json").read_bytes(), "ruff-json")
        assert (report.findings, result.exit_code) == (findings, min(findings, 1))
        assert report.by_rule == ({"F401": 2} if findings else {})


def test_a_syntax_error_is_a_finding_without_a_code() -> None:
    report = parse_lint(b'[{"code": null, "filename": "a.py"}]', "ruff-json")
    assert (report.findings, report.by_rule, report.by_file) == (1, {"": 1}, {"a.py": 1})


def test_text_of_flake8_and_pyflakes() -> None:
    report = parse_lint(
        b"./a.py:1:1: F401 'os' imported but unused\na.py:2:3: undefined name 'x'\nb.py:7: invalid syntax\n\n"
        b"Traceback (most recent call last):\n",
        "flake8",
    )
    assert report.findings == 4
    assert report.by_rule == {"": 3, "F401": 1}
    assert report.by_file == {"": 1, "./a.py": 1, "a.py": 1, "b.py": 1}


def test_lines() -> None:
    assert parse_lint(b"one\n\n  \ntwo\n", "lines").findings == 2
    assert parse_lint(b"", "lines").findings == 0
    assert parse_lint(b"\xff\xfe\n", "flake8").findings == 1


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'[{"code": "F401"}]', b"[" * 100_000, b"All checks passed!"])
def test_what_is_no_ruff_report(data: bytes) -> None:
    with pytest.raises(ContractError) as caught:
        parse_lint(data, "ruff-json")
    assert caught.value.code == "report_unreadable"


def test_an_unknown_form_is_refused() -> None:
    call: Callable[..., object] = parse_lint
    with pytest.raises(ContractError, match="bad_config"):
        call(b"", "checkstyle")


def test_long_lines_cost_little() -> None:
    assert parse_lint(b":" * 4_000_000 + b"\n" + b"a" * 4_000_000 + b":1:", "flake8").findings == 2
    with pytest.raises(ContractError):
        parse_lint(b"x" * (17 * 1024 * 1024), "lines")
