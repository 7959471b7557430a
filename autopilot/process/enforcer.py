"""The enforcer: the only way a task moves.

`advance_phase` loads the facts, lets the phase's runner collect its evidence, asks `admit`, and appends one line:
that line is the move, with its seals, verdicts, consumed approvals and the lease's hand-over. A refusal is on the
ledger before the caller sees it. What takes time happens outside the lock and is bound to the task's state at the
start; under the lock only the binding, the modes of the enforcements, the lease and the fence are checked again.

A caller that loses a race (the phase changed between its reading and its turn) gets `lost_race`: contention, no
violation. If only the task's other facts changed meanwhile (an approval came in), or a flag, the call decides anew: no
move stands behind the line of a flag that it was not judged by.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError, IntegrityError, TransitionRefusedError
from autopilot.kernel.phases import Phase, Stage, Terminal, parse_phase, parse_stage
from autopilot.kernel.reasons import ADMITTED, Reason, Verdict, refused
from autopilot.leases.terms import Claim
from autopilot.ledger.entry import LedgerEntry
from autopilot.process.admission import by_mode
from autopilot.process.assessing import Assessor, asked_move
from autopilot.process.desks.journaling import JournalDesk
from autopilot.process.desks.leasing import LeaseDesk, claim_of
from autopilot.process.desks.watching import Watchdog
from autopilot.process.engine import Engine
from autopilot.process.graph import Move, check_sequence
from autopilot.process.moving import Attempt, append_backtrack, append_move, told_of, told_of_backtrack, with_observed
from autopilot.process.moving import Verified as Verified
from autopilot.process.ports import Transaction
from autopilot.process.recording import Recording, names_artifacts
from autopilot.process.runners import RunnerDesk
from autopilot.process.runners.values import Collected
from autopilot.process.state import TaskState

ATTEMPTS = 5
"""How often a call decides anew when the task's facts (not its phase) change under it."""

_SEALED_FAULTS = frozenset({"evidence_edited", "object_missing", "git_object_corrupt"})


class WorkProcessEnforcer:
    """Moves tasks forward and back; see the module's rules."""

    def __init__(self, engine: Engine, leases: LeaseDesk, runners: RunnerDesk) -> None:
        self._engine = engine
        self._leases = leases
        self._runners = runners
        self._assessor = Assessor(engine, runners)
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
        view = self._engine.store.view()
        task = self._engine.task(view.state, task_id)
        target = parse_stage(to) if isinstance(to, str) else to
        move = asked_move(task, target)
        barred = _barred(task, move)
        if barred is not None:
            return barred
        modes = self._engine.modes(view.state)
        astray = self._assessor.astray(task, modes)
        if astray:
            return refused(astray)
        problems = self._leases.would_hold(task, caller, lease)
        unheld, _ = by_mode(problems, modes)
        if unheld:
            return refused(unheld)
        collected = self._runners.start(self._assessor.ticket(task, caller, view.leases.fence_high(task.id)))
        return self._assessor.judge(task, move, collected, caller, problems, modes)

    def verify(self, task_id: str, *, caller: Caller, lease: Claim | None = None) -> Verified:
        """Run and record the current phase's engine checks; nothing moves. The verdict says what is still unmet.

        Raises TransitionRefusedError for a task that has ended or is held, and for a caller without the lease.
        """
        for _ in range(ATTEMPTS):
            task = self._read(task_id, caller)
            if isinstance(task.phase, Terminal):
                closed = refused((Reason("task_closed", detail=f"the task is {task.stage}"),))
                self._refuse(task, asked_move(task, None), caller, closed)
            attempt = self._decide(task, None, caller, lease)
            if not attempt.verdict.admitted and (task.held or _without_work(attempt.verdict)):
                self._refuse(task, attempt.move, caller, attempt.verdict)
            found = self._settle_checks(attempt)
            if found is not None:
                self._after_checks(attempt, found)
                return found
        raise self._lost_race(task, task, caller)

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
        if task.held:
            self._refuse(task, move, caller, refused((Reason("task_held", detail=task.held),)))
        modes = self._engine.modes(self._engine.store.view().state)
        problems, _ = by_mode(self._leases.ensure(task, caller, lease), modes)
        if problems:
            self._refuse(task, move, caller, refused(problems))
        with self._engine.store.transaction() as tx:
            bound = self._bound(tx, task) is not None
            footing = self._leases.hand_on(tx, task, move, caller, claim_of(caller, lease))
            if bound and not footing.refusing:
                entry = append_backtrack(tx, task, move, reason, caller, footing)
        if not bound:
            raise self._lost_race(task, task, caller)
        if footing.refusing:
            self._refuse(task, move, caller, refused(footing.refusing))
        self._engine.project(lambda: self._runners.retire(task, target))
        self._engine.emit([told_of_backtrack(task, target, caller, entry)])
        return entry

    # --- deciding -------------------------------------------------------------------------------------------

    def _read(self, task_id: str, caller: Caller) -> TaskState:
        self._watchdog.look(task_id, caller)
        return self._engine.task(self._engine.store.view().state, task_id)

    def _decide(self, task: TaskState, target: Stage | None, caller: Caller, lease: Claim | None) -> Attempt:
        move = asked_move(task, target)
        state = self._engine.store.view().state
        undecided = Attempt(
            task, move, caller, claim_of(caller, lease), self._engine.modes(state), state.config, ADMITTED
        )
        barred = _barred(task, move)
        if barred is not None:
            return replace(undecided, verdict=barred)
        try:
            return self._collect(undecided, lease)
        except IntegrityError as error:
            if error.code not in _SEALED_FAULTS:
                raise
            # Sealed bytes that are not what the ledger says: whoever changed them meets a line on it, not a crash.
            return replace(undecided, verdict=refused(error.reasons()))

    def _collect(self, undecided: Attempt, lease: Claim | None) -> Attempt:
        task, caller, modes = undecided.task, undecided.caller, undecided.modes
        astray = self._assessor.astray(task, modes)
        if astray:
            # Before the lease: who stands in the wrong place must not keep others from the right one.
            return replace(undecided, verdict=refused(astray))
        problems = self._leases.ensure(task, caller, lease)
        unheld, _ = by_mode(problems, modes)
        if unheld:
            # The evidence is not looked at: a caller without the lease learns that first and only.
            return replace(undecided, verdict=refused(unheld))
        fence = self._engine.store.view().leases.fence_high(task.id)
        try:
            with self._leases.kept(task, caller, lease):
                collected = self._runners.start(self._assessor.ticket(task, caller, fence))
        except TransitionRefusedError as early:
            # Overtaken before the runner began: on record like every refusal, before the caller sees it.
            seq = self._recording.contention(task, caller, early.verdict)
            raise TransitionRefusedError(early.verdict, seq=seq) from None
        verdict = self._assessor.judge(task, undecided.move, collected, caller, problems, modes)
        return replace(undecided, verdict=verdict, collected=collected)

    # --- settling -------------------------------------------------------------------------------------------

    def _settle(self, attempt: Attempt) -> LedgerEntry | None:
        """Append the move or the refusal; None means the task's facts changed and the call must decide anew."""
        task, verdict = attempt.task, attempt.verdict
        if not verdict.admitted:
            self._refuse(task, attempt.move, attempt.caller, verdict, attempt.collected)
        journal = self._seal(attempt)
        with self._engine.store.transaction() as tx:
            now_task = self._bound(tx, task)
            if now_task is None:
                return None
            footing = self._leases.hand_on(tx, task, attempt.move, attempt.caller, attempt.claim)
            # Only who may act decides anew: whose lease was taken away meanwhile is refused below.
            if not footing.refusing:
                if now_task.last_seq != task.last_seq or not self._same_modes(tx, attempt):
                    return None
                entry = append_move(self._engine, tx, attempt, journal, footing)
        if footing.refusing:
            self._refuse(task, attempt.move, attempt.caller, refused(footing.refusing))
        self._engine.project(lambda: self._runners.export(task, attempt.collected))
        self._engine.project(lambda: self._journal.project(task, entry))
        self._engine.emit(told_of(attempt, entry))
        return entry

    def _seal(self, attempt: Attempt) -> str:
        """Bring artifacts and journal entry to the disk, before the line that names them; the entry's digest."""
        try:
            journal = self._journal.seal(attempt.task, attempt.move, attempt.caller, attempt.collected)
            self._engine.store.objects.settle()
        except IntegrityError as error:
            if error.code not in _SEALED_FAULTS:
                raise
            # Somebody put other bytes in an object's place since it was looked at: on record, as any such edit.
            self._refuse(attempt.task, attempt.move, attempt.caller, refused(error.reasons()))
        return journal

    def _settle_checks(self, attempt: Attempt) -> Verified | None:
        """Record what `verify` found; None means that a flag changed and the call must decide anew."""
        task, caller = attempt.task, attempt.caller
        found: Verified | None = None
        with self._engine.store.transaction() as tx:
            # What ran may have taken minutes: it counts only for the phase, epoch and lease it was started under.
            bound = self._bound(tx, task) is not None
            footing = self._leases.standing(tx, task, attempt.claim)
            if bound and not footing.refusing and self._same_modes(tx, attempt):
                verdict = with_observed(attempt.verdict, footing)
                entry = self._recording.verified(tx, task, caller, attempt.collected, verdict, footing.lease)
                found = Verified(verdict, entry)
        if not bound:
            raise self._lost_race(task, task, caller)
        if footing.refusing:
            self._refuse(task, attempt.move, caller, refused(footing.refusing))
        return found

    def _after_checks(self, attempt: Attempt, found: Verified) -> None:
        self._recording.announce_gate(attempt.task, attempt.caller, found.verdict, found.entry)
        self._engine.project(lambda: self._runners.export(attempt.task, attempt.collected))

    def _same_modes(self, tx: Transaction, attempt: Attempt) -> bool:
        """Whether no flag changed since the decision, nor who may approve: the configuration sealed for all.

        What one mode admitted must not land behind a stricter one, nor an approval behind the line that takes its key
        away.
        """
        return self._engine.modes(tx.state) == attempt.modes and tx.state.config == attempt.config

    def _bound(self, tx: Transaction, task: TaskState) -> TaskState | None:
        """The task under the lock if it is still in the stage and epoch that was decided on, else None."""
        now_task = self._engine.task(tx.state, task.id)
        return now_task if (now_task.stage, now_task.epoch) == (task.stage, task.epoch) else None

    def _refuse(
        self, task: TaskState, move: Move, caller: Caller, verdict: Verdict, collected: Collected | None = None
    ) -> NoReturn:
        """Record the refusal, then raise it."""
        seq = self._recording.refusal(task, move, caller, verdict, collected or Collected())
        if collected is not None and names_artifacts(verdict):
            # Only what a line names is put where people read: a file that no line knows of would be taken for forged.
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


def _without_work(verdict: Verdict) -> bool:
    """Whether the call was refused before any evidence was looked at: for the lease, or for where it was made."""
    return all(reason.standing.name == "LEASE" or reason.code == "wrong_worktree" for reason in verdict.reasons)
