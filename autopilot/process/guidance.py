"""What to do next: what the task's phase still misses, what waits for a person, and skeletons to start from."""

from __future__ import annotations

from dataclasses import dataclass

from autopilot.evidence.skeletons import SkeletonFacts, skeleton
from autopilot.evidence.spec import parse_spec
from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError
from autopilot.kernel.phases import Phase, Terminal
from autopilot.process.admission import Facts, missing_evidence
from autopilot.process.engine import Engine
from autopilot.process.runners import RunnerDesk
from autopilot.process.runners.bench import ASSERTED_CAP_BYTES
from autopilot.process.runners.values import ApprovalNeed, Ticket
from autopilot.process.state import TaskState


@dataclass(frozen=True, slots=True)
class Missing:
    """One thing the phase still misses: the artifact (or check), the reason, what to do, and with which command."""

    artifact: str
    code: str
    detail: str
    remedy: str
    command: str


@dataclass(frozen=True, slots=True)
class NextSteps:
    """What the phase misses and what waits for a person; nothing in either means `autopilot advance`."""

    task: TaskState
    missing: tuple[Missing, ...]
    approvals: tuple[ApprovalNeed, ...]


class Guidance:
    """Answers `autopilot next`."""

    def __init__(self, engine: Engine, runners: RunnerDesk) -> None:
        self._engine = engine
        self._runners = runners

    def next_steps(self, task_id: str, *, caller: Caller) -> NextSteps:
        """What the task's current phase misses. No command of the project runs and nothing is appended."""
        view = self._engine.store.view()
        task = self._engine.task(view.state, task_id)
        if isinstance(task.phase, Terminal):
            return NextSteps(task, (), ())
        profile = self._engine.profile(task)
        fence = view.leases.fence_high(task.id)
        ticket = Ticket(
            task=task,
            phase=Phase(task.stage),
            caller=caller,
            fence=fence,
            profile=profile,
            settings=self._engine.sealed_settings(task),
        )
        collected = self._runners.start(ticket, execute=False)
        facts = Facts(caller=caller, fence=fence, findings=collected.findings)
        missing: list[Missing] = []
        for artifact in profile.contract(ticket.phase).artifacts:
            for reason in missing_evidence(artifact, task, facts):
                command = _command(task, artifact.origin, artifact.name, brought=self._engine.drafts is not None)
                missing.append(Missing(artifact.name, reason.code, reason.detail, reason.remedy, command))
        missing += [
            Missing(reason.where, reason.code, reason.detail, reason.remedy, "")
            for reason in collected.checks
            if not reason.subject
        ]
        waiting = tuple(need for need in collected.needs if need.subject not in task.grants)
        return NextSteps(task, tuple(missing), waiting)

    def write_skeletons(self, task_id: str, *, caller: Caller) -> tuple[str, ...]:
        """Write the skeleton of each document that is not there; after a backtrack, the superseded document instead.

        Returns the paths written, relative to the state directory's `evidence` folder.
        """
        task = self._engine.task(self._engine.store.view().state, task_id)
        if isinstance(task.phase, Terminal):
            return ()
        phase = Phase(task.stage)
        written: list[str] = []
        for artifact in self._engine.profile(task).contract(phase).artifacts:
            if artifact.origin != "asserted" or self._is_there(f"{task.id}/{phase.folder}/{artifact.name}"):
                continue
            start = self._start(task, phase, artifact.name, caller)
            self._engine.place_evidence(f"{task.id}/{phase.folder}/{artifact.name}", start)
            written.append(f"{task.id}/{phase.folder}/{artifact.name}")
        return tuple(written)

    def skeletons(self, task_id: str, *, caller: Caller) -> tuple[tuple[str, str], ...]:
        """The skeletons that `write_skeletons` would write into an empty folder: artifact and text; nothing is written.

        For a client of the daemon, whose drafts lie where the engine neither reads nor writes.
        """
        task = self._engine.task(self._engine.store.view().state, task_id)
        if isinstance(task.phase, Terminal):
            return ()
        phase = Phase(task.stage)
        return tuple(
            (artifact.name, self._start(task, phase, artifact.name, caller).decode("utf-8", "replace"))
            for artifact in self._engine.profile(task).contract(phase).artifacts
            if artifact.origin == "asserted"
        )

    def _start(self, task: TaskState, phase: Phase, name: str, caller: Caller) -> bytes:
        retired = task.retired.get(f"{phase}/{name}")
        if retired:
            return self._engine.store.objects.get(retired)
        spec = task.live(Phase.SPEC, "spec.md")
        criteria: tuple[str, ...] = ()
        if spec is not None:
            parsed = parse_spec(self._engine.store.objects.get(spec.sha256).decode())
            criteria = tuple(criterion.id for criterion in parsed.criteria)
        return skeleton(name, SkeletonFacts(task.id, task.title, criteria, caller.actor, caller.session)).encode()

    def _is_there(self, relative: str) -> bool:
        try:
            self._engine.read_evidence(relative, cap=ASSERTED_CAP_BYTES)
        except ContractError as error:
            # What is there and cannot be read is not ours to overwrite.
            return error.code != "artifact_missing"
        return True


def _command(task: TaskState, origin: str, name: str, *, brought: bool) -> str:
    """What to type; where files are no evidence until they are handed in (`brought`), that too."""
    file = f"state/evidence/{task.id}/{task.stage.lower()}/{name}"
    if origin == "asserted" and brought:
        return f"autopilot next {task.id} --write   # then edit {file} and `autopilot evidence add {task.id} {file}`"
    if origin == "asserted":
        return f"autopilot next {task.id} --write   # then edit {file}"
    return f"autopilot verify {task.id}"
