"""Approvals: given by another person, for exactly this, for a while, once.

Red without: `check_approver` and `check_grant` (approvals/grants.py); `judge_grants` (process/judging.py); the
digest in `Bench.need`; `Ticket.granted` (process/runners/values.py).
"""

from __future__ import annotations

import re

import pytest
from governed import HUMAN, TASK, Governed, Prepare, Refusal, expect_refusal

from autopilot.cli.demo.honest import AGENT, HonestAgent
from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ApprovalRefusedError, ContractError
from autopilot.kernel.phases import Phase


def strayed(at: Prepare) -> tuple[Governed, Refusal]:
    """In IMPLEMENT with a file outside of the plan, and the refusal that asks for an approval."""
    governed = at(Phase.IMPLEMENT)
    governed.agent.implement()
    (governed.root / "README.md").write_text("# shop\n\nNot in the plan.\n")
    with expect_refusal(governed, "outside_plan") as refusal:
        governed.advance()
    return governed, refusal


def approve(governed: Governed, subject: str, caller: Caller = HUMAN, reason: str = "read the diff") -> object:
    return governed.workspace.approvals.approve(TASK, subject, reason=reason, caller=caller)


def test_a_move_waits_for_a_person_and_goes_on_with_one(at: Prepare) -> None:
    governed, refusal = strayed(at)
    assert refusal.exit_code == 4
    (subject,) = refusal.subjects
    assert [request.subject for request in governed.workspace.approvals.waiting(TASK)] == [subject]
    line = approve(governed, subject)
    assert line.data["advisory"] is True, "mode 0 cannot prove who approved, and says so"
    moved = governed.advance()
    assert moved.data["approvals"] == [subject]
    assert governed.task.stage == Phase.VERIFY
    assert not governed.task.grants, "a grant is consumed by its move"


def test_one_more_byte_waits_again(at: Prepare) -> None:
    governed, refusal = strayed(at)
    approve(governed, *refusal.subjects)
    with (governed.root / "README.md").open("a") as file:
        file.write("!")
    with expect_refusal(governed, "outside_plan") as again:
        governed.advance()
    assert again.exit_code == 4
    assert set(again.subjects).isdisjoint(refusal.subjects)


@pytest.mark.parametrize(
    ("caller", "code"),
    [
        (Caller("agent-other", "agent", "o-1"), "human_only"),
        (Caller("autopilot", "engine", "e-1"), "human_only"),
        (Caller(AGENT.actor, "human", "tty-9"), "self_approval"),
        (Caller("ada", "human", AGENT.session), "self_approval"),
        (Caller(AGENT.actor.upper(), "human", "tty-9"), "self_approval"),
    ],
)
def test_who_may_not_approve(at: Prepare, caller: Caller, code: str) -> None:
    governed, refusal = strayed(at)
    with expect_refusal(governed, code) as attempt:
        approve(governed, *refusal.subjects, caller=caller)
    assert attempt.line.kind == "violation"
    assert not governed.task.grants
    with expect_refusal(governed, "outside_plan"):
        governed.advance()


def test_who_approved_may_not_then_take_over_the_work(at: Prepare) -> None:
    governed, refusal = strayed(at)
    approve(governed, *refusal.subjects)
    governed.workspace.leases.release(TASK, caller=AGENT)
    with expect_refusal(governed, "self_approval"):
        governed.advance(caller=HUMAN)


def test_a_reason_is_due(at: Prepare) -> None:
    governed, refusal = strayed(at)
    with pytest.raises(ContractError) as caught:
        approve(governed, *refusal.subjects, reason="  ")
    assert caught.value.code == "reason_missing"
    assert not governed.task.grants


def test_what_was_rejected_waits_again(at: Prepare) -> None:
    governed, refusal = strayed(at)
    approve(governed, *refusal.subjects)
    governed.workspace.approvals.reject(TASK, *refusal.subjects, reason="on second thoughts", caller=HUMAN)
    with expect_refusal(governed, "outside_plan"):
        governed.advance()
    with expect_refusal(governed, "human_only"):
        governed.workspace.approvals.reject(TASK, *refusal.subjects, reason="not yours", caller=AGENT)


@pytest.mark.parametrize("subject", ["", "0" * 64, "abc", "*"])
def test_nothing_waits_under_another_subject(at: Prepare, subject: str) -> None:
    governed, _ = strayed(at)
    with pytest.raises(ApprovalRefusedError) as caught:
        approve(governed, subject)
    assert caught.value.code == "unknown_subject"
    assert not governed.task.grants


def test_an_approval_ends(at: Prepare) -> None:
    governed, refusal = strayed(at)
    approve(governed, *refusal.subjects)
    governed.clock.advance(24 * 3600 + 1)
    governed.workspace.leases.acquire(TASK, caller=AGENT)
    with expect_refusal(governed, "approval_expired"):
        governed.advance()


def test_nothing_runs_on_an_approval_that_has_ended(at: Prepare) -> None:
    # The engine defers what a person must first allow; an expired grant must not count as allowance to run it.
    governed = at(Phase.SPEC)
    marker = governed.root.parent / "ran-unisolated"
    governed.settings(lambda text: text + '\n[sandbox]\nisolation = "none"\n')
    second = HonestAgent(governed.workspace, "T-2", governed.root)
    governed.workspace.config.seal(HUMAN)
    governed.reopen()
    second.workspace = governed.workspace
    second.open()
    second.run(until=Phase.SPEC)
    second.prepare(Phase.SPEC)
    path = governed.evidence(Phase.SPEC, "spec.md", "T-2")
    path.write_text(
        re.sub(r"python -c .*", f'python -c \'open("{marker}", "w"); import shop; shop.pricing.x\'', path.read_text())
    )
    second.advance(Phase.SPEC)
    second.prepare(Phase.PLAN)
    move = governed.workspace.enforcer.advance_phase
    with expect_refusal(governed, "accept_unisolated", task="T-2") as refusal:
        move("T-2", caller=AGENT)
    assert refusal.exit_code == 4
    assert not marker.exists(), "an accept block ran before a person saw it"
    governed.workspace.approvals.approve("T-2", *refusal.subjects, reason="harmless", caller=HUMAN)
    governed.clock.advance(24 * 3600 + 1)
    governed.workspace.leases.acquire("T-2", caller=AGENT)
    with expect_refusal(governed, "approval_expired", task="T-2"):
        move("T-2", caller=AGENT)
    assert not marker.exists(), "an accept block ran on an approval that had ended"


def test_an_approval_is_for_one_task(at: Prepare) -> None:
    governed, refusal = strayed(at)
    second = HonestAgent(governed.workspace, "T-2", governed.root)
    second.open()
    with pytest.raises(ApprovalRefusedError) as caught:
        governed.workspace.approvals.approve("T-2", *refusal.subjects, reason="the same", caller=HUMAN)
    assert caught.value.code == "unknown_subject"


def test_a_criterion_that_a_person_proves_waits_for_one(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    governed.agent.prepare(Phase.SPEC)
    path = governed.evidence(Phase.SPEC, "spec.md")
    path.write_text(path.read_text().replace("proof: test tests/test_discount.py::test_everything_off", "proof: human"))
    governed.advance()
    governed.work(until=Phase.VERIFY)
    with expect_refusal(governed, "approval_needed") as refusal:
        governed.advance()
    assert refusal.exit_code == 4, [reason.code for reason in refusal.reasons]
    approve(governed, *refusal.subjects)
    governed.advance()
    assert governed.task.stage == Phase.REVIEW
