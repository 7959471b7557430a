"""Coverage: percentages are computed here, in whole hundredths; a report that does not add up is refused."""

from __future__ import annotations

import copy as copies
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autopilot.kernel.errors import ContractError
from autopilot.sandbox.reports import parse_coverage
from autopilot.sandbox.run import CommandResult, Runner

MODULE = "def f(x):\n    if x:\n        return 1\n    return 2\n"


def document(executed: list[int], missing: list[int]) -> dict[str, Any]:
    summary = {"covered_lines": len(executed), "num_statements": len(executed) + len(missing)}
    summary["missing_lines"] = len(missing)
    return {
        "files": {"a.py": {"executed_lines": executed, "missing_lines": missing, "summary": dict(summary)}},
        "totals": summary,
    }


def refused(data: Any) -> str:
    with pytest.raises(ContractError) as caught:
        parse_coverage(data if isinstance(data, bytes) else json.dumps(data).encode())
    assert caught.value.code == "report_unreadable"
    return caught.value.detail


@pytest.mark.parametrize("branch", [(), ("--branch",)])
def test_the_report_of_coverage_itself(
    plain: Runner, copy: Path, python: Callable[..., CommandResult], branch: tuple[str, ...]
) -> None:
    (copy / "m.py").write_text(MODULE)
    (copy / "run.py").write_text("import m\nassert m.f(1) == 1\n")
    env = {"PYTHONPATH": "."}
    assert python(plain, "-m", "coverage", "run", *branch, "--include=m.py", "run.py", env=env).succeeded
    assert python(plain, "-m", "coverage", "json", "-q", "-o", "c.json", env=env).succeeded
    report = parse_coverage((copy / "c.json").read_bytes())
    assert report.files["m.py"].executed == (1, 2, 3)
    assert report.files["m.py"].missing == (4,)
    # 3 of 4 lines; with branches 3 + 1 of 4 + 2, which coverage.py shows as 66.666… %.
    assert report.percent_hundredths == (6666 if branch else 7500)
    assert json.loads((copy / "c.json").read_bytes())["totals"]["percent_covered"] == pytest.approx(
        report.percent_hundredths / 100, abs=0.01
    )


def test_it_rounds_down() -> None:
    assert parse_coverage(json.dumps(document(list(range(1, 3000)), [3000])).encode()).percent_hundredths == 9996
    assert parse_coverage(json.dumps(document(list(range(1, 20000)), [20000])).encode()).percent_hundredths == 9999


def test_nothing_measured_is_nothing_covered() -> None:
    assert parse_coverage(json.dumps(document([], [])).encode()).percent_hundredths == 0


def _lie(change: str) -> dict[str, Any]:
    data = copies.deepcopy(document([1, 2], [3, 4]))
    file = data["files"]["a.py"]
    changes: dict[str, Callable[[], Any]] = {
        "a better total": lambda: data["totals"].update(covered_lines=4, missing_lines=0),
        "fewer statements": lambda: data["totals"].update(num_statements=2),
        "missing lines left out": lambda: file.update(missing_lines=[]),
        "a line on both sides": lambda: file.update(executed_lines=[1, 3]),
        "a line twice": lambda: file.update(executed_lines=[1, 1]),
        "a float": lambda: file.update(executed_lines=[1.0, 2]),
        "a negative line": lambda: file.update(executed_lines=[-1, 2]),
        "true": lambda: file["summary"].update(covered_lines=True),
        "more branches than there are": lambda: file["summary"].update(covered_branches=2, num_branches=1),
        "no summary": lambda: file.pop("summary"),
        "no totals": lambda: data.pop("totals"),
        "no files": lambda: data.pop("files"),
        "a file that is none": lambda: data["files"].update({"b.py": []}),
    }
    changes[change]()
    return data


@pytest.mark.parametrize(
    "change",
    [
        *("a better total", "fewer statements", "missing lines left out", "a line on both sides", "a line twice"),
        *("a float", "a negative line", "true", "more branches than there are", "no summary", "no totals", "no files"),
        "a file that is none",
    ],
)
def test_what_does_not_add_up(change: str) -> None:
    refused(_lie(change))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b'{"files": ',
        b"[" * 1_000_000,
        b'{"files":' * 100_000,
        b"[" + b"[]," * 5_000_000 + b"[]]",
        b'{"files": {}, "totals": {"covered_lines": ' + b"9" * 100_000 + b"}}",
        b" " * (17 * 1024 * 1024) + b"{}",
        b"\xff\xfe",
    ],
    ids=["empty", "null", "list", "open", "cut", "deep", "deep objects", "wide", "digits", "big", "not text"],
)
def test_bombs_and_rubbish_are_refused_quickly(data: bytes) -> None:
    begun = time.process_time()
    refused(data)
    assert time.process_time() - begun < 1
