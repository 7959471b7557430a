"""Admission: may this move happen? One pure function over values; no clock, no file, no lock.

The questions are asked in the order a reader would ask them: in order? lease held? evidence there, of sufficient
rank, and live? checks passed, or lifted by a person's approval? prompt as attested? Every unmet condition is a
reason; a move is admitted when there is none. An enforcement set to observe moves its reasons to `observed`; the
sequence is not switchable.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from autopilot.evidence.artifacts import Artifact, Standpoint, check_rank
from autopilot.evidence.artifacts import check_live as live_reasons
from autopilot.evidence.origins import Origin
from autopilot.kernel.callers import Caller
from autopilot.kernel.phases import Phase
from autopilot.kernel.reasons import Reason, Verdict, refused
from autopilot.process.graph import Move, check_sequence
from autopilot.process.profiles import ArtifactContract, ProcessProfile
from autopilot.process.state import Evidence, TaskState

# Which flag governs a reason; codes not named here belong to `evidence_gate`.
_FLAG_OF_CODE: Mapping[str, str] = {
    "outside_plan": "plan_lock",
    "tests_changed": "test_pins",
    "build_changed_pins": "test_pins",
    "config_changed": "test_pins",
    "environment_changed": "test_pins",
    "prompt_drift": "attestation",
    "prompt_unattested": "attestation",
    "lease_held": "leases",
    "lease_missing": "leases",
    "lease_expired": "leases",
    "lease_max_hold": "leases",
}

# Never observed away: a stale fence or an edited object is not a matter of policy, a race that is lost no one's choice.
_ALWAYS = frozenset(
    {
        "stale_fence",
        "lease_token_mismatch",
        "lost_race",
        "evidence_edited",
        "evidence_forged",
        "sealed_edited",
        "task_held",
        "task_closed",
    }
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What the engine found for one artifact of the contract: the evidence, if any, and what is wrong with it."""

    name: str
    evidence: Evidence | None
    reasons: tuple[Reason, ...] = ()
    expected_tree: str = ""
    # Not produced because a person must first lift a check that concerns it: counts as missing once nobody is asked.
    deferred: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything a decision on a move depends on beside the task itself."""

    caller: Caller
    fence: int
    lease: tuple[Reason, ...] = ()
    findings: tuple[Finding, ...] = ()
    checks: tuple[Reason, ...] = ()
    attestation: tuple[Reason, ...] = ()
    # Reasons against each grant that was given, by subject; an empty tuple means the grant lifts its reason.
    grants: Mapping[str, tuple[Reason, ...]] = field(default_factory=dict)
    modes: Mapping[str, str] = field(default_factory=dict)


def admit(move: Move, task: TaskState, facts: Facts, profile: ProcessProfile) -> Verdict:
    """Every rule that can refuse a move, and the approvals an admitted move consumes."""
    sequence = check_sequence(move)
    if sequence is not None:
        # A move that does not exist is judged no further: its evidence contract would be another phase's.
        return refused((sequence,))
    unmet = [*_held(task), *facts.lease]
    if move.kind == "forward":
        contract = profile.contract(Phase(move.origin))
        unmet += [r for artifact in contract.artifacts for r in missing_evidence(artifact, task, facts)]
        unmet += facts.checks
        unmet += facts.attestation
    waived, unmet = _lift_approved(unmet, facts)
    enforced, observed = by_mode(unmet, facts.modes)
    if not any(reason.subject for reason in enforced):
        # Evidence is deferred only behind an approval that is really waited for; without one it is simply not there.
        enforced += [
            Reason("artifact_missing", where=f.name, detail="not produced") for f in facts.findings if f.deferred
        ]
    if enforced:
        return Verdict(refused(enforced).reasons, observed=tuple(observed))
    return Verdict(observed=tuple(observed), consumed=tuple(dict.fromkeys(waived)))


def by_mode(unmet: Iterable[Reason], modes: Mapping[str, str]) -> tuple[list[Reason], list[Reason]]:
    """The reasons that refuse and those that are only observed, each by the mode of the enforcement it belongs to.

    `off` drops a reason; an unknown mode enforces. The desks ask it of lease reasons that they find under the lock.
    """
    enforced: list[Reason] = []
    observed: list[Reason] = []
    for reason in unmet:
        mode = (
            "enforce"
            if reason.code in _ALWAYS
            else modes.get(_FLAG_OF_CODE.get(reason.code, "evidence_gate"), "enforce")
        )
        if mode == "observe":
            observed.append(reason)
        elif mode != "off":
            enforced.append(reason)
    return enforced, observed


def missing_evidence(artifact: ArtifactContract, task: TaskState, facts: Facts) -> Iterable[Reason]:
    """Why the artifact does not satisfy its contract: absent, of too low a rank, stale, or its content refused."""
    finding = next((f for f in facts.findings if f.name == artifact.name), None)
    if finding is None:
        yield Reason("artifact_missing", where=artifact.name)
        return
    if finding.deferred:
        return
    yield from finding.reasons
    if finding.evidence is None:
        if not finding.reasons:
            yield Reason("artifact_missing", where=artifact.name)
        return
    yield from check_live(artifact, finding, task, facts.fence)


def check_live(artifact: ArtifactContract, finding: Finding, task: TaskState, fence: int) -> Iterable[Reason]:
    """Why sealed evidence does not count now: its rank and isolation, its epoch, tree or fence."""
    evidence = finding.evidence
    if evidence is None:
        return ()
    try:
        held = Artifact(
            name=evidence.name,
            phase=Phase(evidence.phase),
            task=task.id,
            epoch=evidence.epoch,
            fence=evidence.fence,
            sha256=evidence.sha256,
            bytes=evidence.bytes,
            media_type=evidence.media_type,
            origin=Origin(evidence.origin),
            tree=evidence.tree or None,
            isolation="bwrap" if evidence.isolation == "bwrap" else "none",
        )
    except ValueError:
        # An origin that this engine does not know ranks below all others: fail closed.
        return (Reason("evidence_rank", where=artifact.name, detail=f"origin {evidence.origin!r} is not known"),)
    now = Standpoint(
        task=task.id,
        entered_epoch=task.entered_epoch.get(evidence.phase, 0),
        tree=finding.expected_tree or None,
        fence=fence,
        forced_fences=frozenset(task.forced_fences),
    )
    rank = check_rank(held, origin=Origin(artifact.origin), isolation=artifact.isolation)
    return (*rank, *live_reasons(held, now))


def _held(task: TaskState) -> tuple[Reason, ...]:
    return (Reason("task_held", detail=task.held),) if task.held else ()


def _lift_approved(unmet: list[Reason], facts: Facts) -> tuple[list[str], list[Reason]]:
    """Take out the reasons that a valid grant lifts; an invalid grant leaves its own reasons instead."""
    waived: list[str] = []
    left: list[Reason] = []
    for reason in unmet:
        problems = facts.grants.get(reason.subject) if reason.subject else None
        if problems is None:
            left.append(reason)
        elif problems:
            left.extend((reason, *problems))
        else:
            waived.append(reason.subject)
    return waived, left
