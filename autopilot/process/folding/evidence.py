"""Lines about evidence and prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autopilot.kernel.phases import Phase
from autopilot.ledger.entry import LedgerEntry
from autopilot.process.folding.change import with_changed, with_progress
from autopilot.process.state import EngineState, Evidence, PromptRecord, TaskState

_SHOWN_MAX = 16


def evidence_added(state: EngineState, entry: LedgerEntry) -> None:
    """Evidence was sealed without a move; who adds to IMPLEMENT did work there."""
    task = state.tasks[str(entry.task)]
    task = with_evidence(task, entry, entry.data["phase"])
    if entry.data["phase"] == Phase.IMPLEMENT:
        who = (entry.actor["id"], entry.actor["session"])
        task = with_changed(task, implementers=(*(i for i in task.implementers if i != who), who))
    state.tasks[task.id] = with_progress(task, entry)


def gate_verdict(state: EngineState, entry: LedgerEntry) -> None:
    """A gate was judged; what the engine made for a failed one may lie where people read."""
    if entry.task is None:
        return  # a task that was not opened: no phase's evidence was judged
    if entry.data["verdict"] != "pass":
        state.count("evidence_gate_failed")
        state.count("phase_validations_failed")
    task = state.tasks.get(entry.task)
    if task is not None and entry.artifacts:
        state.tasks[task.id] = with_shown(task, entry, entry.move[0])


def attested(state: EngineState, entry: LedgerEntry) -> None:
    """A prompt was held against its baseline, or a baseline was moved."""
    task = state.tasks[str(entry.task)]
    phase, sha256 = entry.data["phase"], str(entry.prompt)
    known = task.prompts.get(phase)
    baseline, version = (sha256, 1) if known is None else (known.baseline, known.version)
    if entry.kind == "prompt.baseline_changed":
        baseline, version = sha256, version + 1
    record = PromptRecord(baseline, sha256, drifted=sha256 != baseline, version=version)
    state.tasks[task.id] = with_changed(task, prompts={**task.prompts, phase: record})
    if entry.kind == "prompt.drift":
        state.count("prompt_drift_detected")


def with_evidence(task: TaskState, entry: LedgerEntry, phase: str) -> TaskState:
    """The task with the artifacts that the line seals in `phase`."""
    bindings: Mapping[str, Mapping[str, Any]] = entry.data.get("bindings", {})
    added = dict(task.evidence)
    for ref in entry.artifacts:
        bound = bindings.get(ref.name, {})
        added[f"{phase}/{ref.name}"] = Evidence(
            phase=phase,
            name=ref.name,
            sha256=ref.sha256,
            bytes=ref.bytes,
            media_type=ref.media_type,
            origin=ref.origin,
            epoch=task.epoch,
            fence=entry.lease.fence if entry.lease else 0,
            seq=entry.seq,
            actor=entry.actor["id"],
            session=entry.actor["session"],
            tree=bound.get("tree", ""),
            inputs=bound.get("inputs", ""),
            isolation=bound.get("isolation", ""),
        )
    return with_shown(with_changed(task, evidence=added), entry, phase)


def with_shown(task: TaskState, entry: LedgerEntry, phase: str) -> TaskState:
    """The task with what the engine made for `phase`, so that such files count as nobody's forgery."""
    shown = dict(task.shown)
    for ref in entry.artifacts:
        if ref.origin != "asserted":
            key = f"{phase}/{ref.name}"
            known = shown.get(key, ())
            shown[key] = (*(sha256 for sha256 in known if sha256 != ref.sha256), ref.sha256)[-_SHOWN_MAX:]
    return with_changed(task, shown=shown)
