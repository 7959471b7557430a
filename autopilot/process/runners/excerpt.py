"""The part of the pull request that the engine writes: the task's moves on the ledger, and its figures.

It depends only on the ledger up to the entry into PR, so that it can be written, judged and written again.
"""

from __future__ import annotations

from autopilot.process.engine import Engine
from autopilot.process.state import TaskState

_MOVES = frozenset({"task.opened", "phase.transition", "phase.backtrack"})


def evidence_excerpt(engine: Engine, task: TaskState) -> str:
    """A Markdown table of the moves, with ledger numbers and hashes, and the task's counts."""
    rows = ["| line | hash | move | epoch | artifacts |", "|---|---|---|---|---|"]
    for entry in engine.store.entries(task.opened_seq):
        if entry.task != task.id or entry.kind not in _MOVES:
            continue
        origin, target = entry.move
        move = f"{origin} → {target}" if origin else "opened"
        artifacts = ", ".join(f"{ref.name} `{ref.sha256[:12]}`" for ref in entry.artifacts)
        rows.append(f"| {entry.seq} | `{entry.hash[:16]}` | {move} | {entry.epoch} | {artifacts} |")
    violations = ", ".join(f"{code} {count}" for code, count in sorted(task.violations.items())) or "none"
    return "\n".join(
        [
            f"Ledger `{engine.store.ledger_id}`, judged tree `{task.judged_tree}`.",
            "",
            *rows,
            "",
            f"Backtracks: {task.backtracks}. Violations: {violations}.",
        ]
    )
