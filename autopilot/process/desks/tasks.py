"""The task register: opening, showing, abandoning and resuming tasks.

A task opens on a snapshot of the working tree (its *base*) and on a sealed copy of the configuration: what runs for
the task later is what was configured then. Commands that its profile needs and the configuration lacks are refused
here, not nine phases later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autopilot.kernel import events
from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import dumps
from autopilot.kernel.configuration import Settings
from autopilot.kernel.errors import ContractError, RefusedError, TransitionRefusedError
from autopilot.kernel.ids import parse_task_id
from autopilot.kernel.phases import Phase, Terminal
from autopilot.kernel.reasons import Reason, Verdict, refused
from autopilot.ledger.entry import ArtifactRef, Draft, LedgerEntry
from autopilot.process.desks.configuring import ConfigDesk
from autopilot.process.engine import Engine
from autopilot.process.profiles import ProcessProfile, profile_named
from autopilot.process.recording import Recording
from autopilot.process.site import Site
from autopilot.process.state import EngineState, TaskState

_TITLE_MAX = 200
_DIRTY_SHOWN = 50


class TaskRegister:
    """Opens, lists, ends and resumes tasks."""

    def __init__(self, engine: Engine, site: Site) -> None:
        self._engine = engine
        self._site = site
        self._recording = Recording(engine)
        self._config = ConfigDesk(engine)

    def open(self, task_id: str, *, title: str, profile: str = "code-change", caller: Caller) -> TaskState:
        """Open a task in STRATEGIZE and return it.

        ContractError for a malformed id, title or profile; TransitionRefusedError `task_exists` or `not_configured`, on
        record without a task: there is none yet.
        """
        self._config.seal_first(caller)
        try:
            prepared = self._prepare(task_id, title, profile)
        except TransitionRefusedError as error:
            raise self._not_opened(task_id, caller, error.verdict) from None
        with self._engine.store.transaction() as tx:
            # Asked again under the lock: two callers may open ids that differ in case at the same moment.
            problem = _taken(tx.state, task_id)
            if problem is None:
                entry = tx.append(_opening(task_id, caller, prepared))
                task = tx.state.tasks[task_id]
        if problem is not None:
            raise self._not_opened(task_id, caller, Verdict((problem,)))
        self._engine.project(lambda: self._engine.make_evidence_dir(task_id, Phase.STRATEGIZE.folder))
        self._engine.emit(
            [
                events.TaskOpened(
                    task=task_id,
                    phase=str(Phase.STRATEGIZE),
                    seq=entry.seq,
                    actor=caller.actor,
                    session=caller.session,
                    profile=profile,
                )
            ]
        )
        return task

    def _not_opened(self, task_id: str, caller: Caller, verdict: Verdict) -> TransitionRefusedError:
        seq = self._recording.turned_away(f"task open {task_id}", caller, verdict)
        return TransitionRefusedError(verdict, seq=seq)

    def check_open(self, task_id: str, *, title: str, profile: str = "code-change") -> Mapping[str, Any]:
        """What `open` would record, with nothing appended; raises as `open` would."""
        return self._prepare(task_id, title, profile)

    def list(self) -> tuple[TaskState, ...]:
        """All tasks in the order they were opened."""
        return tuple(self._engine.store.view().state.tasks.values())

    def show(self, task_id: str) -> TaskState:
        """One task; ContractError `unknown_task`."""
        return self._engine.task(self._engine.store.view().state, task_id)

    def abandon(self, task_id: str, *, reason: str, caller: Caller) -> LedgerEntry:
        """End a task without finishing it. Only a person may: an agent would abandon what it cannot pass."""
        if not reason.strip():
            raise ContractError("reason_missing", where="reason", remedy="say why: --reason TEXT")
        self._check_person(task_id, caller, "only a person abandons a task")
        with self._engine.store.transaction() as tx:
            task = self._engine.task(tx.state, task_id)
            ended = isinstance(task.phase, Terminal)
            if not ended:
                entry = tx.append(
                    Draft(
                        kind="task.closed",
                        caller=caller,
                        task=task_id,
                        phase=(task.stage, str(Terminal.ABANDONED)),
                        epoch=task.epoch,
                        data={"outcome": str(Terminal.ABANDONED), "reason": reason},
                    )
                )
        if ended:
            raise TransitionRefusedError(refused((Reason("task_closed", detail=f"the task is {task.stage}"),)))
        rejected = bool(sum(task.violations.values()))
        self._engine.emit(
            [
                events.TaskEnded(
                    task=task_id,
                    phase=task.stage,
                    seq=entry.seq,
                    actor=caller.actor,
                    session=caller.session,
                    outcome=str(Terminal.ABANDONED),
                    rejected=rejected,
                )
            ]
        )
        return entry

    def resume(self, task_id: str, *, reason: str, caller: Caller) -> LedgerEntry:
        """Let a held task go on; a person's decision."""
        self._check_person(task_id, caller, "only a person resumes a held task")
        with self._engine.store.transaction() as tx:
            task = self._engine.task(tx.state, task_id)
            if task.held:
                entry = tx.append(
                    Draft(kind="task.resumed", caller=caller, task=task_id, epoch=task.epoch, data={"reason": reason})
                )
        if not task.held:
            raise RefusedError(Verdict((Reason("not_held", where=task_id),)))
        return entry

    def _check_person(self, task_id: str, caller: Caller, detail: str) -> None:
        if caller.kind != "human":
            verdict = Verdict((Reason("human_only", detail=detail),))
            task = self._engine.task(self._engine.store.view().state, task_id)
            raise RefusedError(verdict, seq=self._recording.usurped(task, caller, verdict))

    def _prepare(self, task_id: str, title: str, profile: str) -> dict[str, Any]:
        parse_task_id(task_id)
        _check_title(title)
        contract = profile_named(profile)
        problem = _taken(self._engine.store.view().state, task_id)
        problems = [problem] if problem else []
        # A file that cannot be read may tighten what is sealed: no task begins without it.
        _ = self._engine.present_settings
        problems += _unconfigured(contract, self._config.governing(self._engine.store.view().state))
        if problems:
            raise TransitionRefusedError(refused(problems))
        repository = self._site.repository
        snapshot = self._site.trees.snapshot(base_tree=None)
        settings = self._config.governing(self._engine.store.view().state)
        sealed = dumps(settings.as_dict())
        return {
            "title": title,
            "profile": profile,
            "base_tree": snapshot.tree,
            "base_commit": repository.head_commit(),
            "branch": repository.branch(),
            "worktree": repository.worktree_id,
            "dirty": len(snapshot.dirty),
            "dirty_paths": [_printable(path) for path in snapshot.dirty[:_DIRTY_SHOWN]],
            "filtered": [_printable(path) for path in snapshot.filtered[:_DIRTY_SHOWN]],
            "config": self._engine.store.objects.put(sealed),
            "config_bytes": len(sealed),
            "interpreter": self._site.toolbox(settings.python).facts().as_dict(),
        }


def _opening(task_id: str, caller: Caller, prepared: Mapping[str, Any]) -> Draft:
    config = ArtifactRef(
        name="settings.json",
        sha256=prepared["config"],
        bytes=prepared["config_bytes"],
        media_type="application/json",
        origin="observed",
    )
    data = {key: value for key, value in prepared.items() if key != "config_bytes"}
    return Draft(kind="task.opened", caller=caller, task=task_id, epoch=0, artifacts=(config,), data=data)


def _taken(state: EngineState, task_id: str) -> Reason | None:
    known = state.folded_ids.get(task_id.casefold())
    if known is None:
        return None
    detail = "a task of this id exists" if known == task_id else f"task {known!r} differs only in case"
    return Reason("task_exists", where=task_id, detail=detail)


def _unconfigured(profile: ProcessProfile, settings: Settings) -> list[Reason]:
    return [
        Reason(
            "not_configured",
            where=f"commands.{name}",
            detail=f"profile {profile.name} runs commands.{name}, and autopilot.toml has none",
            remedy=f"add [commands.{name}] to autopilot.toml; docs/reference/configuration.md has an example",
        )
        for name, may_be_missing in profile.commands()
        if not may_be_missing and settings.command(name) is None
    ]


def _check_title(title: str) -> None:
    if not title.strip() or len(title) > _TITLE_MAX or any(ord(char) < 32 for char in title):
        raise ContractError(
            "malformed_title",
            where="title",
            detail=f"a title is one line of 1 to {_TITLE_MAX} characters",
            remedy="say in a few words what the task is for",
        )


def _printable(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()
