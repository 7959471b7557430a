"""Sums over the metrics file: all processes, no line believed that does not read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from autopilot.kernel.events import Backtracked, GateJudged
from autopilot.telemetry.instruments import COUNTERS
from autopilot.telemetry.setup import Telemetry
from autopilot.telemetry.totals import totals

COUNTING = """
import os, sys
from pathlib import Path
from autopilot.kernel.events import LeaseChanged
from autopilot.telemetry.setup import Telemetry
telemetry = Telemetry(Path(sys.argv[1]), version="0", environ={})
for _ in range(40):
    telemetry.observe(LeaseChanged(task="T-1", phase="PLAN", change="contended"))
assert telemetry.dropped == 0
os._exit(0)  # no close, no exit handler: what was counted must be in the file already
"""


def test_no_file_is_all_zero(tmp_path: Path) -> None:
    assert totals(tmp_path / "metrics.jsonl").counters == dict.fromkeys(COUNTERS, 0)


def test_processes_add_up_even_if_they_die(tmp_path: Path) -> None:
    counting = [subprocess.Popen([sys.executable, "-c", COUNTING, str(tmp_path)]) for _ in range(4)]
    assert [process.wait(120) for process in counting] == [0] * 4
    found = totals(tmp_path / "metrics.jsonl")
    assert found.counters["lease_contentions"] == 160
    assert (found.lines, found.unreadable) == (160, 0)


def test_each_count_is_sent_once(telemetry: Telemetry) -> None:
    telemetry.observe(GateJudged(phase="VERIFY", passed=False))
    telemetry.observe(Backtracked(phase="PLAN", origin="VERIFY"))
    telemetry.observe(Backtracked(phase="PLAN", origin="VERIFY"))
    telemetry.close()
    sums = totals(telemetry.metrics).counters
    assert {name: value for name, value in sums.items() if value} == {
        "evidence_gate_failed": 1,
        "phase_validations_failed": 1,
        "phase_backtracks": 2,
    }


def test_lines_that_do_not_read_are_counted_and_add_nothing(telemetry: Telemetry) -> None:
    telemetry.observe(Backtracked(phase="PLAN", origin="VERIFY"))
    good = telemetry.metrics.read_bytes()
    bad = [
        b"{",
        b"[]",
        b"null",
        b'{"resourceMetrics":7}',
        good.strip().replace(b'"asInt":"1"', b'"asInt":"-5"'),
        good.strip().replace(b'"asInt":"1"', b'"asInt":"many"'),
        good.strip().replace(b"phase_backtracks", b"unheard_of"),
        good.strip().replace(b'"aggregationTemporality":1', b'"aggregationTemporality":2'),
        b"x" * (3 * 2**20),
        b"\xff\xfe",
    ]
    telemetry.metrics.write_bytes(good + b"\n".join(bad) + b"\n" + good + good[:-20])
    found = totals(telemetry.metrics)
    assert found.counters["phase_backtracks"] == 2
    assert found.unreadable == len(bad)
