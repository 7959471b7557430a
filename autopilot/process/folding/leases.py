"""Lines about leases."""

from __future__ import annotations

from typing import Any

from autopilot.ledger.entry import LedgerEntry
from autopilot.process.folding.change import wall_us, with_changed
from autopilot.process.state import EngineState


def lease(state: EngineState, entry: LedgerEntry) -> None:
    """A lease line: fences rise, and the watchdog's clock starts or stops."""
    data = entry.data
    if entry.kind == "lease.expired":
        state.count("lease_expirations")
    task = state.tasks.get(entry.task or "")
    if task is None:
        return
    fence = entry.lease.fence if entry.lease else 0
    changed: dict[str, Any] = {"fence": max(task.fence, fence), "holding_since_us": -1}
    if entry.kind == "lease.forced":
        ended = data.get("ended")
        changed["forced_fences"] = (*task.forced_fences, *([] if ended is None else [int(ended)]))
    if entry.kind == "lease.granted":
        changed["holding_since_us"] = wall_us(entry)
    elif entry.kind == "lease.released" and task.holding_since_us >= 0:
        changed["held_us"] = task.held_us + max(0, wall_us(entry) - task.holding_since_us)
    state.tasks[task.id] = with_changed(task, **changed)


def contended(state: EngineState, _entry: LedgerEntry) -> None:
    """Somebody had to wait."""
    state.count("lease_contentions")
