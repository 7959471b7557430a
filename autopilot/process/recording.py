"""What goes on the ledger beside moves: refusals, verdicts of `verify`, contention, requests for approval.

A *violation* is an out-of-sequence move, a stale or made-up fence, a forgery, an edited sealed file, an act that only
a person may do; a failed gate is a `gate.verdict`, nothing worse, and so is, without a task, an opening that was
refused; a lease that another holds is contention. One refusal is one line (plus one more when it asks for approvals
that nobody has asked for yet), synced before the caller hears of it.
"""

from __future__ import annotations

from collections.abc import Iterable

from autopilot.kernel import events
from autopilot.kernel.callers import Caller
from autopilot.kernel.phases import Phase
from autopilot.kernel.reason_codes import Standing
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.ledger.entry import Draft, LeaseRef, LedgerEntry
from autopilot.process.engine import Engine, about
from autopilot.process.graph import Move
from autopilot.process.ports import Transaction
from autopilot.process.profiles import ORIGIN_RANK
from autopilot.process.runners.values import ApprovalNeed, Collected
from autopilot.process.state import TaskState

VIOLATIONS = frozenset(
    {
        "out_of_sequence",
        "not_a_backtrack",
        "stale_fence",
        "lease_token_mismatch",
        "evidence_forged",
        "evidence_edited",
        "sealed_edited",
    }
)

_REASONS_MAX = 20
_DETAIL_MAX = 400


class Recording:
    """Writes refusals and verdicts for the enforcer and the desks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def refusal(
        self, task: TaskState, move: Move, caller: Caller, verdict: Verdict, collected: Collected | None = None
    ) -> int:
        """Record a refused move by its gravest reason; the sequence number of the line."""
        collected = collected or Collected()
        violation = next((reason for reason in verdict.reasons if reason.code in VIOLATIONS), None)
        if violation is None and all(reason.standing is Standing.LEASE for reason in verdict.reasons):
            return self.contention(task, caller, verdict)
        with self._engine.store.transaction() as tx:
            # Where approvals are asked for, both lines share the last one's sync: the asking is worth nothing alone.
            needs = _new_needs(tx, task, collected.needs)
            if violation is not None:
                draft = _violation(task, move, caller, violation, verdict)
            else:
                draft = _gate(task, move, caller, verdict, collected)
            entry = tx.append(draft, sync=not needs)
            if needs:
                tx.append(_request(task, caller, needs))
        self._tell(task, move, caller, verdict, entry.seq, violation=violation is not None)
        return entry.seq

    def contention(self, task: TaskState, caller: Caller, verdict: Verdict) -> int:
        """Record that the caller did not have the lease, or lost a race."""
        first = verdict.reasons[0]
        data = {"resource": f"{task.id}/{task.stage}", "code": first.code, "detail": first.detail[:_DETAIL_MAX]}
        draft = Draft(kind="lease.contended", caller=caller, task=task.id, epoch=task.epoch, data=data)
        with self._engine.store.transaction() as tx:
            entry = tx.append(draft)
        self._engine.emit(
            [
                events.LeaseChanged(
                    **about(task, caller, entry.seq),
                    change="contended",
                    resource=data["resource"],
                )
            ]
        )
        return entry.seq

    def turned_away(self, asked: str, caller: Caller, verdict: Verdict) -> int:
        """Record the refusal of a call that concerns no task yet; `asked` names the call. The number of the line."""
        data = {"asked": asked[:_DETAIL_MAX], "verdict": "fail", "reasons": shown_reasons(verdict.reasons)}
        with self._engine.store.transaction() as tx:
            return tx.append(Draft(kind="gate.verdict", caller=caller, data=data)).seq

    def usurped(self, task: TaskState | None, caller: Caller, verdict: Verdict) -> int:
        """Record that somebody tried what only a person, or only another person, may do; the number of the line.

        It is the task's violation only where the caller works on the task: a stranger who keeps trying must not get
        somebody else's work held by the watchdog. The line names the task as its place then.
        """
        first = verdict.reasons[0]
        data = {
            "code": first.code,
            "where": (first.where or (task.id if task is not None else ""))[:_DETAIL_MAX],
            "detail": first.detail[:_DETAIL_MAX],
            "reasons": shown_reasons(verdict.reasons),
        }
        with self._engine.store.transaction() as tx:
            task = task if task is not None and _works_on(tx, task, caller) else None
            name, epoch = (task.id, task.epoch) if task is not None else (None, None)
            seq = tx.append(Draft(kind="violation", caller=caller, task=name, epoch=epoch, data=data)).seq
        self._engine.emit(
            [
                events.ViolationRecorded(
                    task=name or "",
                    phase=task.stage if task is not None else "",
                    seq=seq,
                    actor=caller.actor,
                    session=caller.session,
                    code=first.code,
                )
            ]
        )
        return seq

    def impostor(self, act: str, *, caller: Caller) -> int:
        """Record that `act`, a person's, was tried where no terminal was to ask a person at; the line's number."""
        detail = f"stdin is not a terminal; the caller is of kind {caller.kind}"
        return self.usurped(None, caller, Verdict((Reason("not_a_terminal", where=act[:_DETAIL_MAX], detail=detail),)))

    def verified(
        self,
        tx: Transaction,
        task: TaskState,
        caller: Caller,
        collected: Collected,
        verdict: Verdict,
        lease: LeaseRef | None,
    ) -> LedgerEntry:
        """Record what `verify` found: engine-made evidence if nothing is unmet, else the failed verdict."""
        needs = _new_needs(tx, task, collected.needs)
        if needs:
            tx.append(_request(task, caller, needs), sync=False)
        move = Move("forward", Phase(task.stage), Phase(task.stage).following)
        if not verdict.admitted:
            return tx.append(_gate(task, move, caller, verdict, collected))
        made = tuple(ref for ref in collected.sealed if ORIGIN_RANK[ref.origin] > 0)
        return tx.append(
            Draft(
                kind="evidence.added" if made else "gate.verdict",
                caller=caller,
                task=task.id,
                phase=(str(move.origin), str(move.target)),
                epoch=task.epoch,
                lease=lease,
                artifacts=made,
                data={
                    "phase": task.stage,
                    "verdict": "pass",
                    "reasons": [],
                    "observed": shown_reasons(verdict.observed),
                    "bindings": {ref.name: dict(collected.bindings.get(ref.name, {})) for ref in made},
                },
            )
        )

    def announce_gate(self, task: TaskState, caller: Caller, verdict: Verdict, entry: LedgerEntry) -> None:
        """Tell observers what `verify` found."""
        self._engine.emit(
            [
                events.GateJudged(
                    **about(task, caller, entry.seq),
                    passed=verdict.admitted,
                    reasons=verdict.codes(),
                )
            ]
        )

    def _tell(
        self, task: TaskState, move: Move, caller: Caller, verdict: Verdict, seq: int, *, violation: bool
    ) -> None:
        common = about(task, caller, seq)
        told: list[events.Event] = [
            events.TransitionRefused(**common, target=str(move.target), reasons=verdict.codes(), violation=violation)
        ]
        if violation:
            code = next(reason.code for reason in verdict.reasons if reason.code in VIOLATIONS)
            told.append(events.ViolationRecorded(**common, code=code))
        else:
            told.append(events.GateJudged(**common, passed=False, reasons=verdict.codes()))
        self._engine.emit(told)


def _works_on(tx: Transaction, task: TaskState, caller: Caller) -> bool:
    """Whether the caller holds the task's lease, did work on it, or sealed what it rests on."""
    held = tx.leases.held(task.id)
    sessions = {session for _, session in task.implementers} | {item.session for item in task.evidence.values()}
    if held is not None:
        sessions.add(held.holder.session)
    return caller.session in sessions


def names_artifacts(verdict: Verdict) -> bool:
    """Whether the line of this refusal names what the engine made meanwhile: a failed gate's does, no other."""
    return not all(reason.standing is Standing.LEASE for reason in verdict.reasons) and not any(
        reason.code in VIOLATIONS for reason in verdict.reasons
    )


def shown_reasons(reasons: Iterable[Reason]) -> list[dict[str, str]]:
    """Reasons as ledger lines hold them: the first ones, their details cut; the full output is in the evidence."""
    return [
        {"code": reason.code, "where": reason.where[:_DETAIL_MAX], "detail": reason.detail[:_DETAIL_MAX]}
        for reason in list(reasons)[:_REASONS_MAX]
    ]


def _violation(task: TaskState, move: Move, caller: Caller, reason: Reason, verdict: Verdict) -> Draft:
    return Draft(
        kind="violation",
        caller=caller,
        task=task.id,
        phase=(str(move.origin), str(move.target)),
        epoch=task.epoch,
        data={
            "code": reason.code,
            "where": reason.where[:_DETAIL_MAX],
            "detail": reason.detail[:_DETAIL_MAX],
            "reasons": shown_reasons(verdict.reasons),
        },
    )


def _gate(task: TaskState, move: Move, caller: Caller, verdict: Verdict, collected: Collected) -> Draft:
    return Draft(
        kind="gate.verdict",
        caller=caller,
        task=task.id,
        phase=(str(move.origin), str(move.target)),
        epoch=task.epoch,
        artifacts=collected.sealed,
        data={
            "verdict": "fail",
            "reasons": shown_reasons(verdict.reasons),
            "observed": shown_reasons(verdict.observed),
        },
    )


def _new_needs(tx: Transaction, task: TaskState, needs: Iterable[ApprovalNeed]) -> tuple[ApprovalNeed, ...]:
    now_task = tx.state.tasks[task.id]
    return tuple(
        need for need in needs if need.subject not in now_task.requests and need.subject not in now_task.grants
    )


def _request(task: TaskState, caller: Caller, needs: tuple[ApprovalNeed, ...]) -> Draft:
    requests = [
        {
            "subject": need.subject,
            "kind": need.kind,
            "move": need.move,
            "digest": need.digest,
            "why": need.why[:_DETAIL_MAX],
        }
        for need in needs[:_REASONS_MAX]
    ]
    data = {"requests": requests}
    return Draft(kind="approval.requested", caller=caller, task=task.id, epoch=task.epoch, data=data)
