"""A move as it is written down: what was decided of it, the line that is the move, and what observers hear.

The enforcer decides and asks under the lock; here the answer becomes the line. Nothing of it is decided anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from autopilot.kernel import events
from autopilot.kernel.callers import Caller
from autopilot.kernel.phases import PHASES, Phase, Terminal
from autopilot.kernel.reasons import Verdict
from autopilot.leases.handover import handed_on_dict
from autopilot.leases.terms import Claim
from autopilot.ledger.entry import Draft, LedgerEntry
from autopilot.process.desks.leasing import Footing
from autopilot.process.engine import Engine
from autopilot.process.graph import Move
from autopilot.process.ports import Transaction
from autopilot.process.recording import shown_reasons
from autopilot.process.runners.values import Collected
from autopilot.process.state import TaskState


@dataclass(frozen=True, slots=True)
class Attempt:
    """One reading of the task and what was decided on it, under these modes of the enforcements."""

    task: TaskState
    move: Move
    caller: Caller
    claim: Claim
    modes: Mapping[str, str]
    config: str
    verdict: Verdict
    collected: Collected = field(default_factory=Collected)


@dataclass(frozen=True, slots=True)
class Verified:
    """What `verify` found, and the ledger line that says so."""

    verdict: Verdict
    entry: LedgerEntry

    @property
    def seq(self) -> int:
        """The number of the line."""
        return self.entry.seq


def append_move(engine: Engine, tx: Transaction, attempt: Attempt, journal: str, footing: Footing) -> LedgerEntry:
    """The forward move: seals, verdict, consumed approvals and the lease's hand-over in one line, the commit."""
    task, move, collected = attempt.task, attempt.move, attempt.collected
    prompt = task.prompts.get(task.stage)
    data: dict[str, Any] = {
        "bindings": {name: dict(bound) for name, bound in collected.bindings.items()},
        "gate": {"verdict": "pass", "observed": shown_reasons(with_observed(attempt.verdict, footing).observed)},
        "approvals": list(attempt.verdict.consumed),
        "attestation": _attestation(task),
        "judged_tree": collected.judged_tree,
        "config": collected.config,
        "signing": engine.settings.as_dict()["approvals"] if collected.config else None,
        "interpreter": collected.interpreter,
        "trust_mode": engine.trust_mode,
        "journal": journal,
        "handover": handed_on_dict(footing.decision),
    }
    if move.target is Terminal.CLOSED:
        data["outcome"] = str(Terminal.CLOSED)
    draft = Draft(
        kind="task.closed" if move.target is Terminal.CLOSED else "phase.transition",
        caller=attempt.caller,
        task=task.id,
        phase=(str(move.origin), str(move.target)),
        epoch=task.epoch,
        lease=footing.lease,
        artifacts=collected.sealed,
        prompt=prompt.last if prompt else None,
        data=data,
    )
    return _write(tx, draft, footing)


def append_backtrack(
    tx: Transaction, task: TaskState, move: Move, reason: str, caller: Caller, footing: Footing
) -> LedgerEntry:
    """The move back: a new epoch, in which the evidence from the target on is retired."""
    target = Phase(move.target)
    again = [str(phase) for phase in PHASES if phase.position >= target.position]
    draft = Draft(
        kind="phase.backtrack",
        caller=caller,
        task=task.id,
        phase=(task.stage, str(target)),
        epoch=task.epoch + 1,
        lease=footing.lease,
        data={
            "reason": reason,
            "retired": again,
            "observed": shown_reasons(footing.observed),
            "handover": handed_on_dict(footing.decision),
        },
    )
    return _write(tx, draft, footing)


def told_of(attempt: Attempt, entry: LedgerEntry) -> list[events.Event]:
    """What observers hear of a forward move."""
    task, caller, move = attempt.task, attempt.caller, attempt.move
    common: Mapping[str, Any] = {
        "task": task.id,
        "seq": entry.seq,
        "actor": caller.actor,
        "session": caller.session,
    }
    told: list[events.Event] = [events.GateJudged(**common, phase=str(move.origin), passed=True)]
    told.extend(
        events.EvidenceAdded(**common, phase=str(move.origin), artifact=ref.name, sha256=ref.sha256, origin=ref.origin)
        for ref in attempt.collected.sealed
    )
    prompt = task.prompts.get(task.stage)
    told.append(
        events.PhaseEntered(
            **common,
            phase=str(move.target),
            origin=str(move.origin),
            epoch=task.epoch,
            prompt_sha256=prompt.last if prompt else "",
        )
    )
    if move.target is Terminal.CLOSED:
        told.append(events.TaskEnded(**common, phase=str(move.target), outcome=str(Terminal.CLOSED)))
    return told


def told_of_backtrack(task: TaskState, target: Phase, caller: Caller, entry: LedgerEntry) -> events.Event:
    """What observers hear of a move back."""
    return events.Backtracked(
        task=task.id,
        phase=str(target),
        seq=entry.seq,
        actor=caller.actor,
        session=caller.session,
        origin=task.stage,
        epoch=task.epoch + 1,
    )


def with_observed(verdict: Verdict, footing: Footing) -> Verdict:
    """The verdict with what the lease is observed for under the lock, in place of what it was when decided."""
    codes = {reason.code for reason in footing.observed}
    kept = tuple(reason for reason in verdict.observed if reason.code not in codes)
    return replace(verdict, observed=(*kept, *footing.observed))


def _write(tx: Transaction, draft: Draft, footing: Footing) -> LedgerEntry:
    """The move's line, then the records of its hand-over: they can be made again from the line, never the reverse."""
    entry = tx.append(draft)
    for record in footing.decision.records:
        tx.record_lease(record)
    return entry


def _attestation(task: TaskState) -> dict[str, Any]:
    prompt = task.prompts.get(task.stage)
    if prompt is None:
        return {"status": "unattested"}
    return {"status": "drift" if prompt.drifted else "attested", "baseline": prompt.baseline}
