"""The fold: the ledger's lines in, what is true now out.

`ProcessFold.apply` takes the state before an entry and gives the state after it. It is total: an entry of a kind
it does not know changes nothing, because the chain has already vouched for the entry and older engines must be able
to read newer ledgers' known parts.

The dump of this state is what a segment opens with; a move is admitted from that object plus the verified tail.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from autopilot.kernel.canonical import encode, parse
from autopilot.kernel.phases import PHASES, Phase, Terminal
from autopilot.ledger.entry import LedgerEntry
from autopilot.process.folding import evidence, leases, people
from autopilot.process.folding.change import with_changed, with_hand_over, with_progress
from autopilot.process.folding.evidence import with_evidence
from autopilot.process.state import ApprovalGrant, ApprovalRequest, EngineState, Evidence, PromptRecord, TaskState

FORMAT = 1


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
        if entry.ts > state.latest:
            state.latest = entry.ts
        task = state.tasks.get(entry.task or "")
        if task is not None and entry.kind not in _BYSTANDERS:
            state.tasks[task.id] = with_changed(task, last_seq=entry.seq)
        return state

    def copy(self, state: EngineState) -> EngineState:
        """The state again, to be advanced apart from the first. They share task values: a fold replaces those."""
        after = replace(state)
        for name in EngineState.__slots__:
            value = getattr(state, name)
            if isinstance(value, dict):
                setattr(after, name, dict(value))
        return after

    def dump(self, state: EngineState) -> bytes:
        """The state as bytes; `load` is its inverse."""
        return encode({"format": FORMAT, **asdict(state)})

    def load(self, data: bytes) -> EngineState:
        """The state in `data`, as `dump` wrote it."""
        raw: dict[str, Any] = parse(data, where="folded state")
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
    raw["spent"] = tuple(raw.get("spent", ()))
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
    state.config, state.config_seq = str(entry.data["sha256"]), entry.seq


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
    task = with_evidence(task, entry, origin)
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
        state.config_seq = entry.seq
    if data.get("interpreter"):
        changed["interpreter"] = data["interpreter"]
    if origin == Phase.IMPLEMENT:
        who = (entry.actor["id"], entry.actor["session"])
        changed["implementers"] = (*(i for i in task.implementers if i != who), who)
    task = with_progress(with_changed(task, **changed), entry)
    task = with_hand_over(task, entry)
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
    _end(state, with_changed(task, stage=str(Terminal.ABANDONED)))


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
            return with_evidence(task, entry, entry.move[0]).evidence if closed else task.evidence
        if entry.kind in ("task.opened", "phase.transition", "phase.backtrack", "evidence.added"):
            _RULES[entry.kind](state, entry)
    return {}


def _backtrack(state: EngineState, entry: LedgerEntry) -> None:
    task, (_, target) = state.tasks[str(entry.task)], entry.move
    again = {str(phase) for phase in PHASES if phase.position >= Phase(target).position}
    kept = {key: item for key, item in task.evidence.items() if item.phase not in again}
    retired = {key: item.sha256 for key, item in task.evidence.items() if item.phase in again}
    retired |= {key: known[-1] for key, known in task.shown.items() if key.partition("/")[0] in again}
    task = with_changed(
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
    state.tasks[task.id] = with_hand_over(with_progress(task, entry), entry)
    state.count("phase_backtracks")


def _violation(state: EngineState, entry: LedgerEntry) -> None:
    code = entry.data["code"]
    state.count("process_violations")
    if code == "out_of_sequence":
        state.count("phase_skips_attempted")
    task = state.tasks.get(entry.task or "")
    if task is not None:
        violations = {**task.violations, code: task.violations.get(code, 0) + 1}
        state.tasks[task.id] = with_changed(task, violations=violations)


def _tool_refused(state: EngineState, _entry: LedgerEntry) -> None:
    state.count("tool_calls_out_of_phase")


_RULES = {
    "genesis": _genesis,
    "config.sealed": _config_sealed,
    "task.opened": _opened,
    "task.closed": _closed,
    "task.held": people.held,
    "task.resumed": people.resumed,
    "phase.transition": _transition,
    "phase.backtrack": _backtrack,
    "violation": _violation,
    "evidence.added": evidence.evidence_added,
    "gate.verdict": evidence.gate_verdict,
    "prompt.attested": evidence.attested,
    "prompt.drift": evidence.attested,
    "prompt.baseline_changed": evidence.attested,
    "lease.granted": leases.lease,
    "lease.released": leases.lease,
    "lease.expired": leases.lease,
    "lease.forced": leases.lease,
    "lease.contended": leases.contended,
    "approval.requested": people.approval_requested,
    "approval.granted": people.approval_granted,
    "approval.refused": people.approval_refused,
    "flag.changed": people.flag_changed,
    "flag.loosening_requested": people.flag_requested,
    "tool.refused": _tool_refused,
}
