"""Signed approvals: one person's key, one subject, one time. The cheat has everything but the key.

The agent here writes files, calls every door, brings grants in itself, and replays what it finds on the ledger.

Red without: `check_signature` in `check_given` (process/judging.py); the `required` branch of `ApprovalDesk._grant`;
`spent` in the fold; `evidence` in `check_grant`; the configuration in `_same_modes` (process/enforcer.py);
`_unsealable` and `config_seq` (process/desks/configuring.py); the `approvals.` keys in process/runners/config.py and
kernel/settings_changes.py.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from governed import HUMAN, OTHER, TASK, Governed, Prepare, Refusal, expect_refusal

from autopilot.approvals.grants import Grant, Terms
from autopilot.approvals.requests import Asked
from autopilot.approvals.signatures import as_note, read_grant, sign_grant
from autopilot.audit.run import audit
from autopilot.cli.demo.honest import AGENT, HonestAgent
from autopilot.kernel.errors import ApprovalRefusedError, ContractError, RefusedError
from autopilot.kernel.phases import Phase
from autopilot.signing.note import SigningKey
from autopilot.vcs.repository import Repository
from autopilot.wiring.auditing import load_facts

ADA = SigningKey("ada", bytes(range(32)))
BEN = SigningKey("ben", bytes(range(1, 33)))
EVE = SigningKey("ada", bytes(range(2, 34)))


def register(governed: Governed, *keys: SigningKey, signed: str = "required") -> None:
    """A person registers the keys and seals the file."""
    write(governed, *keys, signed=signed)
    governed.workspace.config.seal(HUMAN)


def write(governed: Governed, *keys: SigningKey, signed: str = "required") -> None:
    """Somebody writes the keys into the file."""
    vkeys = ", ".join(f'"{key.verifier.encode()}"' for key in keys)
    section = f'\n[approvals]\nsigned = "{signed}"\napprovers = [{vkeys}]\n'
    governed.settings(lambda text: text.partition("\n[approvals]")[0] + section)


def strayed(at: Prepare, *keys: SigningKey, signed: str = "required") -> tuple[Governed, Refusal]:
    """In IMPLEMENT with a file outside of the plan, keys registered, and the refusal that asks for an approval."""
    governed = at(Phase.IMPLEMENT)
    register(governed, *(keys or (ADA,)), signed=signed)
    # T-1 was opened before: the changed file itself waits for an approval of its own.
    governed.agent.implement()
    (governed.root / "README.md").write_text("# shop\n\nNot in the plan.\n")
    with expect_refusal(governed, "outside_plan") as refusal:
        governed.advance()
    return governed, refusal


def asked(governed: Governed, subject: str) -> Asked:
    return governed.workspace.approvals.asked(TASK, subject)


def grant_of(governed: Governed, subject: str, key: SigningKey = ADA, **changes: object) -> Grant:
    """A grant for what waits under `subject`, changed and then signed."""
    terms = Terms(now=governed.clock.wall(), nonce="a" * 24 + subject[:8])
    request = asked(governed, subject)
    return sign_grant(replace(request.grant(key.verifier.name, "read it", terms), **changes), key)


def bring(governed: Governed, grant: Grant, caller: object = AGENT) -> object:
    return governed.workspace.approvals.bring(TASK, as_note(grant), caller=caller)  # type: ignore[arg-type]


def bring_all(governed: Governed, refusal: Refusal, key: SigningKey = ADA) -> None:
    for subject in refusal.subjects:
        bring(governed, grant_of(governed, subject, key))


def test_a_signed_grant_is_brought_by_anyone_and_used_once(at: Prepare) -> None:
    governed, refusal = strayed(at)
    for subject in refusal.subjects:
        line = governed.workspace.approvals.bring(TASK, as_note(grant_of(governed, subject)), caller=OTHER)
        assert (line.actor["kind"], line.data["approver"]["id"], line.data["key"]) == ("agent", "ada", ADA.id)
        assert line.data["advisory"] is False
    moved = governed.advance()
    assert sorted(moved.data["approvals"]) == list(refusal.subjects)
    assert governed.task.stage == Phase.VERIFY


def test_where_a_signature_is_required_the_terminal_is_not_enough(at: Prepare) -> None:
    governed, refusal = strayed(at, ADA, BEN)
    for subject in refusal.subjects:
        with expect_refusal(governed, "signature_needed") as attempt:
            governed.workspace.approvals.approve(TASK, subject, reason="it is me", caller=HUMAN)
        assert attempt.exit_code == 4
        assert f"ada ({ADA.id}), ben ({BEN.id})" in attempt.reasons[0].detail, "who may sign is said"
    assert not governed.task.grants


def test_an_approval_from_before_counts_no_more_once_a_signature_is_required(at: Prepare) -> None:
    governed, refusal = strayed(at, signed="optional")
    for subject in refusal.subjects:
        governed.workspace.approvals.approve(TASK, subject, reason="looked", caller=HUMAN)
    # Around the file, which is part of the judged tree.
    governed.reopen(AUTOPILOT_APPROVALS__SIGNED="required")
    with expect_refusal(governed, "signature_needed"):
        governed.advance()


def test_optional_leaves_the_terminal_open_and_says_so(at: Prepare) -> None:
    governed, refusal = strayed(at, signed="optional")
    for subject in refusal.subjects:
        line = governed.workspace.approvals.approve(TASK, subject, reason="looked", caller=HUMAN)
        assert (line.data["advisory"], line.data["key"]) == (True, "")
    governed.advance()


@pytest.mark.parametrize("key", [EVE, BEN], ids=["a key of the same name", "another key"])
def test_a_key_of_the_agents_own_opens_nothing(at: Prepare, key: SigningKey) -> None:
    governed, refusal = strayed(at)
    with expect_refusal(governed, "signer_unknown") as attempt:
        bring_all(governed, refusal, key)
    assert attempt.line is not None
    assert attempt.line.kind == "violation"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"reason": "another reason"}, "signature_bad"),
        ({"nonce": "b" * 32}, "signature_bad"),
        ({"expires_at": None}, "signature_bad"),
        ({"evidence": "f" * 64}, ("signature_bad", "approval_mismatch")),
        ({"key": EVE.id}, "signer_unknown"),
        ({"signature": "c2ln"}, "signature_bad"),
    ],
)
def test_a_grant_that_was_changed_on_the_way(at: Prepare, change: dict[str, object], code: str) -> None:
    governed, refusal = strayed(at)
    grant = grant_of(governed, refusal.subjects[0])
    if "expires_at" in change:
        change = {"expires_at": grant.expires_at + timedelta(hours=1)}
    with expect_refusal(governed, code):
        bring(governed, replace(grant, **change))
    assert not governed.task.grants


def test_the_same_file_is_no_second_grant(at: Prepare) -> None:
    governed, refusal = strayed(at)
    subject = refusal.subjects[0]
    grant = grant_of(governed, subject)
    bring(governed, grant)
    with expect_refusal(governed, "approval_used"):
        bring(governed, grant)
    # Withdrawn and asked for again: the same subject waits, and the old file is still spent.
    governed.workspace.approvals.reject(TASK, subject, reason="on second thoughts", caller=HUMAN)
    with expect_refusal(governed, "outside_plan"):
        governed.advance()
    assert subject in governed.task.requests
    with expect_refusal(governed, "approval_used"):
        bring(governed, grant)


def test_after_the_move_the_file_is_spent(at: Prepare) -> None:
    governed, refusal = strayed(at)
    grants = [grant_of(governed, subject) for subject in refusal.subjects]
    for grant in grants:
        bring(governed, grant)
    governed.advance()
    for grant in grants:
        with expect_refusal(governed, "approval_used"):
            bring(governed, grant)


def test_another_epoch_asks_anew(at: Prepare) -> None:
    governed, refusal = strayed(at)
    grants = [grant_of(governed, subject) for subject in refusal.subjects]
    governed.workspace.enforcer.backtrack(TASK, Phase.THINK, reason="once more", caller=AGENT)
    for grant in grants:
        with expect_refusal(governed, "approval_mismatch") as attempt:
            bring(governed, grant)
        assert "epoch" in attempt.reasons[0].detail


def test_another_task_and_another_ledger(at: Prepare) -> None:
    governed, refusal = strayed(at)
    second = HonestAgent(governed.workspace, "T-2", governed.root)
    second.open()
    grant = grant_of(governed, refusal.subjects[0])
    with expect_refusal(governed, "approval_mismatch", task="T-2") as attempt:
        governed.workspace.approvals.bring("T-2", as_note(grant), caller=AGENT)
    assert "task" in attempt.reasons[0].detail
    elsewhere = sign_grant(replace(grant, subject=replace(grant.subject, ledger="0" * 32)), ADA)
    with expect_refusal(governed, "approval_mismatch") as attempt:
        bring(governed, elsewhere)
    assert "ledger" in attempt.reasons[0].detail


@pytest.mark.parametrize("change", [{"move": "VERIFY->REVIEW"}, {"kind": "tests_changed"}, {"digest": "0" * 64}])
def test_another_subject(at: Prepare, change: dict[str, str]) -> None:
    governed, refusal = strayed(at)
    grant = grant_of(governed, refusal.subjects[0])
    other = sign_grant(replace(grant, subject=replace(grant.subject, **change)), ADA)
    with pytest.raises(ApprovalRefusedError) as caught:
        bring(governed, other)
    assert caught.value.code == "unknown_subject"
    assert not governed.task.grants


def test_a_grant_on_other_evidence(at: Prepare) -> None:
    governed, refusal = strayed(at)
    with expect_refusal(governed, "approval_mismatch") as attempt:
        bring(governed, grant_of(governed, refusal.subjects[0], evidence="0" * 64))
    assert "evidence" in attempt.reasons[0].detail


def test_a_grant_ends_brought_or_not(at: Prepare) -> None:
    governed, refusal = strayed(at)
    first, *others = refusal.subjects
    early, late = grant_of(governed, first), grant_of(governed, first, nonce="c" * 32)
    bring(governed, early)
    for subject in others:
        bring(governed, grant_of(governed, subject))
    governed.clock.advance(24 * 3600 + 1)
    governed.workspace.leases.acquire(TASK, caller=AGENT)
    with expect_refusal(governed, "approval_expired"):
        governed.advance()
    with expect_refusal(governed, "approval_expired"):
        bring(governed, late)


def test_a_clock_that_is_set_back_revives_no_grant(at: Prepare) -> None:
    # Red without: `Engine.wall`, or `latest` in the fold.
    governed, refusal = strayed(at)
    bring_all(governed, refusal)
    governed.clock.advance(24 * 3600 + 1)
    governed.workspace.leases.acquire(TASK, caller=AGENT)
    with expect_refusal(governed, "approval_expired"):
        governed.advance()
    earlier = governed.clock.copy()
    earlier.advance(-3600)
    boot = governed.clock.boot_ns()
    earlier._boot_ns = boot
    governed.reopen(clock=earlier)
    with expect_refusal(governed, "approval_expired"):
        governed.advance()


def test_not_before_its_time(at: Prepare) -> None:
    governed, refusal = strayed(at)
    ahead = governed.clock.wall() + timedelta(hours=1)
    with expect_refusal(governed, "approval_expired"):
        bring(
            governed,
            grant_of(governed, refusal.subjects[0], granted_at=ahead, expires_at=ahead + timedelta(hours=24)),
        )


@pytest.mark.parametrize("name", [AGENT.actor, AGENT.actor.upper(), AGENT.session])
def test_the_key_of_who_asked_or_did_the_work(at: Prepare, name: str) -> None:
    own = SigningKey(name, bytes(range(3, 35)))
    governed, refusal = strayed(at, ADA, own)
    with expect_refusal(governed, "self_approval"):
        bring(governed, unchecked(governed, refusal.subjects[0], own))


def unchecked(governed: Governed, subject: str, key: SigningKey) -> Grant:
    """Signed by a tool that asks nothing of the name."""
    grant = grant_of(governed, subject)
    return sign_grant(grant, key)


def test_a_key_that_was_taken_out_counts_no_more(at: Prepare) -> None:
    governed, refusal = strayed(at, ADA, BEN)
    bring_all(governed, refusal)
    # Taking a key out is a tightening: it holds as soon as file or environment say so, sealed or not.
    governed.reopen(AUTOPILOT_APPROVALS__APPROVERS=json.dumps([BEN.verifier.encode()]))
    with expect_refusal(governed, "signer_unknown"):
        governed.advance()


def test_a_key_that_is_taken_out_while_the_move_is_under_way(at: Prepare) -> None:
    governed, refusal = strayed(at, ADA, BEN)
    bring_all(governed, refusal)

    # Another process, which was told so, seals it between the decision and the line.
    governed.environ["AUTOPILOT_APPROVALS__APPROVERS"] = json.dumps([BEN.verifier.encode()])
    governed.overtake(lambda other: other.config.seal(HUMAN))
    with expect_refusal(governed, "signer_unknown"):
        governed.advance()


def test_the_agent_registers_its_own_key_in_the_file(at: Prepare) -> None:
    governed, refusal = strayed(at)
    write(governed, ADA, EVE)
    assert [key.id for key in governed.workspace.approvals.signers().keys] == [ADA.id]
    with expect_refusal(governed, "signer_unknown"):
        bring_all(governed, refusal, EVE)
    write(governed, EVE)
    with expect_refusal(governed, "signer_unknown"):
        bring_all(governed, refusal, EVE)


def test_the_agent_lowers_required_in_the_file_or_around_it(at: Prepare) -> None:
    governed, refusal = strayed(at)
    write(governed, ADA, signed="optional")
    assert governed.workspace.approvals.signers().required
    with expect_refusal(governed, "signature_needed"):
        governed.workspace.approvals.approve(TASK, refusal.subjects[0], reason="x", caller=HUMAN)
    governed.settings(lambda text: text.partition("\n[approvals]")[0])
    governed.reopen(AUTOPILOT_APPROVALS__SIGNED="optional")
    with expect_refusal(governed, "signature_needed"):
        governed.workspace.approvals.approve(TASK, refusal.subjects[0], reason="x", caller=HUMAN)


def test_a_task_from_before_does_not_carry_its_older_answer_over(at: Prepare) -> None:
    # T-2 was opened when no signature was asked for. The move that would seal the lowered file for all says so, and
    # waits for a signature, though for T-2 itself only a command changed.
    governed = at(Phase.SPEC)
    register(governed, ADA, signed="optional")
    second = HonestAgent(governed.workspace, "T-2", governed.root)
    second.open()
    second.run(until=Phase.PLAN)
    second.prepare(Phase.PLAN)
    register(governed, ADA)
    write(governed, ADA, signed="optional")
    governed.settings(lambda text: text.replace("\ntimeout_seconds = 60\n", "\ntimeout_seconds = 90\n"))
    move = governed.workspace.enforcer.advance_phase
    with expect_refusal(governed, "config_changed", task="T-2") as refusal:
        move("T-2", caller=AGENT)
    changed = next(reason for reason in refusal.reasons if reason.code == "config_changed")
    assert "commands.smoke" in changed.detail
    assert "approvals.signed" in changed.detail, "what is approved is shown whole"
    desk = governed.workspace.approvals
    with expect_refusal(governed, "signature_needed", task="T-2"):
        desk.approve("T-2", changed.subject, reason="x", caller=HUMAN)
    terms = Terms(now=governed.clock.wall(), nonce="e" * 32)
    for number, subject in enumerate(refusal.subjects):
        grant = desk.asked("T-2", subject).grant("ada", "so be it", replace(terms, nonce=f"{number:032x}"))
        desk.bring("T-2", as_note(sign_grant(grant, ADA)), caller=AGENT)
    moved = move("T-2", caller=AGENT)
    assert moved.data["signing"] == {"signed": "optional", "approvers": [ADA.verifier.encode()]}
    assert not governed.workspace.approvals.signers().required


def test_the_audit_verifies_each_signature_from_the_lines(at: Prepare) -> None:
    governed, refusal = strayed(at, ADA, BEN)
    bring_all(governed, refusal, BEN)
    governed.advance()
    governed.workspace.close()
    report = audit(load_facts(Repository.locate(governed.root), governed.environ))
    assert [finding for finding in report.findings if finding.code.startswith(("approval", "fold", "state"))] == []
    lines = [line.data for line in governed.lines("approval.granted")]
    governed.workspace.close()
    assert {line["key"] for line in lines} == {BEN.id}


# --- sealing the configuration itself


def seal_grant(governed: Governed, key: SigningKey = ADA, **changes: object) -> Grant:
    terms = Terms(now=governed.clock.wall(), nonce="d" * 32)
    request = governed.workspace.config.asked()
    return sign_grant(replace(request.grant(key.verifier.name, "a second approver", terms), **changes), key)


def seal(governed: Governed, grant: Grant | None = None) -> object:
    return governed.workspace.config.seal(HUMAN, signed=b"" if grant is None else as_note(grant))


def test_once_required_a_terminal_registers_nobody(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    register(governed, ADA)
    write(governed, ADA, EVE)
    with expect_refusal(governed, "signature_needed") as refusal:
        seal(governed)
    assert refusal.exit_code == 4
    for grant, code in (
        (seal_grant(governed, EVE), "signer_unknown"),
        (seal_grant(governed, evidence="0" * 64), "approval_mismatch"),
        (replace(seal_grant(governed), reason="changed"), "signature_bad"),
    ):
        with expect_refusal(governed, code):
            seal(governed, grant)
    assert [key.id for key in governed.workspace.approvals.signers().keys] == [ADA.id]


def test_an_approver_registers_another_and_the_signature_serves_once(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    register(governed, ADA)
    write(governed, ADA, BEN)
    grant = seal_grant(governed)
    line = seal(governed, grant)
    assert line.data["grant"]["key"] == ADA.id  # type: ignore[attr-defined]
    assert [key.id for key in governed.workspace.approvals.signers().keys] == [ADA.id, BEN.id]
    # Ben is taken out again, which anybody may; the old signature does not bring him back.
    write(governed, ADA)
    seal(governed)
    write(governed, ADA, BEN)
    with expect_refusal(governed, "approval_mismatch"):
        seal(governed, grant)


def test_a_grant_for_the_configuration_is_no_grant_for_a_task(at: Prepare) -> None:
    governed, refusal = strayed(at)
    write(governed, ADA, BEN)
    with pytest.raises(RefusedError):
        bring(governed, seal_grant(governed))
    with expect_refusal(governed, "approval_mismatch"):
        seal(governed, grant_of(governed, refusal.subjects[0]))


def test_a_grant_is_read_back_from_the_ledger_and_verifies(at: Prepare) -> None:
    governed, refusal = strayed(at)
    grants = [grant_of(governed, subject) for subject in refusal.subjects]
    for grant in grants:
        bring(governed, grant)
    for line, grant in zip(governed.lines("approval.granted"), grants, strict=True):
        assert grant == read_grant(as_note(grant))
        assert line.data == grant.as_data()


def test_what_is_no_grant_is_a_slip(at: Prepare) -> None:
    governed, _ = strayed(at)
    before = governed.workspace.ledger.view().head.seq
    with pytest.raises(ContractError) as caught:
        governed.workspace.approvals.bring(TASK, b"approved!", caller=AGENT)
    assert caught.value.code == "malformed_grant"
    assert governed.workspace.ledger.view().head.seq == before
