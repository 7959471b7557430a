"""Which event adds to which counter, and that the table is whole."""

from __future__ import annotations

import pytest

from autopilot.kernel import events
from autopilot.kernel.events import (
    Backtracked,
    EvidenceAdded,
    GateJudged,
    LeaseChanged,
    PhaseEntered,
    PromptAttested,
    TaskEnded,
    ToolCallJudged,
    TransitionRefused,
    ViolationRecorded,
)
from autopilot.telemetry.instruments import COUNTERS, INSTRUMENTS, counts_of
from autopilot.telemetry.names import ATTRIBUTES

COUNTED = [
    (TransitionRefused(target="IMPLEMENT", reasons=("out_of_sequence",), violation=True), ["phase_skips_attempted"]),
    (GateJudged(passed=False, reasons=("tests_failed",)), ["phase_validations_failed", "evidence_gate_failed"]),
    (Backtracked(phase="PLAN", origin="VERIFY", epoch=1), ["phase_backtracks"]),
    (PromptAttested(phase="VERIFY", drift=True, severity="ERROR"), ["prompt_drift_detected"]),
    (LeaseChanged(phase="PLAN", change="contended"), ["lease_contentions"]),
    (LeaseChanged(phase="PLAN", change="expired"), ["lease_expirations"]),
    (ViolationRecorded(phase="PLAN", code="stale_fence"), ["process_violations"]),
    (ToolCallJudged(phase="SPEC", tool="Edit", decision="deny", seq=7), ["tool_calls_out_of_phase"]),
    # The guard only observes: the call passes, and the line is written all the same.
    (ToolCallJudged(phase="SPEC", tool="Edit", decision="allow", seq=7), ["tool_calls_out_of_phase"]),
    (TaskEnded(outcome="ABANDONED", rejected=True), ["tasks_rejected_for_process_violation"]),
]  # fmt: skip

NOT_COUNTED = [
    PhaseEntered(phase="SPEC", origin="STRATEGIZE"),
    TransitionRefused(reasons=("stale_fence",), violation=True),
    TransitionRefused(reasons=("artifact_missing",)),
    GateJudged(passed=True),
    PromptAttested(drift=False),
    LeaseChanged(change="granted"),
    ToolCallJudged(decision="allow"),
    TaskEnded(outcome="CLOSED"),
    EvidenceAdded(artifact="plan.md"),
]


@pytest.mark.parametrize(("event", "expected"), COUNTED)
def test_counted(event: events.Event, expected: list[str]) -> None:
    assert [count.counter for count in counts_of(event)] == expected


@pytest.mark.parametrize("event", NOT_COUNTED)
def test_not_counted(event: events.Event) -> None:
    assert counts_of(event) == ()


def test_each_counter_has_exactly_one_row_and_each_row_a_counter() -> None:
    rows = [row.counter for group in INSTRUMENTS.values() for row in group]
    assert sorted(rows) == sorted(COUNTERS)
    assert {name for _, names in COUNTED for name in names} == set(COUNTERS)


def test_attributes_are_documented_and_name_fields_of_their_event() -> None:
    for event, group in INSTRUMENTS.items():
        for row in group:
            assert set(row.attributes) <= set(ATTRIBUTES)
            assert all(hasattr(event(), field) for field in row.attributes.values())


def test_a_counter_is_not_split_by_task_actor_or_combination_of_reasons() -> None:
    event = GateJudged(task="T-1", actor="a", phase="VERIFY", passed=False, reasons=("tests_failed", "command_failed"))
    for count in counts_of(event):
        assert dict(count.attributes) == {"autopilot.phase": "VERIFY", "autopilot.reason.code": "tests_failed"}
