"""The watchdog's shell: looks at a task on every engine call, and holds it when the judgement says so.

Holding is two lines in one transaction: the escalation with its loop diary, and the hold. A held task waits for a
person; nothing else lets it go on.
"""

from __future__ import annotations

from itertools import islice

from autopilot.kernel import events
from autopilot.kernel.callers import ENGINE, Caller
from autopilot.kernel.errors import IntegrityError
from autopilot.kernel.phases import Terminal
from autopilot.ledger.entry import ArtifactRef, Draft
from autopilot.process.engine import Engine, about
from autopilot.process.state import TaskState
from autopilot.process.watch import DiaryLine, Escalation, HeldSpan, Instant, Limits, TaskFacts, judge

_DIARY_LINES = 30
_DIARY_SCAN = 2_000


class Watchdog:
    """Looks at tasks and holds those that go round in circles or stand still."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def look(self, task_id: str, caller: Caller) -> Escalation | None:
        """Judge one task now; holds it and returns the escalation if one is due."""
        view = self._engine.store.view()
        task = view.state.tasks.get(task_id)
        if task is None or isinstance(task.phase, Terminal) or task.held:
            return None
        mode = self._engine.modes(view.state)["watchdog"]
        if mode == "off":
            return None
        lease = view.leases.held(task_id)
        held = lease is not None and not lease.ran_out(view.leases.not_before(self._engine.now()))
        facts, now = self._facts(task, held=held, diary=()), self._now()
        limits = self._limits(task)
        if judge(facts, now, limits) is None:
            return None
        # The diary is read only once there is something to write down.
        escalation = judge(self._facts(task, held=held, diary=self._recent(task)), now, limits)
        if escalation is not None:
            self._hold(task, escalation, caller, hold=mode == "enforce")
        return escalation

    def look_at_all(self, caller: Caller) -> tuple[Escalation, ...]:
        """Judge every open task."""
        tasks = list(self._engine.store.view().state.tasks)
        return tuple(found for task in tasks if (found := self.look(task, caller)) is not None)

    def _limits(self, task: TaskState) -> Limits:
        # Never the file alone: an agent that is about to be held would raise the limit.
        try:
            configured = self._engine.holding_settings(task).watchdog
        except IntegrityError:
            return Limits()  # the sealed copy does not verify: the move that needs it will say so
        return Limits(configured.violations, configured.minutes * 60)

    def _now(self) -> Instant:
        return Instant("now", int(self._engine.clock.wall().timestamp() * 1_000_000_000))

    def _facts(self, task: TaskState, *, held: bool, diary: tuple[DiaryLine, ...]) -> TaskFacts:
        since = {
            code: count - task.escalated_violations.get(code, 0)
            for code, count in task.violations.items()
            if count > task.escalated_violations.get(code, 0)
        }
        spans = [HeldSpan("now", 0, task.held_us * 1000)]
        if held and task.holding_since_us >= 0:
            spans.append(HeldSpan("now", task.holding_since_us * 1000))
        return TaskFacts(
            task=task.id,
            phase=task.stage,
            epoch=task.epoch,
            violations=since,
            # The fold's spans begin at the last progress already: nothing of them is to be cut off.
            progress=Instant("fold", 0),
            held=tuple(spans),
            already_held=bool(task.held),
            recent=diary,
        )

    def _recent(self, task: TaskState) -> tuple[DiaryLine, ...]:
        start = max(task.opened_seq, task.last_seq - _DIARY_SCAN)
        lines = [
            DiaryLine(
                entry.ts,
                entry.kind,
                f"{entry.actor['id']}: {entry.data.get('detail', '') or entry.data.get('reason', '')}",
            )
            for entry in islice(self._engine.store.entries(start), 2 * _DIARY_SCAN)
            if entry.task == task.id
        ]
        return tuple(lines[-_DIARY_LINES:])

    def _write_diary(self, task: TaskState, diary: bytes) -> None:
        self._engine.place_evidence(f"{task.id}/loop_diary.md", diary)

    def _hold(self, task: TaskState, escalation: Escalation, caller: Caller, *, hold: bool) -> None:
        diary = escalation.diary.encode()
        ref = ArtifactRef(
            "loop_diary.md", self._engine.store.objects.put(diary), len(diary), "text/markdown", "observed"
        )
        with self._engine.store.transaction() as tx:
            now_task = self._engine.task(tx.state, task.id)
            if now_task.held or isinstance(now_task.phase, Terminal):
                return  # another call was first
            entry = tx.append(
                Draft(
                    kind="escalation",
                    caller=ENGINE,
                    task=task.id,
                    epoch=task.epoch,
                    artifacts=(ref,),
                    data={**escalation.as_data(), "diary": ref.sha256},
                ),
                sync=not hold,
            )
            if hold:
                cause = f"{escalation.cause}: {escalation.kind or f'{escalation.idle_seconds // 60} minutes'}"
                tx.append(Draft(kind="task.held", caller=ENGINE, task=task.id, epoch=task.epoch, data={"cause": cause}))
        self._engine.project(lambda: self._write_diary(task, diary))
        self._engine.emit(
            [
                events.Escalated(
                    **about(task, caller, entry.seq),
                    cause=escalation.cause,
                )
            ]
        )
