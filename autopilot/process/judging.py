"""Whether a task's grants hold for a move: each held against who asks, what it is bound to, and the time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from autopilot.approvals.grants import Grant, Parties, Register, check_grant
from autopilot.approvals.subjects import Subject
from autopilot.kernel.callers import Caller
from autopilot.kernel.reasons import Reason
from autopilot.process.engine import Engine
from autopilot.process.graph import Move
from autopilot.process.state import ApprovalGrant, ApprovalRequest, TaskState


def judge_grants(engine: Engine, task: TaskState, move: Move, caller: Caller) -> Mapping[str, tuple[Reason, ...]]:
    """For each grant of the task its faults as an approval of this move by this caller; none means that it holds."""
    register = Register(frozenset(_grant(engine.store.ledger_id, task, g).id for g in task.grants.values()))
    now = engine.clock.wall()
    judged: dict[str, tuple[Reason, ...]] = {}
    for key, given in task.grants.items():
        grant = _grant(engine.store.ledger_id, task, given)
        asked = Subject(
            ledger=engine.store.ledger_id,
            task=task.id,
            epoch=task.epoch,
            move=move.label,
            kind=given.request.kind,
            digest=given.request.digest,
        )
        judged[key] = check_grant(grant, asked, parties_of(task, given.request, caller), register, now)
    return judged


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
    )
