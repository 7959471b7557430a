"""The lease desk: what each call records, and what a stale or foreign claim meets."""

from __future__ import annotations

from typing import Any

import pytest

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError, LeaseRefusedError
from autopilot.kernel.phases import Phase
from autopilot.leases.terms import Claim
from autopilot.process.desks.leasing import LeaseDesk

AGENT = Caller("agent-7", "agent", "s-7")
OTHER = Caller("agent-8", "agent", "s-8")
HUMAN = Caller("ada", "human", "tty-1")


@pytest.fixture
def desk(lab: Any) -> LeaseDesk:
    lab.open(at=Phase.SPEC)
    return LeaseDesk(lab.engine)


def test_ensure_takes_what_is_free_and_keeps_what_is_its_own(lab: Any, desk: LeaseDesk) -> None:
    assert desk.would_hold(lab.task(), AGENT, None) == ()
    assert desk.held("T-1") is None, "asking takes nothing"
    for _ in range(3):
        assert desk.ensure(lab.task(), AGENT, None) == ()
    assert len(lab.lines("lease.granted")) == 1
    assert [reason.code for reason in desk.ensure(lab.task(), OTHER, None)] == ["lease_held"]


def test_ensure_renews_when_a_third_has_passed(lab: Any, desk: LeaseDesk) -> None:
    desk.ensure(lab.task(), AGENT, None)
    for seconds, renewals in ((39, 0), (2, 1), (5, 1), (40, 2)):
        lab.clock.advance(seconds)
        assert desk.ensure(lab.task(), AGENT, None) == ()
        held = desk.held("T-1")
        assert held is not None
        assert held.renewals == renewals, seconds


@pytest.mark.parametrize(
    ("claim", "code"),
    [
        (Claim("s-7", 1, "wrong"), "lease_token_mismatch"),
        (Claim("s-7", 9), "lease_token_mismatch"),
        (Claim("s-8"), "lease_held"),
        (Claim("s-8", 1), "lease_held"),
    ],
)
def test_a_claim_that_does_not_stand(lab: Any, desk: LeaseDesk, claim: Claim, code: str) -> None:
    desk.acquire("T-1", caller=AGENT)
    caller = AGENT if claim.session == "s-7" else OTHER
    assert [reason.code for reason in desk.ensure(lab.task(), caller, claim)] == [code]
    head = lab.engine.store.view().head.seq
    for call in (desk.renew, desk.release):
        with pytest.raises(LeaseRefusedError) as caught:
            call("T-1", caller=caller, lease=claim)
        assert caught.value.code == code
        assert caught.value.seq is not None
        assert caught.value.seq > head
    assert desk.held("T-1") is not None


def test_a_named_fence_is_never_replaced_by_a_new_lease(lab: Any, desk: LeaseDesk) -> None:
    granted = desk.acquire("T-1", caller=AGENT)
    desk.force("T-1", caller=HUMAN, reason="hangs")
    claim = Claim("s-7", granted.lease.fence, granted.token)
    assert [reason.code for reason in desk.ensure(lab.task(), AGENT, claim)] == ["stale_fence"]
    assert desk.held("T-1") is None


def test_renewing_too_often_is_no_line(lab: Any, desk: LeaseDesk) -> None:
    desk.acquire("T-1", caller=AGENT)
    head = lab.engine.store.view().head.seq
    with pytest.raises(LeaseRefusedError) as caught:
        desk.renew("T-1", caller=AGENT)
    assert caught.value.code == "renewed_too_often"
    assert lab.engine.store.view().head.seq == head


def test_a_lapsed_holder_must_look_anew(lab: Any, desk: LeaseDesk) -> None:
    desk.acquire("T-1", caller=AGENT)
    lab.clock.advance(121)
    assert desk.held("T-1") is None
    assert [reason.code for reason in desk.ensure(lab.task(), AGENT, None)] == ["lease_expired"]
    assert desk.acquire("T-1", caller=AGENT).lease.fence == 2


def test_an_ended_or_unknown_task_has_no_lease(lab: Any, desk: LeaseDesk) -> None:
    data = {"outcome": "ABANDONED", "reason": "r"}
    lab.append("task.closed", caller=HUMAN, phase=("SPEC", "ABANDONED"), epoch=0, data=data)
    with pytest.raises(LeaseRefusedError) as caught:
        desk.acquire("T-1", caller=AGENT)
    assert caught.value.code == "task_closed"
    with pytest.raises(ContractError):
        desk.acquire("T-9", caller=AGENT)


def test_a_boot_clock_that_went_back_revives_no_lease(lab: Any, desk: LeaseDesk) -> None:
    # Red without: `not_before` (leases/book.py), in `standing` and in the desk.
    desk.acquire("T-1", caller=AGENT)
    lab.open("T-2", at=Phase.SPEC)
    lab.clock.advance(121)
    assert desk.held("T-1") is None
    desk.acquire("T-2", caller=OTHER)
    # Nothing of T-1's end is on record; only that this boot was once older.
    lab.clock.advance(-100)
    assert desk.held("T-1") is None
    assert [reason.code for reason in desk.ensure(lab.task(), AGENT, None)] == ["lease_expired"]
    with pytest.raises(LeaseRefusedError) as caught:
        desk.renew("T-1", caller=AGENT)
    assert caught.value.code == "lease_expired"
    held = desk.held("T-2")
    assert held is not None
    assert held.holder.session == OTHER.session
    assert desk.acquire("T-1", caller=OTHER).lease.granted_ns == held.granted_ns, "time stands still, and does not fall"


def test_another_boot_begins_its_own_time(lab: Any, desk: LeaseDesk) -> None:
    desk.acquire("T-1", caller=AGENT)
    lab.clock.reboot("boot-2")
    assert desk.held("T-1") is None
    desk.acquire("T-1", caller=OTHER)
    assert desk.held("T-1") is not None
    lab.clock.advance(121)
    assert desk.held("T-1") is None
