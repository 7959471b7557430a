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

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from autopilot.kernel import events
from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError, IntegrityError, TransitionRefusedError
from autopilot.kernel.phases import PHASES, Phase, Stage, Terminal, parse_phase, parse_stage
from autopilot.kernel.reasons import ADMITTED, Reason, Verdict, refused
from autopilot.leases.handover import handed_on_dict
from autopilot.leases.terms import Claim
from autopilot.ledger.entry import Draft, LedgerEntry
from autopilot.process.admission import Facts, admit, by_mode
from autopilot.process.desks.attesting import AttestationDesk
from autopilot.process.desks.journaling import JournalDesk
from autopilot.process.desks.leasing import Footing, LeaseDesk, claim_of
from autopilot.process.desks.watching import Watchdog
from autopilot.process.engine import Engine
from autopilot.process.graph import Move, check_sequence
from autopilot.process.judging import judge_grants
from autopilot.process.ports import Transaction
from autopilot.process.recording import Recording, names_artifacts, shown_reasons
from autopilot.process.runners import RunnerDesk
from autopilot.process.runners.values import Collected, Ticket
from autopilot.process.state import TaskState

ATTEMPTS = 5
"""How often a call decides anew when the task's facts (not its phase) change under it."""

_SEALED_FAULTS = frozenset({"evidence_edited", "object_missing", "git_object_corrupt"})


TRUST_MODE = 0
"""Agent and engine share a user: who approved and who reviewed is stated by them, not proved (advisory)."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One reading of the task and what was decided on it, under these modes of the enforcements."""

    task: TaskState
    move: Move
    caller: Caller
    claim: Claim
    modes: Mapping[str, str]
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
        view = self._engine.store.view()
        task = self._engine.task(view.state, task_id)
        target = parse_stage(to) if isinstance(to, str) else to
        move = _move(task, target)
        barred = _barred(task, move)
        if barred is not None:
            return barred
        modes = self._engine.modes(view.state)
        problems = self._leases.would_hold(task, caller, lease)
        unheld, _ = by_mode(problems, modes)
        if unheld:
            return refused(unheld)
        collected = self._runners.start(self._ticket(task, caller, view.leases.fence_high(task.id)))
        return self._judge(task, move, collected, caller, problems, modes)

    def verify(self, task_id: str, *, caller: Caller, lease: Claim | None = None) -> Verified:
        """Run and record the current phase's engine checks; nothing moves. The verdict says what is still unmet.

        Raises TransitionRefusedError for a task that has ended or is held, and for a caller without the lease.
        """
        for _ in range(ATTEMPTS):
            task = self._read(task_id, caller)
            if isinstance(task.phase, Terminal):
                closed = refused((Reason("task_closed", detail=f"the task is {task.stage}"),))
                self._refuse(task, _move(task, None), caller, closed)
            attempt = self._decide(task, None, caller, lease)
            if not attempt.verdict.admitted and (task.held or _lease_only(attempt.verdict)):
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
                entry = self._append_backtrack(tx, task, move, reason, caller, footing)
        if not bound:
            raise self._lost_race(task, task, caller)
        if footing.refusing:
            self._refuse(task, move, caller, refused(footing.refusing))
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
        move = _move(task, target)
        undecided = _Attempt(
            task, move, caller, claim_of(caller, lease), self._engine.modes(self._engine.store.view().state), ADMITTED
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

    def _collect(self, undecided: _Attempt, lease: Claim | None) -> _Attempt:
        task, caller, modes = undecided.task, undecided.caller, undecided.modes
        problems = self._leases.ensure(task, caller, lease)
        unheld, _ = by_mode(problems, modes)
        if unheld:
            # The evidence is not looked at: a caller without the lease learns that first and only.
            return replace(undecided, verdict=refused(unheld))
        fence = self._engine.store.view().leases.fence_high(task.id)
        try:
            with self._leases.kept(task, caller, lease):
                collected = self._runners.start(self._ticket(task, caller, fence))
        except TransitionRefusedError as early:
            # Overtaken before the runner began: on record like every refusal, before the caller sees it.
            seq = self._recording.contention(task, caller, early.verdict)
            raise TransitionRefusedError(early.verdict, seq=seq) from None
        verdict = self._judge(task, undecided.move, collected, caller, problems, modes)
        return replace(undecided, verdict=verdict, collected=collected)

    def _judge(
        self,
        task: TaskState,
        move: Move,
        collected: Collected,
        caller: Caller,
        lease: tuple[Reason, ...],
        modes: Mapping[str, str],
    ) -> Verdict:
        facts = Facts(
            caller=caller,
            fence=self._engine.store.view().leases.fence_high(task.id),
            lease=lease,
            findings=collected.findings,
            checks=collected.checks,
            attestation=self._attestation.standing(task),
            grants=judge_grants(self._engine, task, move, caller),
            modes=modes,
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
                entry = self._append_move(tx, attempt, journal, footing)
        if footing.refusing:
            self._refuse(task, attempt.move, attempt.caller, refused(footing.refusing))
        self._after_move(attempt, entry)
        return entry

    def _seal(self, attempt: _Attempt) -> str:
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

    def _settle_checks(self, attempt: _Attempt) -> Verified | None:
        """Record what `verify` found; None means that a flag changed and the call must decide anew."""
        task, caller = attempt.task, attempt.caller
        found: Verified | None = None
        with self._engine.store.transaction() as tx:
            # What ran may have taken minutes: it counts only for the phase, epoch and lease it was started under.
            bound = self._bound(tx, task) is not None
            footing = self._leases.standing(tx, task, attempt.claim)
            if bound and not footing.refusing and self._same_modes(tx, attempt):
                verdict = _with_observed(attempt.verdict, footing)
                entry = self._recording.verified(tx, task, caller, attempt.collected, verdict, footing.lease)
                found = Verified(verdict, entry)
        if not bound:
            raise self._lost_race(task, task, caller)
        if footing.refusing:
            self._refuse(task, attempt.move, caller, refused(footing.refusing))
        return found

    def _after_checks(self, attempt: _Attempt, found: Verified) -> None:
        self._recording.announce_gate(attempt.task, attempt.caller, found.verdict, found.entry)
        self._engine.project(lambda: self._runners.export(attempt.task, attempt.collected))

    def _same_modes(self, tx: Transaction, attempt: _Attempt) -> bool:
        """Whether no flag changed since the decision: what one mode admitted must not land behind a stricter one."""
        return self._engine.modes(tx.state) == attempt.modes

    def _append_move(self, tx: Transaction, attempt: _Attempt, journal: str, footing: Footing) -> LedgerEntry:
        task, move, collected = attempt.task, attempt.move, attempt.collected
        prompt = task.prompts.get(task.stage)
        data: dict[str, Any] = {
            "bindings": {name: dict(bound) for name, bound in collected.bindings.items()},
            "gate": {"verdict": "pass", "observed": shown_reasons(_with_observed(attempt.verdict, footing).observed)},
            "approvals": list(attempt.verdict.consumed),
            "attestation": _attestation(task),
            "judged_tree": collected.judged_tree,
            "config": collected.config,
            "interpreter": collected.interpreter,
            "trust_mode": TRUST_MODE,
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
        return _write_move(tx, draft, footing)

    def _append_backtrack(
        self, tx: Transaction, task: TaskState, move: Move, reason: str, caller: Caller, footing: Footing
    ) -> LedgerEntry:
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
        return _write_move(tx, draft, footing)

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


def _move(task: TaskState, target: Stage | None) -> Move:
    origin = task.phase
    if isinstance(origin, Terminal):
        return Move("forward", origin, target or Terminal.CLOSED)
    return Move("forward", origin, target or origin.following)


def _write_move(tx: Transaction, draft: Draft, footing: Footing) -> LedgerEntry:
    """The move's line, then the records of its hand-over: they can be made again from the line, never the reverse."""
    entry = tx.append(draft)
    for record in footing.decision.records:
        tx.record_lease(record)
    return entry


def _with_observed(verdict: Verdict, footing: Footing) -> Verdict:
    """The verdict with what the lease is observed for under the lock, in place of what it was when decided."""
    codes = {reason.code for reason in footing.observed}
    kept = tuple(reason for reason in verdict.observed if reason.code not in codes)
    return replace(verdict, observed=(*kept, *footing.observed))


def _attestation(task: TaskState) -> dict[str, Any]:
    prompt = task.prompts.get(task.stage)
    if prompt is None:
        return {"status": "unattested"}
    return {"status": "drift" if prompt.drifted else "attested", "baseline": prompt.baseline}


def _lease_only(verdict: Verdict) -> bool:
    return all(reason.standing.name == "LEASE" for reason in verdict.reasons)
