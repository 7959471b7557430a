"""What a refusal becomes on the ledger: a violation, a failed gate, or contention."""

from __future__ import annotations

from typing import Any

import pytest

from autopilot.kernel.callers import Caller
from autopilot.kernel.events import GateJudged, LeaseChanged, TransitionRefused, ViolationRecorded
from autopilot.kernel.phases import Phase
from autopilot.kernel.reasons import Reason, refused
from autopilot.ledger.entry import ArtifactRef
from autopilot.ledger.kinds import undocumented
from autopilot.process.graph import Move
from autopilot.process.recording import VIOLATIONS, Recording, shown_reasons
from autopilot.process.runners.values import ApprovalNeed, Collected

AGENT = Caller("agent-7", "agent", "s-7")
MOVE = Move("forward", Phase.SPEC, Phase.PLAN)
SPEC = ArtifactRef("spec.md", "c" * 64, 1, "text/markdown", "asserted")
NEED = ApprovalNeed("5" * 64, "outside_plan", "SPEC->PLAN", "d", "w" * 900)


@pytest.mark.parametrize(
    ("codes", "kind", "named"),
    [
        (("out_of_sequence",), "violation", "out_of_sequence"),
        (("stale_fence",), "violation", "stale_fence"),
        (("lease_token_mismatch", "artifact_missing"), "violation", "lease_token_mismatch"),
        (("artifact_missing", "evidence_forged"), "violation", "evidence_forged"),
        (("artifact_missing",), "gate.verdict", "artifact_missing"),
        (("already_in_phase",), "gate.verdict", "already_in_phase"),
        (("task_held",), "gate.verdict", "task_held"),
        (("lease_held",), "lease.contended", "lease_held"),
        (("lost_race",), "lease.contended", "lost_race"),
        (("lease_expired", "artifact_missing"), "gate.verdict", "lease_expired"),
    ],
)
def test_a_refusal_is_one_line_of_the_right_kind(lab: Any, codes: tuple[str, ...], kind: str, named: str) -> None:
    lab.open(at=Phase.SPEC)
    head = lab.engine.store.view().head.seq
    seq = Recording(lab.engine).refusal(lab.task(), MOVE, AGENT, refused([Reason(code) for code in codes]))
    assert seq == head + 1 == lab.engine.store.view().head.seq
    (line,) = lab.lines(kind)
    assert line.seq == seq
    assert named in {line.data.get("code"), *(reason["code"] for reason in line.data.get("reasons", ()))}
    assert lab.counters.get("process_violations", 0) == (kind == "violation")
    assert lab.counters.get("evidence_gate_failed", 0) == (kind == "gate.verdict")
    assert lab.counters.get("lease_contentions", 0) == (kind == "lease.contended")
    told = {type(event) for event in lab.events}
    assert (
        told
        == {
            "violation": {TransitionRefused, ViolationRecorded},
            "gate.verdict": {TransitionRefused, GateJudged},
            "lease.contended": {LeaseChanged},
        }[kind]
    )


def test_what_only_a_person_may_do_is_told_as_it_is_counted(lab: Any) -> None:
    # Red without: the event in `usurped`.
    lab.open(at=Phase.SPEC)
    verdict = refused([Reason("human_only", detail="resuming")])
    for task in (None, lab.task()):
        Recording(lab.engine).usurped(task, AGENT, verdict)
    told = [event for event in lab.events if isinstance(event, ViolationRecorded)]
    assert len(told) == lab.counters["process_violations"] == len(lab.lines("violation")) == 2
    assert [event.seq for event in told] == [line.seq for line in lab.lines("violation")]


def test_a_stranger_breaks_the_process_in_his_own_name(lab: Any) -> None:
    # Red without: `_works_on`.
    lab.open(at=Phase.SPEC)
    lab.append("evidence.added", data={"phase": "SPEC", "bindings": {}}, epoch=0, artifacts=(SPEC,))
    stranger, recording = Caller("agent-9", "agent", "s-9"), Recording(lab.engine)
    for caller, task in ((stranger, None), (AGENT, "T-1")):
        seq = recording.usurped(lab.task(), caller, refused([Reason("human_only", detail="resuming")]))
        line = lab.lines("violation")[-1]
        assert (line.seq, line.task, line.data["where"]) == (seq, task, "T-1")
    assert lab.task().violations == {"human_only": 1}


def test_every_violation_is_a_known_code() -> None:
    for code in VIOLATIONS:
        assert Reason(code).remedy


def test_an_approval_is_asked_for_once(lab: Any) -> None:
    lab.open(at=Phase.SPEC)
    recording = Recording(lab.engine)
    verdict = refused([Reason("outside_plan", subject=NEED.subject)])
    for _ in range(3):
        recording.refusal(lab.task(), MOVE, AGENT, verdict, Collected(needs=(NEED,)))
    (line,) = lab.lines("approval.requested")
    assert [request["subject"] for request in line.data["requests"]] == [NEED.subject]
    assert len(line.data["requests"][0]["why"]) == 400
    assert set(lab.task().requests) == {NEED.subject}


def test_what_only_a_person_may_do_is_a_violation(lab: Any) -> None:
    lab.open(at=Phase.SPEC)
    lab.append("evidence.added", data={"phase": "SPEC", "bindings": {}}, epoch=0, artifacts=(SPEC,))
    seq = Recording(lab.engine).usurped(lab.task(), AGENT, refused([Reason("human_only", detail="approving")]))
    (line,) = lab.lines("violation")
    assert (line.seq, line.data["code"]) == (seq, "human_only")
    assert lab.task().violations == {"human_only": 1}


def test_what_concerns_no_task_is_on_record_and_counts_as_no_failed_gate(lab: Any) -> None:
    lab.open(at=Phase.SPEC)
    recording, verdict = Recording(lab.engine), refused([Reason("task_exists", where="t-1", detail="d" * 900)])
    seq = recording.turned_away("task open t-1", AGENT, verdict)
    (line,) = lab.lines("gate.verdict")
    assert (line.seq, line.task, line.epoch) == (seq, None, None)
    assert line.data["asked"] == "task open t-1"
    assert len(line.data["reasons"][0]["detail"]) == 400
    assert not undocumented(line.kind, line.data)
    assert "evidence_gate_failed" not in lab.counters
    recording.usurped(None, AGENT, refused([Reason("human_only")]))
    assert lab.counters["process_violations"] == 1
    assert lab.task().violations == {}


def test_shown_reasons_are_bounded() -> None:
    shown = shown_reasons([Reason("tests_failed", detail="x" * 5000, where="y" * 5000)] * 100)
    assert len(shown) == 20
    assert all(len(reason["detail"]) == 400 and len(reason["where"]) == 400 for reason in shown)
