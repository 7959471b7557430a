"""The assessor: a task's facts, gathered for the one decision on a move. It records nothing and takes no lease."""

from __future__ import annotations

from collections.abc import Mapping

from autopilot.kernel.callers import Caller
from autopilot.kernel.phases import Phase, Stage, Terminal
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.process.admission import Facts, admit, by_mode
from autopilot.process.desks.attesting import AttestationDesk
from autopilot.process.engine import Engine
from autopilot.process.graph import Move
from autopilot.process.judging import judge_grants
from autopilot.process.runners import RunnerDesk
from autopilot.process.runners.values import Collected, Ticket
from autopilot.process.state import TaskState


class Assessor:
    """Asks `admit`, with what the runner found, the prompt's standing and the approvals as they hold now."""

    def __init__(self, engine: Engine, runners: RunnerDesk) -> None:
        self._engine = engine
        self._runners = runners
        self._attestation = AttestationDesk(engine)

    def astray(self, task: TaskState, modes: Mapping[str, str]) -> list[Reason]:
        """Why nothing of this task is to be looked at from here, where that is enforced."""
        misplaced = self._runners.misplaced(task)
        return [] if misplaced is None else by_mode((misplaced,), modes)[0]

    def judge(
        self,
        task: TaskState,
        move: Move,
        collected: Collected,
        caller: Caller,
        lease: tuple[Reason, ...],
        modes: Mapping[str, str],
    ) -> Verdict:
        """The verdict on a move with this evidence, for this caller, under these modes."""
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

    def ticket(self, task: TaskState, caller: Caller, fence: int) -> Ticket:
        """What the runner of the task's phase is started with."""
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
        judged = judge_grants(self._engine, task, asked_move(task, None), caller)
        return frozenset(subject for subject, problems in judged.items() if not problems)


def asked_move(task: TaskState, target: Stage | None) -> Move:
    """The move that the caller means: to the phase it names, else to the next one."""
    origin = task.phase
    if isinstance(origin, Terminal):
        return Move("forward", origin, target or Terminal.CLOSED)
    return Move("forward", origin, target or origin.following)
