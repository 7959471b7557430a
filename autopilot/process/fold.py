"""The fold: the ledger's lines in, what is true now out.

`ProcessFold.apply` takes the state before an entry and gives the state after it. It is total: an entry of a kind
it does not know changes nothing, because the chain has already vouched for the entry and older engines must be able
to read newer ledgers' known parts.

The dump of this state is what a segment opens with; a move is admitted from that object plus the verified tail.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from autopilot.kernel.canonical import encode, parse
from autopilot.kernel.phases import PHASES, Phase, Terminal
from autopilot.ledger.entry import LedgerEntry
from autopilot.process.state import ApprovalGrant, ApprovalRequest, EngineState, Evidence, PromptRecord, TaskState

FORMAT = 1
_SHOWN_MAX = 16


def _with(task: TaskState, **changed: Any) -> TaskState:
    """The task with these fields changed: `dataclasses.replace` at a tenth of its cost, for a fold does several a line.

    A task checks nothing when it is made, so nothing is passed over; it has no slots, so that this is one copy.
    """
    after = object.__new__(TaskState)
    after.__dict__.update(task.__dict__, **changed)
    return after


class ProcessFold:
    """The fold handed to the store: entries in, `EngineState` out."""

    def initial(self) -> EngineState:
        """The state before the first entry."""
        return EngineState()

    def apply(self, state: EngineState, entry: LedgerEntry) -> EngineState:
        """The state after `entry`; `state` itself is advanced, the task values in it are replaced."""
        rule = _RULES.get(entry.kind)
        if rule is not None:
            rule(state, entry)
        task = state.tasks.get(entry.task or "")
        if task is not None and entry.kind not in _BYSTANDERS:
            state.tasks[task.id] = _with(task, last_seq=entry.seq)
        return state

    def dump(self, state: EngineState) -> bytes:
        """The state as bytes; `load` is its inverse."""
        return encode({"format": FORMAT, **asdict(state)})

    def load(self, data: bytes) -> EngineState:
        """The state in `data`, as `dump` wrote it."""
        raw = parse(data, where="folded state")
        raw.pop("format")
        raw["tasks"] = {key: _load_task(value) for key, value in raw["tasks"].items()}
        return EngineState(**raw)


def _load_task(raw: dict[str, Any]) -> TaskState:
    raw["evidence"] = {key: Evidence(**value) for key, value in raw["evidence"].items()}
    raw["prompts"] = {key: PromptRecord(**value) for key, value in raw["prompts"].items()}
    raw["requests"] = {key: ApprovalRequest(**value) for key, value in raw["requests"].items()}
    raw["grants"] = {
        key: ApprovalGrant(**{**value, "request": ApprovalRequest(**value["request"])})
        for key, value in raw["grants"].items()
    }
    raw["forced_fences"] = tuple(raw["forced_fences"])
    raw["shown"] = {key: tuple(value) for key, value in raw["shown"].items()}
    raw["implementers"] = tuple((actor, session) for actor, session in raw["implementers"])
    return TaskState(**raw)


# --- one rule per kind ---------------------------------------------------------------------------------------

# Lines about a task that do not change what a move depends on: they must not make a waiting move lose its race.
_BYSTANDERS = frozenset(
    {
        "lease.contended",
        "tool.refused",
        "violation",
        "gate.verdict",
        "escalation",
        "lease.granted",
        "lease.released",
        "lease.expired",
    }
)


def _genesis(state: EngineState, entry: LedgerEntry) -> None:
    state.ledger = str(entry.record["ledger"])


def _config_sealed(state: EngineState, entry: LedgerEntry) -> None:
    state.config = str(entry.data["sha256"])


def _opened(state: EngineState, entry: LedgerEntry) -> None:
    data = entry.data
    task = TaskState(
        id=str(entry.task),
        title=data["title"],
        profile=data["profile"],
        stage=str(Phase.STRATEGIZE),
        epoch=0,
        opened_seq=entry.seq,
        last_seq=entry.seq,
        base_tree=data["base_tree"],
        base_commit=data["base_commit"] or "",
        branch=data["branch"],
        worktree=data["worktree"],
        config=data["config"],
        interpreter=data["interpreter"]["startup_sha256"],
        compiled=data["interpreter"].get("compiled_sha256", ""),
        entered_epoch={str(Phase.STRATEGIZE): 0},
        progress_seq=entry.seq,
    )
    state.tasks[task.id] = task
    state.folded_ids[task.id.casefold()] = task.id
    state.count("tasks_opened")


def _transition(state: EngineState, entry: LedgerEntry) -> None:
    task, (origin, target) = state.tasks[str(entry.task)], entry.move
    data = entry.data
    task = _with_evidence(task, entry, origin)
    consumed = set(data.get("approvals", ()))
    changed: dict[str, Any] = {
        "stage": target,
        "entered_epoch": {**task.entered_epoch, target: task.epoch},
        "grants": {key: grant for key, grant in task.grants.items() if key not in consumed},
        "requests": {key: r for key, r in task.requests.items() if key not in consumed},
    }
    if data.get("judged_tree"):
        changed["judged_tree"] = data["judged_tree"]
    if data.get("journal"):
        changed["journal_seq"] = entry.seq
    if data.get("config"):
        # A person approved it for this task: it is the workspace's configuration from here on.
        changed["config"] = state.config = data["config"]
    if data.get("interpreter"):
        changed["interpreter"] = data["interpreter"]
    if origin == Phase.IMPLEMENT:
        who = (entry.actor["id"], entry.actor["session"])
        changed["implementers"] = (*(i for i in task.implementers if i != who), who)
    task = _progress(_with(task, **changed), entry)
    task = _hand_over(task, entry)
    state.tasks[task.id] = task
    state.count("phase_transitions")
    if target in Terminal.__members__:
        _end(state, task)


def _closed(state: EngineState, entry: LedgerEntry) -> None:
    if entry.data["outcome"] == Terminal.CLOSED:
        _transition(state, entry)
        return
    task = state.tasks[str(entry.task)]
    if sum(task.violations.values()):
        state.count("tasks_rejected_for_process_violation")
    _end(state, _with(task, stage=str(Terminal.ABANDONED)))


def _end(state: EngineState, task: TaskState) -> None:
    """Keep the outline only, so that the state does not grow with the evidence of finished work."""
    state.tasks[task.id] = TaskState(
        id=task.id,
        title=task.title,
        profile=task.profile,
        stage=task.stage,
        epoch=task.epoch,
        opened_seq=task.opened_seq,
        last_seq=task.last_seq,
        backtracks=task.backtracks,
        violations=task.violations,
        fence=task.fence,
        journal_seq=task.journal_seq,
    )
    state.count("tasks_closed" if task.stage == Terminal.CLOSED else "tasks_abandoned")


def evidence_at_end(entries: Iterable[LedgerEntry], task_id: str) -> Mapping[str, Evidence]:
    """What the task `task_id` had sealed when it ended, from its lines: the state keeps the outline of it only."""
    state = ProcessFold().initial()
    for entry in entries:
        if entry.task != task_id:
            continue
        if entry.kind == "task.closed":
            task = state.tasks[task_id]
            closed = entry.data["outcome"] == Terminal.CLOSED
            return _with_evidence(task, entry, entry.move[0]).evidence if closed else task.evidence
        if entry.kind in ("task.opened", "phase.transition", "phase.backtrack", "evidence.added"):
            _RULES[entry.kind](state, entry)
    return {}


def _backtrack(state: EngineState, entry: LedgerEntry) -> None:
    task, (_, target) = state.tasks[str(entry.task)], entry.move
    again = {str(phase) for phase in PHASES if phase.position >= Phase(target).position}
    kept = {key: item for key, item in task.evidence.items() if item.phase not in again}
    retired = {key: item.sha256 for key, item in task.evidence.items() if item.phase in again}
    retired |= {key: known[-1] for key, known in task.shown.items() if key.partition("/")[0] in again}
    task = _with(
        task,
        stage=target,
        epoch=int(entry.epoch or 0),
        entered_epoch={
            **{k: v for k, v in task.entered_epoch.items() if k not in again},
            target: int(entry.epoch or 0),
        },
        evidence=kept,
        retired={**task.retired, **retired},
        shown={key: value for key, value in task.shown.items() if key.partition("/")[0] not in again},
        requests={},
        grants={},
        judged_tree="" if str(Phase.IMPLEMENT) in again else task.judged_tree,
        backtracks=task.backtracks + 1,
    )
    state.tasks[task.id] = _hand_over(_progress(task, entry), entry)
    state.count("phase_backtracks")


def _evidence_added(state: EngineState, entry: LedgerEntry) -> None:
    task = state.tasks[str(entry.task)]
    task = _with_evidence(task, entry, entry.data["phase"])
    if entry.data["phase"] == Phase.IMPLEMENT:
        who = (entry.actor["id"], entry.actor["session"])
        task = _with(task, implementers=(*(i for i in task.implementers if i != who), who))
    state.tasks[task.id] = _progress(task, entry)


def _with_evidence(task: TaskState, entry: LedgerEntry, phase: str) -> TaskState:
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
    return _with_shown(_with(task, evidence=added), entry, phase)


def _with_shown(task: TaskState, entry: LedgerEntry, phase: str) -> TaskState:
    shown = dict(task.shown)
    for ref in entry.artifacts:
        if ref.origin != "asserted":
            key = f"{phase}/{ref.name}"
            known = shown.get(key, ())
            shown[key] = (*(sha256 for sha256 in known if sha256 != ref.sha256), ref.sha256)[-_SHOWN_MAX:]
    return _with(task, shown=shown)


def _violation(state: EngineState, entry: LedgerEntry) -> None:
    code = entry.data["code"]
    state.count("process_violations")
    if code == "out_of_sequence":
        state.count("phase_skips_attempted")
    task = state.tasks.get(entry.task or "")
    if task is not None:
        violations = {**task.violations, code: task.violations.get(code, 0) + 1}
        state.tasks[task.id] = _with(task, violations=violations)


def _gate_verdict(state: EngineState, entry: LedgerEntry) -> None:
    if entry.task is None:
        return  # a task that was not opened: no phase's evidence was judged
    if entry.data["verdict"] != "pass":
        state.count("evidence_gate_failed")
        state.count("phase_validations_failed")
    task = state.tasks.get(entry.task)
    if task is not None and entry.artifacts:
        state.tasks[task.id] = _with_shown(task, entry, entry.move[0])


def _attested(state: EngineState, entry: LedgerEntry) -> None:
    task = state.tasks[str(entry.task)]
    phase, sha256 = entry.data["phase"], str(entry.prompt)
    known = task.prompts.get(phase)
    baseline, version = (sha256, 1) if known is None else (known.baseline, known.version)
    if entry.kind == "prompt.baseline_changed":
        baseline, version = sha256, version + 1
    record = PromptRecord(baseline, sha256, drifted=sha256 != baseline, version=version)
    state.tasks[task.id] = _with(task, prompts={**task.prompts, phase: record})
    if entry.kind == "prompt.drift":
        state.count("prompt_drift_detected")


def _lease(state: EngineState, entry: LedgerEntry) -> None:
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
        changed["holding_since_us"] = _wall_us(entry)
    elif entry.kind == "lease.released" and task.holding_since_us >= 0:
        changed["held_us"] = task.held_us + max(0, _wall_us(entry) - task.holding_since_us)
    state.tasks[task.id] = _with(task, **changed)


def _contended(state: EngineState, _entry: LedgerEntry) -> None:
    state.count("lease_contentions")


def _approval_requested(state: EngineState, entry: LedgerEntry) -> None:
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
        task = _with(task, requests={**task.requests, request.subject: request})
    state.tasks[task.id] = task


def _approval_granted(state: EngineState, entry: LedgerEntry) -> None:
    task, data = state.tasks[str(entry.task)], entry.data
    grant = ApprovalGrant(
        request=task.requests[data["subject_sha256"]],
        approver=entry.actor["id"],
        session=entry.actor["session"],
        reason=data["reason"],
        granted_at=data["granted_at"],
        expires_at=data["expires_at"],
        nonce=data["nonce"],
        advisory=data["advisory"],
        seq=entry.seq,
    )
    state.tasks[task.id] = _with(task, grants={**task.grants, grant.request.subject: grant})


def _approval_refused(state: EngineState, entry: LedgerEntry) -> None:
    task, subject = state.tasks[str(entry.task)], entry.data["subject_sha256"]
    state.tasks[task.id] = _with(
        task,
        requests={key: r for key, r in task.requests.items() if key != subject},
        grants={key: g for key, g in task.grants.items() if key != subject},
    )


def _flag_changed(state: EngineState, entry: LedgerEntry) -> None:
    name = entry.data["flag"]
    state.flags = {**state.flags, name: entry.data["to"]}
    state.flag_requests = {k: v for k, v in state.flag_requests.items() if k != name}


def _flag_requested(state: EngineState, entry: LedgerEntry) -> None:
    state.flag_requests = {**state.flag_requests, entry.data["flag"]: entry.data["to"]}


def _held(state: EngineState, entry: LedgerEntry) -> None:
    task = state.tasks[str(entry.task)]
    state.tasks[task.id] = _with(task, held=entry.data["cause"], escalated_violations=dict(task.violations))


def _resumed(state: EngineState, entry: LedgerEntry) -> None:
    task = state.tasks[str(entry.task)]
    state.tasks[task.id] = _progress(_with(task, held="", escalated_violations=dict(task.violations)), entry)


def _tool_refused(state: EngineState, _entry: LedgerEntry) -> None:
    state.count("tool_calls_out_of_phase")


# --- the watchdog's clock ------------------------------------------------------------------------------------
#
# It counts the time a lease was held since the last progress. An explicit release ends a hold at once; an expiry is
# noticed late, so the hold it ends counts nothing (overcounting would hold honest tasks after an idle night).


def _progress(task: TaskState, entry: LedgerEntry) -> TaskState:
    """Progress sets the clock to zero; a lease that is held keeps it running from now."""
    return _with(
        task,
        held_us=0,
        holding_since_us=_wall_us(entry) if task.holding_since_us >= 0 else -1,
        progress_seq=entry.seq,
    )


def _hand_over(task: TaskState, entry: LedgerEntry) -> TaskState:
    """A move carries the lease on (`handover`), or leaves the new phase free."""
    handover = entry.data.get("handover")
    if handover is None:
        return _with(task, holding_since_us=-1, held_us=0)
    return _with(task, fence=max(task.fence, int(handover["fence"])), holding_since_us=_wall_us(entry))


def _wall_us(entry: LedgerEntry) -> int:
    """The line's time as microseconds since 1970; lines before 1970 count as then."""
    moment = datetime.fromisoformat(entry.ts)
    return max(0, int(moment.timestamp() * 1_000_000))


_RULES = {
    "genesis": _genesis,
    "config.sealed": _config_sealed,
    "task.opened": _opened,
    "task.closed": _closed,
    "task.held": _held,
    "task.resumed": _resumed,
    "phase.transition": _transition,
    "phase.backtrack": _backtrack,
    "violation": _violation,
    "evidence.added": _evidence_added,
    "gate.verdict": _gate_verdict,
    "prompt.attested": _attested,
    "prompt.drift": _attested,
    "prompt.baseline_changed": _attested,
    "lease.granted": _lease,
    "lease.released": _lease,
    "lease.expired": _lease,
    "lease.forced": _lease,
    "lease.contended": _contended,
    "approval.requested": _approval_requested,
    "approval.granted": _approval_granted,
    "approval.refused": _approval_refused,
    "flag.changed": _flag_changed,
    "flag.loosening_requested": _flag_requested,
    "tool.refused": _tool_refused,
}
