"""Admission as a table: one fact changed at a time, and the reason it gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from autopilot.kernel.callers import Caller
from autopilot.kernel.phases import PHASES, Phase, Terminal
from autopilot.kernel.reasons import Reason
from autopilot.process.admission import Facts, Finding, admit
from autopilot.process.graph import Move
from autopilot.process.profiles import CODE_CHANGE, PhaseContract
from autopilot.process.state import Evidence, TaskState

TREE, OTHER_TREE = "a" * 40, "c" * 40
CALLER = Caller("agent-7", "agent", "s-7")
SUBJECT = "5" * 64
CHECK = Reason("outside_plan", where="README.md", subject=SUBJECT)


def a_task(phase: Phase, **changed: Any) -> TaskState:
    fields: dict[str, Any] = {
        "id": "T-1",
        "title": "A task",
        "profile": "code-change",
        "stage": str(phase),
        "epoch": 2,
        "opened_seq": 1,
        "last_seq": 9,
        "entered_epoch": {str(p): 2 for p in PHASES[: phase.position + 1]},
        "judged_tree": TREE,
    }
    return TaskState(**{**fields, **changed})


def evidence(phase: Phase, name: str, origin: str, **changed: Any) -> Evidence:
    fields: dict[str, Any] = {
        "phase": str(phase),
        "name": name,
        "sha256": "d" * 64,
        "bytes": 3,
        "media_type": "text/plain",
        "origin": origin,
        "epoch": 2,
        "fence": 4,
        "seq": -1,
        "actor": "agent-7",
        "session": "s-7",
        "tree": "" if origin == "asserted" else TREE,
        "isolation": "bwrap" if origin == "executed" else "",
    }
    return Evidence(**{**fields, **changed})


def good(phase: Phase, contract: PhaseContract | None = None) -> tuple[Finding, ...]:
    """A finding for every artifact of the phase, all as they should be."""
    artifacts = (contract or CODE_CHANGE.contract(phase)).artifacts
    return tuple(
        Finding(a.name, evidence(phase, a.name, a.origin), expected_tree="" if a.origin == "asserted" else TREE)
        for a in artifacts
    )


def facts(phase: Phase, **changed: Any) -> Facts:
    return Facts(**{"caller": CALLER, "fence": 4, "findings": good(phase), **changed})


def forward(phase: Phase) -> Move:
    return Move("forward", phase, phase.following)


@pytest.mark.parametrize("phase", PHASES)
def test_all_in_order_is_admitted(phase: Phase) -> None:
    assert admit(forward(phase), a_task(phase), facts(phase), CODE_CHANGE).admitted


@pytest.mark.parametrize("phase", PHASES)
def test_each_artifact_by_itself_is_missed(phase: Phase) -> None:
    for finding in good(phase):
        rest = tuple(other for other in good(phase) if other is not finding and other.name != finding.name)
        for given in (rest, (*rest, Finding(finding.name, None))):
            verdict = admit(forward(phase), a_task(phase), facts(phase, findings=given), CODE_CHANGE)
            assert verdict.codes() == ("artifact_missing",)
            assert verdict.reasons[0].where == finding.name


FAULTS = {
    "content": ({}, {"reasons": (Reason("tests_failed"),)}, "tests_failed"),
    "asserted for executed": ({"origin": "asserted"}, {}, "evidence_rank"),
    "observed for executed": ({"origin": "observed"}, {}, "evidence_rank"),
    "an unknown origin": ({"origin": "attested"}, {}, "evidence_rank"),
    "an earlier epoch": ({"epoch": 1}, {}, "evidence_stale"),
    "another tree": ({"tree": OTHER_TREE}, {}, "evidence_stale"),
    "no tree": ({"tree": ""}, {}, "evidence_stale"),
    "a fence never granted": ({"fence": 5}, {}, "evidence_stale"),
    "deferred without an approval": ({}, {"deferred": True, "evidence": None}, "artifact_missing"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_in_executed_evidence_refuses(fault: str) -> None:
    of_evidence, of_finding, code = FAULTS[fault]
    first, *rest = good(Phase.VERIFY)
    assert first.evidence is not None
    bad = replace(first, **{"evidence": replace(first.evidence, **of_evidence), **of_finding})
    verdict = admit(
        forward(Phase.VERIFY), a_task(Phase.VERIFY), facts(Phase.VERIFY, findings=(bad, *rest)), CODE_CHANGE
    )
    assert code in verdict.codes()


def test_asserted_evidence_under_a_forced_fence_is_stale() -> None:
    task = a_task(Phase.SPEC, forced_fences=(4,))
    assert admit(forward(Phase.SPEC), task, facts(Phase.SPEC), CODE_CHANGE).codes() == ("evidence_stale",)


def test_isolation_that_the_contract_demands() -> None:
    contract = CODE_CHANGE.contract(Phase.VERIFY)
    strict = replace(contract, artifacts=tuple(replace(a, isolation="bwrap") for a in contract.artifacts))
    profile = replace(CODE_CHANGE, phases={**CODE_CHANGE.phases, Phase.VERIFY: strict})
    assert admit(forward(Phase.VERIFY), a_task(Phase.VERIFY), facts(Phase.VERIFY), profile).admitted
    plain = tuple(replace(f, evidence=replace(f.evidence, isolation="none")) for f in good(Phase.VERIFY))
    verdict = admit(forward(Phase.VERIFY), a_task(Phase.VERIFY), facts(Phase.VERIFY, findings=plain), profile)
    assert set(verdict.codes()) == {"isolation_missing"}


@pytest.mark.parametrize(
    ("move", "code"),
    [
        (Move("forward", Phase.SPEC, Phase.IMPLEMENT), "out_of_sequence"),
        (Move("forward", Terminal.CLOSED, Terminal.CLOSED), "task_closed"),
        (Move("backtrack", Phase.SPEC, Phase.PLAN), "not_a_backtrack"),
    ],
)
def test_a_move_that_does_not_exist_is_judged_no_further(move: Move, code: str) -> None:
    everything_off = dict.fromkeys(("evidence_gate", "leases", "attestation", "plan_lock", "test_pins"), "off")
    given = facts(Phase.SPEC, findings=(), checks=(CHECK,), modes=everything_off)
    assert admit(move, a_task(Phase.SPEC, held="violations"), given, CODE_CHANGE).codes() == (code,)


def test_a_backtrack_asks_for_no_evidence() -> None:
    given = facts(Phase.VERIFY, findings=(), checks=(CHECK,), attestation=(Reason("prompt_drift"),))
    assert admit(Move("backtrack", Phase.VERIFY, Phase.SPEC), a_task(Phase.VERIFY), given, CODE_CHANGE).admitted


def test_a_held_task_moves_nowhere() -> None:
    held = a_task(Phase.SPEC, held="violations: out_of_sequence")
    for move in (forward(Phase.SPEC), Move("backtrack", Phase.SPEC, Phase.STRATEGIZE)):
        verdict = admit(move, held, facts(Phase.SPEC), CODE_CHANGE)
        assert verdict.codes() == ("task_held",)
        assert verdict.exit_code == 4


GRANTS = {
    "none": ({}, ("outside_plan",), 4),
    "a good one": ({SUBJECT: ()}, (), 0),
    "of another subject": ({"6" * 64: ()}, ("outside_plan",), 4),
    "an expired one": ({SUBJECT: (Reason("approval_expired"),)}, ("approval_expired", "outside_plan"), 1),
    "one's own": ({SUBJECT: (Reason("self_approval"),)}, ("self_approval", "outside_plan"), 1),
}


@pytest.mark.parametrize("grant", GRANTS)
def test_what_a_grant_lifts(grant: str) -> None:
    grants, codes, exit_code = GRANTS[grant]
    given = facts(Phase.IMPLEMENT, checks=(CHECK,), grants=grants)
    verdict = admit(forward(Phase.IMPLEMENT), a_task(Phase.IMPLEMENT), given, CODE_CHANGE)
    assert set(verdict.codes()) == set(codes)
    assert verdict.exit_code == exit_code
    assert verdict.consumed == ((SUBJECT,) if not codes else ())


def test_a_reason_without_a_subject_is_lifted_by_nothing() -> None:
    given = facts(Phase.IMPLEMENT, checks=(Reason("tests_failed"),), grants={"": (), SUBJECT: ()})
    assert admit(forward(Phase.IMPLEMENT), a_task(Phase.IMPLEMENT), given, CODE_CHANGE).codes() == ("tests_failed",)


def test_waiting_counts_only_when_nothing_else_is_unmet() -> None:
    given = facts(Phase.IMPLEMENT, checks=(CHECK, Reason("nothing_changed")))
    verdict = admit(forward(Phase.IMPLEMENT), a_task(Phase.IMPLEMENT), given, CODE_CHANGE)
    assert verdict.codes()[0] == "nothing_changed"
    assert verdict.exit_code == 1


FLAGGED = {
    "outside_plan": "plan_lock",
    "tests_changed": "test_pins",
    "config_changed": "test_pins",
    "prompt_drift": "attestation",
    "lease_missing": "leases",
    "lease_held": "leases",
    "lease_max_hold": "leases",
    "artifact_missing": "evidence_gate",
    "tests_failed": "evidence_gate",
    "tree_mismatch": "evidence_gate",
}
NEVER_SWITCHED = (
    "stale_fence",
    "lease_token_mismatch",
    "lost_race",
    "task_closed",
    "evidence_edited",
    "evidence_forged",
    "sealed_edited",
)


@pytest.mark.parametrize("code", FLAGGED)
@pytest.mark.parametrize("mode", ["enforce", "observe", "off", "nonsense"])
def test_each_reason_obeys_its_own_flag(code: str, mode: str) -> None:
    all_off = dict.fromkeys(set(FLAGGED.values()), "off")
    given = facts(Phase.IMPLEMENT, checks=(Reason(code),), modes={**all_off, FLAGGED[code]: mode})
    verdict = admit(forward(Phase.IMPLEMENT), a_task(Phase.IMPLEMENT), given, CODE_CHANGE)
    assert verdict.admitted == (mode in ("observe", "off"))
    assert [reason.code for reason in verdict.observed] == ([code] if mode == "observe" else [])


@pytest.mark.parametrize("code", NEVER_SWITCHED)
def test_some_reasons_obey_none(code: str) -> None:
    all_off = dict.fromkeys(set(FLAGGED.values()), "off")
    given = facts(Phase.IMPLEMENT, checks=(Reason(code),), modes=all_off)
    assert admit(forward(Phase.IMPLEMENT), a_task(Phase.IMPLEMENT), given, CODE_CHANGE).codes() == (code,)
