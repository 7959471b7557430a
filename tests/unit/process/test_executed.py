"""What a run leaves in the record: which bytes are read as the report, and the end of the output."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from autopilot.evidence.values.quality import CodeQualityScore
from autopilot.evidence.values.tests import BaseInventory, TestResults
from autopilot.kernel.configuration import Command, Settings
from autopilot.process.execution import Ran
from autopilot.process.runners.executed import record_of_lint, record_of_tests
from autopilot.sandbox.run import CommandResult

TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
STAMP = "2026-01-01T00:00:00Z"
JUNIT = b'<testsuite><testcase name="test_a" time="1"><error message="collection failure"/></testcase></testsuite>'


def ran(report: bytes | None, output: bytes = b"", exit_code: int | None = 0) -> Ran:
    result = CommandResult(
        argv=("/usr/bin/tool",),
        exit_code=exit_code,
        signal=None,
        timed_out=False,
        output=output,
        output_bytes=len(output),
        truncated=False,
        duration_ns=1_000_000,
        isolation="none",
        started_at=STAMP,
        finished_at=STAMP,
    )
    return Ran("tool", (result,), report, {})


@pytest.fixture
def bench() -> Callable[..., SimpleNamespace]:
    """What the records take from a bench: task, object store, settings, and a tree with one file of 10 lines."""

    def make(**commands: Command) -> SimpleNamespace:
        return SimpleNamespace(
            task=SimpleNamespace(id="T-1", epoch=0),
            engine=SimpleNamespace(store=SimpleNamespace(objects=SimpleNamespace(put=lambda _: "0" * 64))),
            ticket=SimpleNamespace(settings=Settings(commands=commands)),
            site=SimpleNamespace(
                trees=SimpleNamespace(paths=lambda _: ("a.py", "README.md"), read=lambda _tree, _path: b"x\n" * 10)
            ),
        )

    return make


@pytest.mark.parametrize(
    ("form", "argv", "report", "output", "read", "findings"),
    [
        # A linter that was to write a file and did not has not reported, whatever it printed.
        ("ruff-json", ("ruff", "--output-file={report}"), None, b"[]", "missing", 0),
        ("flake8", ("flake8", "--output-file={report}"), None, b"", "missing", 0),
        ("lines", ("lint", "{report}"), None, b"", "missing", 0),
        ("ruff-json", ("ruff",), None, b"[]", "missing", 0),
        ("flake8", ("flake8",), None, b"a.py:1:1: E1 x\n", "read", 1),
        ("lines", ("lint",), None, b"", "read", 0),
        ("flake8", ("flake8", "--output-file={report}"), b"a.py:1:1: E1 x\n", b"", "read", 1),
        ("ruff-json", ("ruff", "--output-file={report}"), b"{}", b"", "unreadable", 0),
    ],
)
def test_where_a_lint_report_is_read(form, argv, report, output, read, findings, bench) -> None:
    lint = Command(argv=argv, report=form)
    score = CodeQualityScore.from_json(record_of_lint(bench(lint=lint), TREE, ran(report, output)))
    assert (score.report, score.findings, score.lines) == (read, findings, 10 if read == "read" else 0)


@pytest.mark.parametrize("kind", [TestResults, BaseInventory])
@pytest.mark.parametrize(("report", "read"), [(None, "missing"), (b"<x/>", "unreadable"), (JUNIT, "read")])
def test_a_record_of_tests(kind, report, read, bench) -> None:
    record = kind.from_json(record_of_tests(kind, bench(), TREE, ran(report, b"\x1b[31mno such module\n", 2)))
    assert (record.report, record.run.exit_code, record.run.tail) == (read, 2, "no such module")
    assert [case.collection for case in record.cases] == ([True] if read == "read" else [])
    empty = kind.from_json(record_of_tests(kind, bench(), TREE, None))
    assert (empty.configured, empty.run) == (False, None)
