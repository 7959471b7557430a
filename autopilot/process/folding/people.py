"""Lines about what a person decides: approvals, flags, holds."""

from __future__ import annotations

from autopilot.ledger.entry import LedgerEntry
from autopilot.process.folding.change import with_changed, with_progress
from autopilot.process.state import ApprovalGrant, ApprovalRequest, EngineState


def approval_requested(state: EngineState, entry: LedgerEntry) -> None:
    """Something waits for a person."""
    task, data = state.tasks[str(entry.task)], entry.data
    for item in data["requests"]:
        request = ApprovalRequest(
            subject=item["subject"],
            kind=item["kind"],
            move=item["move"],
            digest=item["digest"],
            why=item["why"],
            requester=entry.actor["id"],
            session=entry.actor["session"],
            epoch=task.epoch,
        )
        task = with_changed(task, requests={**task.requests, request.subject: request})
    state.tasks[task.id] = task


def approval_granted(state: EngineState, entry: LedgerEntry) -> None:
    """A person approved."""
    task, data = state.tasks[str(entry.task)], entry.data
    # Who brings a signed grant in is not who gave it.
    approver = data.get("approver", entry.actor)
    grant = ApprovalGrant(
        request=task.requests[data["subject_sha256"]],
        approver=approver["id"],
        session=approver["session"],
        reason=data["reason"],
        granted_at=data["granted_at"],
        expires_at=data["expires_at"],
        nonce=data["nonce"],
        advisory=data["advisory"],
        seq=entry.seq,
        evidence=data.get("evidence", ""),
        key=data.get("key", ""),
        signature=data.get("signature", ""),
    )
    grants = {**task.grants, grant.request.subject: grant}
    state.tasks[task.id] = with_changed(task, grants=grants, spent=(*task.spent, grant.nonce))


def approval_refused(state: EngineState, entry: LedgerEntry) -> None:
    """A person refused, or withdrew what was granted."""
    task, subject = state.tasks[str(entry.task)], entry.data["subject_sha256"]
    state.tasks[task.id] = with_changed(
        task,
        requests={key: r for key, r in task.requests.items() if key != subject},
        grants={key: g for key, g in task.grants.items() if key != subject},
    )


def flag_changed(state: EngineState, entry: LedgerEntry) -> None:
    """A mode of an enforcement was sealed."""
    name = entry.data["flag"]
    state.flags = {**state.flags, name: entry.data["to"]}
    state.flag_requests = {k: v for k, v in state.flag_requests.items() if k != name}


def flag_requested(state: EngineState, entry: LedgerEntry) -> None:
    """A loosening was asked for; it is inert."""
    state.flag_requests = {**state.flag_requests, entry.data["flag"]: entry.data["to"]}


def held(state: EngineState, entry: LedgerEntry) -> None:
    """The task waits for a person."""
    task = state.tasks[str(entry.task)]
    state.tasks[task.id] = with_changed(task, held=entry.data["cause"], escalated_violations=dict(task.violations))


def resumed(state: EngineState, entry: LedgerEntry) -> None:
    """A person let the task go on; its violations count anew."""
    task = state.tasks[str(entry.task)]
    state.tasks[task.id] = with_progress(with_changed(task, held="", escalated_violations=dict(task.violations)), entry)
