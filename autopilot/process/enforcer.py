"""The enforcer: the only way a task moves.

`advance_phase` loads the facts, lets the phase's runner collect its evidence, asks `admit`, and appends one line:
that line is the move, with its seals, verdicts, consumed approvals and the lease's hand-over. A refusal is on the
ledger before the caller sees it. What takes time happens outside the lock and is bound to the task's state at the
start; under the lock only the binding, the lease and the fence are checked again.

A caller that loses a race (the phase changed between its reading and its turn) gets `lost_race`: contention, no
violation. If only the task's other facts changed meanwhile (an approval came in), the call decides anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autopilot.kernel import events
from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError, IntegrityError, TransitionRefusedError
from autopilot.kernel.phases import PHASES, Phase, Stage, Terminal, parse_phase, parse_stage
from autopilot.kernel.reasons import Reason, Verdict, refused
from autopilot.leases.decisions import Decision
from autopilot.leases.handover import Passing, handed_on_dict, handover
from autopilot.leases.terms import Claim, resource_of
from autopilot.ledger.entry import Draft, LedgerEntry
from autopilot.process.admission import Facts, admit
from autopilot.process.approving import judge_grants
from autopilot.process.attesting import AttestationDesk
from autopilot.process.engine import Engine, lease_ref
from autopilot.process.graph import Move, check_sequence
from autopilot.process.journaling import JournalDesk
from autopilot.process.leasing import LeaseDesk, claim_of
from autopilot.process.ports import Transaction
from autopilot.process.recording import Recording, shown_reasons
from autopilot.process.runners import RunnerDesk
from autopilot.process.runners.values import Collected, Ticket
from autopilot.process.state import TaskState
from autopilot.process.watching import Watchdog

ATTEMPTS = 5
"""How often a call decides anew when the task's facts (not its phase) change under it."""

_SEALED_FAULTS = frozenset({"evidence_edited", "object_missing", "git_object_corrupt"})


TRUST_MODE = 0
"""Agent and engine share a user: who approved and who reviewed is stated by them, not proved (advisory)."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One reading of the task and what was decided on it."""

    task: TaskState
    move: Move
    caller: Caller
    claim: Claim
    verdict: Verdict
    collected: Collected


class WorkProcessEnforcer:
    """Moves tasks forward and back; see the module's rules."""

    def __init__(self, engine: Engine, leases: LeaseDesk, runners: RunnerDesk) -> None:
        self._engine = engine
        self._leases = leases
        self._runners = runners
        self._attestation = AttestationDesk(engine)
        self._recording = Recording(engine)
        self._journal = JournalDesk(engine)
        self._watchdog = Watchdog(engine)

    def advance_phase(
        self, task_id: str, to: Stage | str | None = None, *, caller: Caller, lease: Claim | None = None
    ) -> LedgerEntry:
        """Move the task to its next phase and return the ledger entry that is the move.

        `to` may name the phase the caller means; anything but the next one is a violation. Raises
        TransitionRefusedError with the verdict, ContractError for an unknown task or phase, IntegrityError where
        stored data does not verify.
        """
        target = parse_stage(to) if isinstance(to, str) else to
        first: TaskState | None = None
        for _ in range(ATTEMPTS):
            task = self._read(task_id, caller)
            first = first or task
            if (task.stage, task.epoch) != (first.stage, first.epoch):
                raise self._lost_race(first, task, caller)
            attempt = self._decide(task, target, caller, lease)
            entry = self._settle(attempt)
            if entry is not None:
                return entry
        raise self._lost_race(first or task, task, caller)

    def preview(
        self, task_id: str, to: Stage | str | None = None, *, caller: Caller, lease: Claim | None = None
    ) -> Verdict:
        """The verdict `advance_phase` would come to, with nothing appended and no lease taken."""
        task = self._engine.task(self._engine.store.view().state, task_id)
        target = parse_stage(to) if isinstance(to, str) else to
        move = _move(task, target)
        barred = _barred(task, move)
        if barred is not None:
            return barred
        reasons = self._leases.would_hold(task, caller, lease)
        collected = (
            Collected()
            if reasons
            else self._runners.start(self._ticket(task, caller, self._engine.store.view().leases.fence_high(task.id)))
        )
        return self._judge(task, move, collected, caller, reasons)

    def verify(self, task_id: str, *, caller: Caller, lease: Claim | None = None) -> Verdict:
        """Run and record the current phase's engine checks; nothing moves. The verdict says what is still unmet."""
        task = self._read(task_id, caller)
        if isinstance(task.phase, Terminal):
            raise TransitionRefusedError(refused((Reason("task_closed", detail=f"the task is {task.stage}"),)))
        attempt = self._decide(task, None, caller, lease)
        if not attempt.verdict.admitted and _lease_only(attempt.verdict):
            raise TransitionRefusedError(attempt.verdict, seq=self._recording.contention(task, caller, attempt.verdict))
        with self._engine.store.transaction() as tx:
            # What ran may have taken minutes: it counts only for the phase, epoch and lease it was started under.
            bound = self._bound(tx, task) is not None
            lost = self._leases.standing(tx, task, attempt.claim, self._engine.now()) if bound else ()
            if bound and not lost:
                entry = self._recording.verified(tx, task, caller, attempt.collected, attempt.verdict)
        if not bound:
            raise self._lost_race(task, task, caller)
        if lost:
            raise TransitionRefusedError(refused(lost), seq=self._recording.contention(task, caller, refused(lost)))
        self._recording.announce_gate(task, caller, attempt.verdict, entry)
        self._engine.project(lambda: self._runners.export(task, attempt.collected))
        return attempt.verdict

    def backtrack(
        self, task_id: str, to: Phase | str, *, reason: str, caller: Caller, lease: Claim | None = None
    ) -> LedgerEntry:
        """Send the task back to an earlier phase; its evidence and that of later phases is retired.

        No evidence is asked for: a task that fails its phase can always go back.
        """
        if not reason.strip():
            raise ContractError("reason_missing", where="reason", remedy="say why: --reason TEXT")
        target = parse_phase(to) if isinstance(to, str) else to
        task = self._read(task_id, caller)
        move = Move("backtrack", task.phase, target)
        sequence = check_sequence(move)
        if sequence is not None:
            self._refuse(task, move, caller, refused((sequence,)))
        problems = (Reason("task_held", detail=task.held),) if task.held else self._leases.ensure(task, caller, lease)
        if problems:
            self._refuse(task, move, caller, refused(problems))
        claim = claim_of(caller, lease)
        with self._engine.store.transaction() as tx:
            bound = self._bound(tx, task) is not None
            passing = self._passing(task, move, claim, caller)
            passed = handover(tx.leases, passing, self._engine.now(), self._leases.times(task))
            if bound and passed.verdict.admitted:
                entry = self._append_backtrack(tx, task, move, reason, caller, passed)
        if not bound:
            raise self._lost_race(task, task, caller)
        if not passed.verdict.admitted:
            self._refuse(task, move, caller, passed.verdict)
        self._engine.project(lambda: self._runners.retire(task, target))
        self._engine.emit(
            [
                events.Backtracked(
                    task=task.id,
                    phase=str(target),
                    seq=entry.seq,
                    actor=caller.actor,
                    session=caller.session,
                    origin=task.stage,
                    epoch=task.epoch + 1,
                )
            ]
        )
        return entry

    # --- deciding -------------------------------------------------------------------------------------------

    def _read(self, task_id: str, caller: Caller) -> TaskState:
        self._watchdog.look(task_id, caller)
        return self._engine.task(self._engine.store.view().state, task_id)

    def _decide(self, task: TaskState, target: Stage | None, caller: Caller, lease: Claim | None) -> _Attempt:
        move, claim = _move(task, target), claim_of(caller, lease)
        barred = _barred(task, move)
        if barred is not None:
            return _Attempt(task, move, caller, claim, barred, Collected())
        try:
            return self._collect(task, move, caller, lease)
        except IntegrityError as error:
            if error.code not in _SEALED_FAULTS:
                raise
            # Sealed bytes that are not what the ledger says: whoever changed them meets a line on it, not a crash.
            return _Attempt(task, move, caller, claim, refused(error.reasons()), Collected())

    def _collect(self, task: TaskState, move: Move, caller: Caller, lease: Claim | None) -> _Attempt:
        claim = claim_of(caller, lease)
        problems = self._leases.ensure(task, caller, lease)
        if problems:
            verdict = self._judge(task, move, Collected(), caller, problems)
            return _Attempt(task, move, caller, claim, refused(problems) if verdict.admitted else verdict, Collected())
        fence = self._engine.store.view().leases.fence_high(task.id)
        with self._leases.kept(task, caller, lease):
            collected = self._runners.start(self._ticket(task, caller, fence))
        return _Attempt(task, move, caller, claim, self._judge(task, move, collected, caller, ()), collected)

    def _judge(
        self, task: TaskState, move: Move, collected: Collected, caller: Caller, lease: tuple[Reason, ...]
    ) -> Verdict:
        view = self._engine.store.view()
        if lease:
            # The evidence was not looked at: a caller without the lease learns that first and only.
            return refused(lease)
        facts = Facts(
            caller=caller,
            fence=view.leases.fence_high(task.id),
            lease=lease,
            findings=collected.findings,
            checks=collected.checks,
            attestation=self._attestation.standing(task),
            grants=judge_grants(self._engine, task, move, caller),
            modes=self._engine.modes(view.state),
        )
        return admit(move, task, facts, self._engine.profile(task))

    def _ticket(self, task: TaskState, caller: Caller, fence: int) -> Ticket:
        return Ticket(
            task=task,
            phase=Phase(task.stage),
            caller=caller,
            fence=fence,
            profile=self._engine.profile(task),
            settings=self._engine.sealed_settings(task),
            granted=self._granted(task, caller),
        )

    def _granted(self, task: TaskState, caller: Caller) -> frozenset[str]:
        """The subjects that a person approved for the move out of the task's phase, and that hold for this caller."""
        judged = judge_grants(self._engine, task, _move(task, None), caller)
        return frozenset(subject for subject, problems in judged.items() if not problems)

    # --- settling -------------------------------------------------------------------------------------------

    def _settle(self, attempt: _Attempt) -> LedgerEntry | None:
        """Append the move or the refusal; None means the task's facts changed and the call must decide anew."""
        task, verdict = attempt.task, attempt.verdict
        if not verdict.admitted:
            self._refuse(task, attempt.move, attempt.caller, verdict, attempt.collected)
        journal = self._journal.seal(task, attempt.move, attempt.caller, attempt.collected)
        with self._engine.store.transaction() as tx:
            now_task = self._bound(tx, task)
            if now_task is None:
                return None
            # The lease is judged and handed on at one moment: it cannot run out in between.
            passing = self._passing(task, attempt.move, attempt.claim, attempt.caller)
            passed = handover(tx.leases, passing, self._engine.now(), self._leases.times(task))
            if passed.verdict.admitted and now_task.last_seq != task.last_seq:
                # Only a holder decides anew: whose lease was taken away meanwhile is refused below.
                return None
            if passed.verdict.admitted:
                entry = self._append_move(tx, attempt, journal, passed)
        if not passed.verdict.admitted:
            self._refuse(task, attempt.move, attempt.caller, passed.verdict)
        self._after_move(attempt, entry)
        return entry

    def _passing(self, task: TaskState, move: Move, claim: Claim, caller: Caller) -> Passing:
        # Into REVIEW the lease is left free: the reviewer is another session.
        free = isinstance(move.target, Terminal) or (move.kind == "forward" and move.target is Phase.REVIEW)
        onward = None if free else resource_of(task.id, Phase(move.target))
        return Passing(resource_of(task.id, Phase(task.stage)), onward, claim, caller)

    def _append_move(self, tx: Transaction, attempt: _Attempt, journal: str, passed: Decision) -> LedgerEntry:
        task, move, collected = attempt.task, attempt.move, attempt.collected
        prompt = task.prompts.get(task.stage)
        data: dict[str, Any] = {
            "bindings": {name: dict(bound) for name, bound in collected.bindings.items()},
            "gate": {"verdict": "pass", "observed": shown_reasons(attempt.verdict.observed)},
            "approvals": list(attempt.verdict.consumed),
            "attestation": _attestation(task),
            "judged_tree": collected.judged_tree,
            "config": collected.config,
            "interpreter": collected.interpreter,
            "trust_mode": TRUST_MODE,
            "journal": journal,
            "handover": handed_on_dict(passed),
        }
        if move.target is Terminal.CLOSED:
            data["outcome"] = str(Terminal.CLOSED)
        draft = Draft(
            kind="task.closed" if move.target is Terminal.CLOSED else "phase.transition",
            caller=attempt.caller,
            task=task.id,
            phase=(str(move.origin), str(move.target)),
            epoch=task.epoch,
            lease=lease_ref(task, tx.leases.fence_high(task.id)),
            artifacts=collected.sealed,
            prompt=prompt.last if prompt else None,
            data=data,
        )
        entry = tx.append(draft)
        for record in passed.records:
            tx.record_lease(record)
        return entry

    def _append_backtrack(
        self, tx: Transaction, task: TaskState, move: Move, reason: str, caller: Caller, passed: Decision
    ) -> LedgerEntry:
        target = Phase(move.target)
        again = [str(phase) for phase in PHASES if phase.position >= target.position]
        entry = tx.append(
            Draft(
                kind="phase.backtrack",
                caller=caller,
                task=task.id,
                phase=(task.stage, str(target)),
                epoch=task.epoch + 1,
                lease=lease_ref(task, tx.leases.fence_high(task.id)),
                data={"reason": reason, "retired": again, "handover": handed_on_dict(passed)},
            )
        )
        for record in passed.records:
            tx.record_lease(record)
        return entry

    def _bound(self, tx: Transaction, task: TaskState) -> TaskState | None:
        """The task under the lock if it is still in the stage and epoch that was decided on, else None."""
        now_task = self._engine.task(tx.state, task.id)
        return now_task if (now_task.stage, now_task.epoch) == (task.stage, task.epoch) else None

    def _after_move(self, attempt: _Attempt, entry: LedgerEntry) -> None:
        task, caller, move = attempt.task, attempt.caller, attempt.move
        self._engine.project(lambda: self._runners.export(task, attempt.collected))
        self._engine.project(lambda: self._journal.project(task, entry))
        common: Mapping[str, Any] = {
            "task": task.id,
            "seq": entry.seq,
            "actor": caller.actor,
            "session": caller.session,
        }
        told: list[events.Event] = [events.GateJudged(**common, phase=str(move.origin), passed=True)]
        told.extend(
            events.EvidenceAdded(
                **common, phase=str(move.origin), artifact=ref.name, sha256=ref.sha256, origin=ref.origin
            )
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
        self._engine.emit(told)

    def _refuse(
        self, task: TaskState, move: Move, caller: Caller, verdict: Verdict, collected: Collected | None = None
    ) -> None:
        """Record the refusal, then raise it."""
        seq = self._recording.refusal(task, move, caller, verdict, collected or Collected())
        if collected is not None:
            self._engine.project(lambda: self._runners.export(task, collected))
        self._watchdog.look(task.id, caller)
        raise TransitionRefusedError(verdict, seq=seq)

    def _lost_race(self, before: TaskState, after: TaskState, caller: Caller) -> TransitionRefusedError:
        detail = f"it was {before.stage} in epoch {before.epoch} when this call read it"
        verdict = refused((Reason("lost_race", where=before.id, detail=detail),))
        return TransitionRefusedError(verdict, seq=self._recording.contention(after, caller, verdict))


def _barred(task: TaskState, move: Move) -> Verdict | None:
    """The refusal of a move that no evidence could make good: the graph does not have it, or the task is held."""
    sequence = check_sequence(move)
    if sequence is not None:
        return refused((sequence,))
    return refused((Reason("task_held", detail=task.held),)) if task.held else None


def _move(task: TaskState, target: Stage | None) -> Move:
    origin = task.phase
    if isinstance(origin, Terminal):
        return Move("forward", origin, target or Terminal.CLOSED)
    return Move("forward", origin, target or origin.following)


def _attestation(task: TaskState) -> dict[str, Any]:
    prompt = task.prompts.get(task.stage)
    if prompt is None:
        return {"status": "unattested"}
    return {"status": "drift" if prompt.drifted else "attested", "baseline": prompt.baseline}


def _lease_only(verdict: Verdict) -> bool:
    return all(reason.standing.name == "LEASE" for reason in verdict.reasons)
