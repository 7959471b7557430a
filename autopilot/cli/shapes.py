"""The objects of `--json` that more than one command prints. `docs/reference/cli.md` names their fields."""

from __future__ import annotations

from typing import Any

from autopilot.cli.remedies import spelt_out
from autopilot.kernel.reasons import Reason
from autopilot.leases.terms import Lease
from autopilot.ledger.entry import LedgerEntry
from autopilot.process.state import Evidence, TaskState
from autopilot.wiring.full import Workspace


def task_dict(workspace: Workspace, task: TaskState) -> dict[str, Any]:
    """A task: where it is, who holds it, what it waits for."""
    held = workspace.leases.held(task.id)
    return {**outline(task), "lease": None if held is None else held.shown(workspace.engine.now())}


def outline(task: TaskState) -> dict[str, Any]:
    """A task without its lease, which time changes."""
    held = spelt_out(Reason("task_held", where=task.id, detail=task.held).as_dict(), task.id) if task.held else None
    waiting = [
        spelt_out(Reason("approval_needed", where=request.move, detail=request.why, subject=subject).as_dict(), task.id)
        for subject, request in task.requests.items()
        if subject not in task.grants
    ]
    return {
        "id": task.id,
        "title": task.title,
        "profile": task.profile,
        "phase": task.stage,
        "epoch": task.epoch,
        "base_tree": task.base_tree,
        "lease": None,
        "held": held,
        "waiting_on": [held, *waiting] if held else waiting,
    }


def lease_dict(lease: Lease, workspace: Workspace) -> dict[str, Any]:
    """A lease as its holder needs it; the token is shown by `acquire` alone."""
    shown = lease.shown(workspace.engine.now())
    return {name: shown[name] for name in ("resource", "fence", "expires_in_seconds")}


def move_dict(entry: LedgerEntry) -> dict[str, Any]:
    """The ledger line that a move is."""
    origin, target = entry.move
    return {"from": origin, "to": target, "seq": entry.seq, "hash": entry.hash}


def evidence_dict(item: Evidence) -> dict[str, Any]:
    """One sealed artifact."""
    return {
        "name": item.name,
        "phase": item.phase,
        "origin": item.origin,
        "sha256": item.sha256,
        "bytes": item.bytes,
        "media_type": item.media_type,
        "epoch": item.epoch,
        "fence": item.fence,
        "seq": item.seq,
        "actor": item.actor,
        "session": item.session,
        "tree": item.tree,
        "isolation": item.isolation,
    }
