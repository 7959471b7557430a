"""The approval desk over the memory store: who, what, how long."""

from __future__ import annotations

from typing import Any

import pytest

from autopilot.approvals.subjects import Subject
from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ApprovalRefusedError
from autopilot.kernel.phases import Phase
from autopilot.process.desks.approving import ApprovalDesk
from autopilot.process.graph import Move
from autopilot.process.judging import judge_grants

AGENT = Caller("agent-7", "agent", "s-7")
OTHER = Caller("agent-8", "agent", "s-8")
HUMAN = Caller("ada", "human", "tty-1")
MOVE = Move("forward", Phase.IMPLEMENT, Phase.VERIFY)


def requested(lab: Any, digest: str = "d" * 64) -> str:
    """A request of AGENT in IMPLEMENT; its subject."""
    subject = Subject(
        ledger=lab.engine.store.ledger_id,
        task="T-1",
        epoch=lab.task().epoch,
        move=MOVE.label,
        kind="outside_plan",
        digest=digest,
    ).sha256
    item = {"subject": subject, "kind": "outside_plan", "move": MOVE.label, "digest": digest, "why": "w"}
    lab.append("approval.requested", epoch=0, data={"requests": [item]})
    return subject


@pytest.fixture
def desk(lab: Any) -> ApprovalDesk:
    lab.open(at=Phase.IMPLEMENT)
    return ApprovalDesk(lab.engine)


def codes(lab: Any, move: Move = MOVE, caller: Caller = AGENT) -> list[str]:
    (problems,) = judge_grants(lab.engine, lab.task(), move, caller).values()
    return [reason.code for reason in problems]


def test_a_grant_holds_for_its_move(lab: Any, desk: ApprovalDesk) -> None:
    subject = requested(lab)
    desk.approve("T-1", subject, reason="fine", caller=HUMAN)
    assert codes(lab) == []
    assert desk.waiting("T-1") == ()


@pytest.mark.parametrize("digits", [8, 12, 64])
def test_a_subject_may_be_shortened(lab: Any, desk: ApprovalDesk, digits: int) -> None:
    subject = requested(lab)
    desk.approve("T-1", subject[:digits], reason="fine", caller=HUMAN)
    assert set(lab.task().grants) == {subject}


def test_seven_digits_are_too_few(lab: Any, desk: ApprovalDesk) -> None:
    subject = requested(lab)
    with pytest.raises(ApprovalRefusedError):
        desk.approve("T-1", subject[:7], reason="fine", caller=HUMAN)


def test_a_grant_has_its_time(lab: Any, desk: ApprovalDesk) -> None:
    desk.approve("T-1", requested(lab), reason="fine", caller=HUMAN)
    lab.clock.advance(24 * 3600 - 1)
    assert codes(lab) == []
    lab.clock.advance(1)
    assert codes(lab) == ["approval_expired"]


def test_a_clock_that_is_set_back_revives_nothing(lab: Any, desk: ApprovalDesk) -> None:
    # Red without: `Engine.wall`, and `latest` in the fold.
    desk.approve("T-1", requested(lab), reason="fine", caller=HUMAN)
    lab.clock.advance(24 * 3600)
    lab.append("lease.contended", epoch=0, data={"resource": "T-1/IMPLEMENT", "code": "lease_held", "detail": ""})
    lab.clock.advance(-3600)
    assert codes(lab) == ["approval_expired"]
    lab.engine.store.view().state.tasks["T-1"].grants.clear()
    desk.approve("T-1", requested(lab, "e" * 64), reason="fine", caller=HUMAN)
    assert codes(lab) == [], "what is granted behind the clock's back is granted at the latest time seen"


def test_a_grant_is_for_one_move(lab: Any, desk: ApprovalDesk) -> None:
    desk.approve("T-1", requested(lab), reason="fine", caller=HUMAN)
    assert codes(lab, Move("forward", Phase.VERIFY, Phase.REVIEW)) == ["approval_mismatch"]


@pytest.mark.parametrize("caller", [HUMAN, Caller("ada", "agent", "x"), Caller("bob", "human", "TTY-1")])
def test_the_approver_does_not_move(lab: Any, desk: ApprovalDesk, caller: Caller) -> None:
    desk.approve("T-1", requested(lab), reason="fine", caller=HUMAN)
    assert codes(lab, caller=caller) == ["self_approval"]


@pytest.mark.parametrize(
    ("caller", "code"),
    [(AGENT, "human_only"), (OTHER, "human_only"), (Caller("agent-7", "human", "tty"), "self_approval")],
)
def test_who_may_not_is_on_record(lab: Any, desk: ApprovalDesk, caller: Caller, code: str) -> None:
    subject = requested(lab)
    with pytest.raises(ApprovalRefusedError) as caught:
        desk.approve("T-1", subject, reason="fine", caller=caller)
    assert caught.value.code == code
    (line,) = lab.lines("violation")
    assert (line.seq, line.data["code"]) == (caught.value.seq, code)


def test_two_requests_of_one_prefix_need_more_digits(lab: Any, desk: ApprovalDesk) -> None:
    first = requested(lab)
    twin = first[:10] + ("0" if first[10] != "0" else "1") + first[11:]
    item = {"subject": twin, "kind": "outside_plan", "move": MOVE.label, "digest": "e" * 64, "why": "w"}
    lab.append("approval.requested", epoch=0, data={"requests": [item]})
    with pytest.raises(ApprovalRefusedError) as caught:
        desk.approve("T-1", first[:10], reason="fine", caller=HUMAN)
    assert caught.value.code == "unknown_subject"
