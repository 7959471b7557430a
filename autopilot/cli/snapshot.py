"""What `autopilot status` shows, kept in `state/cache/status.json` so that showing it needs next to no imports.

Display only: nothing is admitted from it, and it can be deleted at any time. It names the ledger, and the sizes that
the last segment and the lease log had when it was made; both only grow, so that a snapshot whose sizes still hold
shows what a full reading would. The reader is `status`, which imports nothing of this.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from autopilot.cli.shapes import outline
from autopilot.cli.status import ENDED_SHOWN, FORMAT, PLACE
from autopilot.kernel.phases import Terminal
from autopilot.process.ports import View
from autopilot.process.state import TaskState
from autopilot.wiring.full import Workspace


def keep(workspace: Workspace) -> None:
    """Write the snapshot. A failure is no one's concern: the next `status` takes the long way."""
    with contextlib.suppress(Exception):
        write(workspace, take(workspace))


def take(workspace: Workspace) -> dict[str, Any]:
    """The snapshot of now. Without sizes if others appended meanwhile: what was read then belongs to no size."""
    local = not (workspace.is_remote or workspace.home.shared)
    before = _sizes(workspace.state_dir) if local else {}
    view = workspace.ledger.view()
    sizes: dict[str, Any] = {"trust_mode": workspace.engine.trust_mode}
    if local:
        sizes = before if before == _sizes(workspace.state_dir) else {}
    shown = [_shown(view, task) for task in _chosen(tuple(view.state.tasks.values()))]
    return {"format": FORMAT, "ledger": workspace.ledger.ledger_id, "seq": view.head.seq, **sizes, "tasks": shown}


def write(workspace: Workspace, taken: dict[str, Any]) -> None:
    """Put the snapshot in place, whole or not at all; one without sizes is of no use and left out."""
    if "segment" not in taken:
        return
    path = workspace.state_dir / PLACE
    path.parent.mkdir(exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    fresh.write_text(json.dumps(taken))
    fresh.replace(path)


def _sizes(state_dir: Path) -> dict[str, Any]:
    segment = max(path.name for path in (state_dir / "ledger" / "seg").iterdir() if path.suffix == ".jsonl")
    return {
        "segment": segment,
        "segment_bytes": (state_dir / "ledger" / "seg" / segment).stat().st_size,
        "leases_bytes": (state_dir / "leases" / "leases.wal").stat().st_size,
    }


def _chosen(tasks: tuple[TaskState, ...]) -> list[TaskState]:
    """All open tasks and those that ended last, in opening order."""
    ended = sorted((task for task in tasks if task.stage in Terminal.__members__), key=lambda task: task.last_seq)
    shown = {task.id for task in ended[-ENDED_SHOWN:]}
    return [task for task in tasks if task.stage not in Terminal.__members__ or task.id in shown]


def _shown(view: View, task: TaskState) -> dict[str, Any]:
    held = view.leases.held(task.id)
    lease = held and {
        "resource": held.resource,
        "fence": held.fence,
        "actor": held.holder.caller.actor,
        "boot": held.boot,
        "deadline_ns": held.deadline_ns,
    }
    return {**outline(task), "lease": lease}
