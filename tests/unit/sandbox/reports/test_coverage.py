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


@pytest.mark.parametrize(
    "path",
    [
        *("../a.py", "src/../../a.py", "a/./b.py", "a//b.py", "..", "", "a" * 5000),
        *("a\x00.py", "a\nb.py", "a\u202eyp.b", "..\\a.py"),
    ],
)
def test_a_path_that_is_not_what_it_looks_like(path: str) -> None:
    # Red without: `_refuse_path`.
    data = document([1, 2], [3])
    data["files"] = {path: data["files"]["a.py"]}
    assert "not a plain path" in refused(data)


def with_branches(covered: int, branches: int, **listed: Any) -> dict[str, Any]:
    data = document([1, 2], [3, 4])
    file = data["files"]["a.py"]
    file["summary"].update(covered_branches=covered, num_branches=branches)
    file.update(listed)
    data["totals"] = dict(file["summary"])
    return data


def test_branches_that_nobody_can_have() -> None:
    # Red without: the bound in `_file`. So many covered branches would make every percentage 100.
    assert "branches on 4 lines" in refused(with_branches(10**14, 10**14))
    assert "branches on 4 lines" in refused(with_branches(0, 65))
    assert parse_coverage(json.dumps(with_branches(1, 64)).encode()).percent_hundredths == 441


@pytest.mark.parametrize(
    "listed",
    [
        {"executed_branches": [[1, 2]], "missing_branches": []},
        {"executed_branches": [[1, 2], [1, 2]], "missing_branches": []},
        {"executed_branches": [[1, 2], [1, 3]], "missing_branches": [[1, 3]]},
        {"executed_branches": [[1, 2], [9, 3]], "missing_branches": []},
        {"executed_branches": [[1, 2], [1]], "missing_branches": []},
        {"executed_branches": [[1, 2], [1, True]], "missing_branches": []},
        {"executed_branches": [[1, 2], [1, 3]]},
        {"executed_branches": "many", "missing_branches": []},
    ],
)
def test_branches_are_held_against_their_list(listed: dict[str, Any]) -> None:
    refused(with_branches(2, 2, **listed))
    good = {"executed_branches": [[1, 2], [1, -1]], "missing_branches": []}
    assert parse_coverage(json.dumps(with_branches(2, 2, **good)).encode()).files["a.py"].branches_covered == 2


def test_a_key_that_stands_twice_is_refused() -> None:
    # Red without: `_once` (caps.py). A reader sees the first, a parser takes the last.
    text = json.dumps(document([1], [2, 3]))
    forged = text.replace('"totals":', '"files": {}, "totals":')
    assert "stands twice" in refused(forged.encode())
    assert "stands twice" in refused(
        text.replace('"missing_lines": [2, 3]', '"missing_lines": [], "missing_lines": [2, 3]').encode()
    )
