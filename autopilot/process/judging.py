"""Whether a task's grants hold for a move: each held against who asks, what it is bound to, time, and signature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from autopilot.approvals.grants import Grant, Parties, Register, check_grant
from autopilot.approvals.signatures import Signers, check_signature
from autopilot.approvals.subjects import Subject, evidence_set
from autopilot.kernel.callers import Caller
from autopilot.kernel.phases import PHASES
from autopilot.kernel.reasons import Reason
from autopilot.process.engine import Engine
from autopilot.process.graph import Move
from autopilot.process.state import ApprovalGrant, ApprovalRequest, EngineState, TaskState

_POSITIONS = {str(phase): phase.position for phase in PHASES}


@dataclass(frozen=True, slots=True)
class Present:
    """What grants are held against beside the task: the ledger, the time, and whose signatures count."""

    ledger: str
    now: datetime
    signers: Signers

    @classmethod
    def of(cls, engine: Engine, state: EngineState) -> Present:
        """As it is at `state`."""
        return cls(engine.store.ledger_id, engine.wall(state), engine.signers(state))


def judge_grants(engine: Engine, task: TaskState, move: Move, caller: Caller) -> Mapping[str, tuple[Reason, ...]]:
    """For each grant of the task its faults as an approval of this move by this caller; none means that it holds."""
    if not task.grants:
        return {}
    present = Present.of(engine, engine.store.view().state)
    given = {key: _grant(present.ledger, task, grant) for key, grant in task.grants.items()}
    register = Register(frozenset(grant.id for grant in given.values()))
    judged: dict[str, tuple[Reason, ...]] = {}
    for key, grant in given.items():
        asked = Subject(
            ledger=present.ledger,
            task=task.id,
            epoch=task.epoch,
            move=move.label,
            kind=grant.subject.kind,
            digest=grant.subject.digest,
        )
        parties = parties_of(task, task.grants[key].request, caller)
        judged[key] = check_given(grant, asked, parties, register, task, present)
    return judged


def check_given(
    grant: Grant, asked: Subject, parties: Parties, register: Register, task: TaskState, present: Present
) -> tuple[Reason, ...]:
    """Every fault of a grant, its signature's among them; empty if it approves what is asked."""
    faults = check_grant(grant, asked, parties, register, present.now, evidence_of(task, asked.move))
    return (*faults, *check_signature(grant, present.signers))


def evidence_of(task: TaskState, move: str) -> str:
    """The digest of what the task's phases before this move sealed. It stays the same until the task goes back.

    What the phase itself makes is in the subject's digest, as far as it is what the approval is about.
    """
    here = _POSITIONS.get(move.partition("->")[0], 0)
    return evidence_set(
        {key: item.sha256 for key, item in task.evidence.items() if _POSITIONS.get(item.phase, here) < here}
    )


def subject_of(ledger_id: str, task: TaskState, request: ApprovalRequest) -> Subject:
    """What a request asks approval of."""
    return Subject(
        ledger=ledger_id,
        task=task.id,
        epoch=request.epoch,
        move=request.move,
        kind=request.kind,
        digest=request.digest,
    )


def parties_of(task: TaskState, request: ApprovalRequest, caller: Caller) -> Parties:
    """Who asks now, and everybody who did the work or asked before: none of these may approve."""
    workers = [*task.implementers, (request.requester, request.session)]
    return Parties(caller, tuple(Caller(actor, "agent", session) for actor, session in workers))


def _grant(ledger_id: str, task: TaskState, given: ApprovalGrant) -> Grant:
    return Grant(
        subject=subject_of(ledger_id, task, given.request),
        approver=Caller(given.approver, "human", given.session),
        reason=given.reason,
        granted_at=datetime.fromisoformat(given.granted_at),
        expires_at=datetime.fromisoformat(given.expires_at),
        nonce=given.nonce,
        advisory=given.advisory,
        evidence=given.evidence,
        key=given.key,
        signature=given.signature,
    )
