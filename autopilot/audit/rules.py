"""The process held against its own ledger, line by line: was every move one that could be made?

Asked of the lines and of the profile's table, not of the engine that wrote them. The order of phases is taken from
`kernel.phases`, not from the process graph, so that a changed graph does not vouch for itself. A line that came to the
ledger round the enforcer, with a chain that verifies, is found here. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from autopilot.approvals.grants import Parties, check_approver
from autopilot.approvals.subjects import Subject
from autopilot.audit.findings import Finding
from autopilot.audit.signature_checks import check_signatures
from autopilot.audit.trail import Rule, TaskTrail, Trail
from autopilot.kernel.callers import Caller
from autopilot.kernel.phases import PHASES, Phase, Terminal
from autopilot.ledger.entry import LedgerEntry
from autopilot.ledger.kinds import KINDS, MIRRORED, MOVES
from autopilot.process.profiles import ORIGIN_RANK, PROFILES

_OF_OPEN_TASKS = MOVES | {"evidence.added", "approval.granted", "task.held", "task.resumed"}
_POSITION = {str(phase): phase.position for phase in PHASES}


def check_life(_trail: Trail, task: TaskTrail | None, entry: LedgerEntry) -> Iterator[Finding]:
    """A task lives from its opening to its end, and stands still while it waits for a person."""
    if entry.kind not in _OF_OPEN_TASKS:
        return
    if task is None:
        yield _at(entry, "unknown_task", f"{entry.kind} of {entry.task!r}")
    elif task.ended:
        yield _at(entry, "moved_after_end", f"{entry.kind}; the task ended with line {task.ended_seq}")
    elif task.held and entry.kind in MOVES and not _is_abandonment(entry):
        yield _at(entry, "moved_while_held", entry.kind)


def check_order(_trail: Trail, task: TaskTrail | None, entry: LedgerEntry) -> Iterator[Finding]:
    """Forward by one phase, back to any earlier one, and each move from where the task stands."""
    if entry.kind not in MOVES or task is None or task.ended:
        return
    origin, target = entry.move
    if origin != task.stage or not _is_a_move(entry):
        detail = f"{entry.kind} {origin or 'nowhere'}->{target or 'nowhere'} while the task was in {task.stage}"
        yield _at(entry, "out_of_sequence", detail)


def check_epoch(_trail: Trail, task: TaskTrail | None, entry: LedgerEntry) -> Iterator[Finding]:
    """A backtrack begins the next epoch; every other move, and all evidence, is of the present one."""
    if task is None or task.ended or entry.kind not in (*MOVES, "evidence.added"):
        return
    due = task.epoch + (entry.kind == "phase.backtrack")
    if entry.epoch != due:
        yield _at(entry, "epoch_unlike_moves", f"epoch {entry.epoch}, {due} was due")


def check_fence(trail: Trail, task: TaskTrail | None, entry: LedgerEntry) -> Iterator[Finding]:
    """Who writes under a lease writes under the highest fence; each grant raises it."""
    if entry.kind in MIRRORED or entry.kind not in KINDS:
        return
    if entry.lease is not None and task is not None:
        fence = entry.lease.fence
        if fence < task.fence:
            yield _at(entry, "stale_fence", f"fence {fence}, the highest was {task.fence}", where=entry.lease.resource)
        elif fence > task.fence and not trail.repaired:
            yield _at(entry, "stale_fence", f"fence {fence} was never granted", where=entry.lease.resource)
    elif task is not None and entry.kind in MOVES and not _is_abandonment(entry) and trail.enforced("leases"):
        yield _at(entry, "move_without_lease", f"{entry.kind} {'->'.join(entry.move)}")


def check_grants(_trail: Trail, task: TaskTrail | None, entry: LedgerEntry) -> Iterator[Finding]:
    """Fences strictly rise, in grants and in hand-overs; a task that has ended is granted nothing."""
    if task is None:
        return
    if entry.kind in ("lease.granted", "lease.forced") and entry.lease is not None:
        if entry.lease.fence <= task.fence:
            detail = f"fence {entry.lease.fence} after {task.fence}"
            yield _at(entry, "fence_not_rising", detail, where=entry.lease.resource)
        if task.ended and entry.kind == "lease.granted":
            yield _at(entry, "lease_of_ended_task", f"ended with line {task.ended_seq}", where=entry.lease.resource)
    handover = entry.data.get("handover") if entry.kind in MOVES else None
    if handover is not None and int(handover["fence"]) <= task.fence:
        detail = f"fence {handover['fence']} after {task.fence}"
        yield _at(entry, "fence_not_rising", detail, where=str(handover["resource"]))


def check_evidence(trail: Trail, task: TaskTrail | None, entry: LedgerEntry) -> Iterator[Finding]:
    """A phase is left with every artifact that the profile demands, of its rank, sealed in this epoch."""
    origin, _ = entry.move
    if task is None or task.ended or not _is_forward(entry) or origin not in _POSITION:
        return
    profile = PROFILES.get(task.profile)
    if profile is None:
        yield _at(entry, "profile_unknown", f"{origin} under {task.profile!r}")
        return
    if not trail.enforced("evidence_gate"):
        return  # a person switched it, on record
    brought = {ref.name: ref for ref in entry.artifacts}
    for demanded in profile.contract(Phase(origin)).artifacts:
        live = task.evidence.get(f"{origin}/{demanded.name}")
        ref = brought.get(demanded.name) or (live.ref if live else None)
        place = f"{origin}/{demanded.name}"
        if ref is None:
            yield _at(entry, "evidence_missing", f"in epoch {task.epoch}", where=place)
        elif ORIGIN_RANK.get(ref.origin, -1) < ORIGIN_RANK[demanded.origin]:
            yield _at(entry, "evidence_rank", f"{ref.origin}, {demanded.origin} was due", where=place)


def check_approvals(_trail: Trail, task: TaskTrail | None, entry: LedgerEntry) -> Iterator[Finding]:
    """An approval is given by a person who had no part in the work, for one move in one epoch, and used once."""
    if task is None:
        return
    if entry.kind == "approval.granted":
        yield from _grant_faults(task, entry)
    if not _is_forward(entry):
        return
    label, used = "->".join(entry.move), dict(task.consumed)
    for subject in map(str, entry.data.get("approvals", ())):
        given = task.grants.get(subject) if used.get(subject) != entry.seq else None
        if given is None and subject in used:
            detail = f"line {used[subject]} used it before"
            yield _at(entry, "approval_used", detail, where=subject)
        elif given is None:
            yield _at(entry, "approval_unfounded", "no line grants it in this epoch", where=subject)
        elif (given.move, given.epoch) != (label, task.epoch):
            detail = f"line {given.seq} grants it for {given.move} in epoch {given.epoch}"
            yield _at(entry, "approval_unfounded", detail, where=subject)
        used[subject] = entry.seq


def _grant_faults(task: TaskTrail, entry: LedgerEntry) -> Iterator[Finding]:
    subject = str(entry.data.get("subject_sha256"))
    requester = task.requests.get(subject)
    if requester is None:
        yield _at(entry, "approval_unfounded", "nobody had asked for it", where=subject)
        return
    try:
        digest = Subject(**entry.data["subject"]).sha256
    except (KeyError, TypeError, ValueError):
        digest = ""
    if digest != subject:
        yield _at(entry, "approval_unfounded", "the subject does not have its digest", where=subject)
    parties = [Caller(actor, "agent", session) for actor, session in (requester, *sorted(task.workers))]
    signed = bool(entry.data.get("key"))
    approver = entry.data.get("approver", entry.actor)
    if not signed and approver["id"] != entry.actor["id"]:
        yield _at(entry, "approval_unfounded", "unsigned, and in another's name", where=subject)
    # Who brings a signed one in is not who gave it: `check_signatures` asks whose key it was.
    given_by = Caller(approver["id"], "human", approver["session"]) if signed else entry.caller
    for reason in check_approver(given_by, Parties(parties[0], tuple(parties[1:]))):
        yield _at(entry, "approval_unfounded", f"{reason.code}: {reason.detail}", where=subject)


def _is_forward(entry: LedgerEntry) -> bool:
    return entry.kind == "phase.transition" or (entry.kind == "task.closed" and not _is_abandonment(entry))


def _is_abandonment(entry: LedgerEntry) -> bool:
    return entry.kind == "task.closed" and entry.data.get("outcome") == Terminal.ABANDONED


def _is_a_move(entry: LedgerEntry) -> bool:
    origin, target = entry.move
    at = _POSITION.get(origin)
    if at is None:
        return False
    if entry.kind == "phase.backtrack":
        return _POSITION.get(target, at) < at
    if _is_abandonment(entry):
        return target == Terminal.ABANDONED
    if entry.kind == "task.closed":
        return at == len(PHASES) - 1 and target == Terminal.CLOSED
    return _POSITION.get(target) == at + 1


def _at(entry: LedgerEntry, code: str, detail: str, *, where: str = "") -> Finding:
    return Finding(code=code, where=where, seq=entry.seq, task=entry.task or "", detail=detail, evidence=entry.hash)


PROCESS_RULES: tuple[Rule, ...] = (
    check_life,
    check_order,
    check_epoch,
    check_fence,
    check_evidence,
    check_approvals,
    check_signatures,
)
LEASE_RULES: tuple[Rule, ...] = (check_grants,)
