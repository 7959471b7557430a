"""What the ledger's lines tell an auditor, in one pass and in values: each task's way, and every object they name.

It is another fold than the engine's (`process/fold.py`), on purpose: what the engine believes of a task must not be
what the audit believes of it. It keeps what the engine forgets when a task ends, for that is what an auditor asks for.
The rules that the lines are held against are in `audit/rules.py`. Pure: entries in, values out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from autopilot.approvals.signatures import Signers
from autopilot.audit.findings import Finding
from autopilot.kernel.errors import ContractError
from autopilot.kernel.phases import PHASES, Phase
from autopilot.leases.terms import task_of
from autopilot.ledger.entry import ArtifactRef, LedgerEntry
from autopilot.ledger.kinds import MIRRORED


@dataclass(frozen=True, slots=True)
class Named:
    """Where the ledger first names an object: the line, its hash, and as what; `tasks` are all whose lines name it."""

    seq: int
    line: str
    what: str
    tasks: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Sealed:
    """An artifact as sealed in the present epoch."""

    ref: ArtifactRef
    epoch: int
    seq: int
    line: str


@dataclass(frozen=True, slots=True)
class Granted:
    """An approval: for which move and epoch, the line, until when, and who signed it with which key, if anybody."""

    move: str
    epoch: int
    seq: int
    line: str
    expires_at: str = ""
    approver: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Moved:
    """A forward move that names a journal entry."""

    entry: LedgerEntry
    origin: str
    target: str
    journal: str


@dataclass(slots=True)
class TaskTrail:
    """One task. Keys of artifacts are `PHASE/name`; `ever` holds every digest that a line gave to a key."""

    id: str
    profile: str
    stage: str = str(Phase.STRATEGIZE)
    epoch: int = 0
    ended_seq: int = -1
    end_fence: int = 0
    held: bool = False
    fence: int = 0
    fence_seq: int = -1
    evidence: dict[str, Sealed] = field(default_factory=dict)
    shown: dict[str, set[str]] = field(default_factory=dict)
    ever: dict[str, set[str]] = field(default_factory=dict)
    requests: dict[str, tuple[str, str]] = field(default_factory=dict)
    grants: dict[str, Granted] = field(default_factory=dict)
    consumed: dict[str, int] = field(default_factory=dict)
    workers: set[tuple[str, str]] = field(default_factory=set)
    moves: list[Moved] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether the task was closed or abandoned."""
        return self.ended_seq >= 0


@dataclass(slots=True)
class Trail:
    """All that one pass over the lines gave. `handed_on` are the leases that moves handed on, by (task, fence).

    `signers` may sign approvals, by the last line that says it; `nonces` names the line of each that is signed.
    """

    ledger: str = ""
    entries: int = 0
    tasks: dict[str, TaskTrail] = field(default_factory=dict)
    named: dict[str, Named] = field(default_factory=dict)
    mirrors: dict[int, LedgerEntry] = field(default_factory=dict)
    handed_on: dict[tuple[str, int], str] = field(default_factory=dict)
    flags: dict[str, str] = field(default_factory=dict)
    moves: dict[int, str] = field(default_factory=dict)
    published: dict[int, tuple[int, str, str]] = field(default_factory=dict)
    leaves: list[bytes] = field(default_factory=list)
    keys: list[tuple[str, str]] = field(default_factory=list)
    repaired: bool = False
    signers: Signers = field(default_factory=Signers)
    nonces: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def enforced(self, flag: str) -> bool:
        """Whether the lines so far leave the enforcement on. The configuration can only make it stricter."""
        return self.flags.get(flag, "enforce") == "enforce"


Rule = Callable[[Trail, "TaskTrail | None", LedgerEntry], Iterable[Finding]]


def follow(entries: Iterable[LedgerEntry], rules: Iterable[Rule]) -> Trail:
    """The trail of all entries, each held against `rules` before it takes effect."""
    trail, asked = Trail(), tuple(rules)
    for entry in entries:
        try:
            _take(trail, asked, entry)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # A line made by hand can lack what every line of its kind has.
            detail = f"{entry.kind}: {type(error).__name__}: {error}"
            trail.findings.append(Finding(code="fold_failed", seq=entry.seq, detail=detail, evidence=entry.hash))
        trail.entries = entry.seq + 1
        trail.ledger = str(entry.record["ledger"])
        trail.leaves.append(bytes.fromhex(entry.hash))
    return trail


def _take(trail: Trail, rules: tuple[Rule, ...], entry: LedgerEntry) -> None:
    task = trail.tasks.get(entry.task or "")
    for rule in rules:
        trail.findings.extend(rule(trail, task, entry))
    _note_objects(trail, entry)
    step = _STEPS.get(entry.kind)
    if step is not None:
        step(trail, task, entry)


# --- objects

_NAMING_KEYS = (("journal", "journal entry"), ("config", "configuration"), ("pinned", "pinned files"))


def _note_objects(trail: Trail, entry: LedgerEntry) -> None:
    found = [(ref.sha256, ref.name) for ref in entry.artifacts]
    found += [(str(entry.data[key]), what) for key, what in _NAMING_KEYS if entry.data.get(key)]
    if entry.kind == "config.sealed":
        found.append((str(entry.data["sha256"]), "configuration"))
    if entry.kind == "segment.opened":
        found.append((str(entry.data["state"]["sha256"]), "folded state"))
    for digest, what in found:
        trail.named.setdefault(digest, Named(entry.seq, entry.hash, what)).tasks.add(entry.task or "")


# --- one step for each kind that changes a task


def _opened(trail: Trail, _task: TaskTrail | None, entry: LedgerEntry) -> None:
    name = str(entry.task)
    trail.tasks[name] = TaskTrail(name, str(entry.data["profile"]))


def _forward(trail: Trail, task: TaskTrail | None, entry: LedgerEntry) -> None:
    if task is None:
        return
    origin, target = entry.move
    trail.moves[entry.seq] = task.id
    if entry.data.get("signing"):
        trail.signers = signers_of(entry.data["signing"])
    _seal(task, entry, origin)
    for subject in entry.data.get("approvals", ()):
        task.consumed[str(subject)] = entry.seq
        task.grants.pop(str(subject), None)
        task.requests.pop(str(subject), None)
    if origin == Phase.IMPLEMENT:
        task.workers.add((entry.actor["id"], entry.actor["session"]))
    if entry.data.get("journal"):
        task.moves.append(Moved(entry, origin, target, str(entry.data["journal"])))
    task.stage = target
    _hand_on(trail, task, entry)


def _ended(trail: Trail, task: TaskTrail | None, entry: LedgerEntry) -> None:
    if task is None:
        return
    if entry.data.get("outcome") == "CLOSED":
        _forward(trail, task, entry)
    task.stage, task.ended_seq, task.end_fence = str(entry.data.get("outcome", "")), entry.seq, task.fence


def _back(trail: Trail, task: TaskTrail | None, entry: LedgerEntry) -> None:
    if task is None:
        return
    target = entry.move[1]
    trail.moves[entry.seq] = task.id
    positions = {str(phase): phase.position for phase in PHASES}
    again = {phase for phase, position in positions.items() if position >= positions.get(target, 0)}
    task.evidence = {key: item for key, item in task.evidence.items() if key.partition("/")[0] not in again}
    task.shown = {key: known for key, known in task.shown.items() if key.partition("/")[0] not in again}
    task.requests, task.grants = {}, {}
    task.stage, task.epoch = target, int(entry.epoch or 0)
    _hand_on(trail, task, entry)


def _added(_trail: Trail, task: TaskTrail | None, entry: LedgerEntry) -> None:
    if task is not None:
        _seal(task, entry, str(entry.data["phase"]))
        if entry.data["phase"] == Phase.IMPLEMENT:
            task.workers.add((entry.actor["id"], entry.actor["session"]))


def _gate(_trail: Trail, task: TaskTrail | None, entry: LedgerEntry) -> None:
    # A failed gate seals nothing, but what the engine made for it may lie in the folder for people to read.
    if task is not None and entry.artifacts:
        _show(task, entry, entry.move[0])


def _seal(task: TaskTrail, entry: LedgerEntry, phase: str) -> None:
    for ref in entry.artifacts:
        task.evidence[f"{phase}/{ref.name}"] = Sealed(ref, task.epoch, entry.seq, entry.hash)
    _show(task, entry, phase)


def _show(task: TaskTrail, entry: LedgerEntry, phase: str) -> None:
    for ref in entry.artifacts:
        key = f"{phase}/{ref.name}"
        task.ever.setdefault(key, set()).add(ref.sha256)
        if ref.origin != "asserted":
            task.shown.setdefault(key, set()).add(ref.sha256)


def _hand_on(trail: Trail, task: TaskTrail, entry: LedgerEntry) -> None:
    handover: dict[str, Any] | None = entry.data.get("handover")
    if handover is not None:
        fence = int(handover["fence"])
        task.fence, task.fence_seq = max(task.fence, fence), entry.seq
        trail.handed_on[task.id, fence] = str(handover["resource"])


def _lease(trail: Trail, task: TaskTrail | None, entry: LedgerEntry) -> None:
    trail.mirrors[int(entry.data["wal_seq"])] = entry
    if task is None and entry.lease is not None:
        task = trail.tasks.get(task_of(entry.lease.resource))
    if task is not None and entry.lease is not None and entry.lease.fence > task.fence:
        task.fence, task.fence_seq = entry.lease.fence, -1


def _requested(_trail: Trail, task: TaskTrail | None, entry: LedgerEntry) -> None:
    if task is not None:
        for item in entry.data["requests"]:
            task.requests[str(item["subject"])] = (entry.actor["id"], entry.actor["session"])


def _granted(trail: Trail, task: TaskTrail | None, entry: LedgerEntry) -> None:
    if task is not None:
        subject, data = entry.data["subject"], entry.data
        if data.get("key"):
            trail.nonces[str(data["nonce"])] = entry.seq
        given = Granted(
            str(subject["move"]),
            int(subject["epoch"]),
            entry.seq,
            entry.hash,
            expires_at=str(data.get("expires_at", "")),
            approver=str(data.get("approver", entry.actor)["id"]),
            key=str(data.get("key", "")),
        )
        task.grants[str(entry.data["subject_sha256"])] = given


def _refused(_trail: Trail, task: TaskTrail | None, entry: LedgerEntry) -> None:
    if task is not None:
        subject = str(entry.data["subject_sha256"])
        task.requests.pop(subject, None)
        task.grants.pop(subject, None)


def _holding(_trail: Trail, task: TaskTrail | None, entry: LedgerEntry) -> None:
    if task is not None:
        task.held = entry.kind == "task.held"


def _flag(trail: Trail, _task: TaskTrail | None, entry: LedgerEntry) -> None:
    trail.flags[str(entry.data["flag"])] = str(entry.data["to"])


def _recovered(trail: Trail, _task: TaskTrail | None, entry: LedgerEntry) -> None:
    # A person's repair may have taken lines that the lease log still answers for.
    trail.repaired = trail.repaired or entry.data.get("cause") != "torn_tail"


def _published(trail: Trail, _task: TaskTrail | None, entry: LedgerEntry) -> None:
    trail.published[int(entry.data["size"])] = (entry.seq, entry.hash, str(entry.data["root"]))


def _configured(trail: Trail, _task: TaskTrail | None, entry: LedgerEntry) -> None:
    trail.signers = signers_of(entry.data.get("approvals"))


def signers_of(approvals: Any) -> Signers:
    """Who may sign, as a line says it; nobody, and required, where it says something else."""
    if approvals is None:
        return Signers()  # written before approvals were signed
    try:
        return Signers.of(map(str, approvals["approvers"]), str(approvals["signed"]))
    except (KeyError, TypeError, ContractError):
        return Signers(required=True)


def _key(trail: Trail, _task: TaskTrail | None, entry: LedgerEntry) -> None:
    trail.keys.append((str(entry.data.get("to", "")), str(entry.data.get("vkey", ""))))


_STEPS: dict[str, Callable[[Trail, TaskTrail | None, LedgerEntry], None]] = {
    "task.opened": _opened,
    "task.held": _holding,
    "task.resumed": _holding,
    "task.closed": _ended,
    "phase.transition": _forward,
    "phase.backtrack": _back,
    "evidence.added": _added,
    "gate.verdict": _gate,
    "approval.requested": _requested,
    "approval.granted": _granted,
    "approval.refused": _refused,
    "flag.changed": _flag,
    "ledger.recovered": _recovered,
    "checkpoint.published": _published,
    "config.sealed": _configured,
    "key.rotated": _key,
    **dict.fromkeys(MIRRORED, _lease),
}
