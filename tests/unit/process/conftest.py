"""An engine over the memory store, with tasks put into a phase by ledger lines alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import dumps
from autopilot.kernel.configuration import Settings
from autopilot.kernel.events import Event
from autopilot.kernel.phases import PHASES, Phase
from autopilot.ledger.entry import Draft, LedgerEntry
from autopilot.process.engine import Engine
from autopilot.process.fold import ProcessFold
from autopilot.process.state import TaskState
from autopilot.storage.files.creation import Genesis
from autopilot.storage.memory import MemoryStore
from autopilot.testing.clock import FakeClock

AGENT = Caller("agent-7", "agent", "s-7")
HUMAN = Caller("ada", "human", "tty-1")


@dataclass
class Lab:
    """The engine and what tests do to it."""

    engine: Engine
    clock: FakeClock
    events: list[Event] = field(default_factory=list)

    def append(self, kind: str, *, caller: Caller = AGENT, task: str | None = "T-1", **fields: Any) -> LedgerEntry:
        """One line."""
        with self.engine.store.transaction() as tx:
            return tx.append(Draft(kind=kind, caller=caller, task=task, **fields))

    def open(self, task: str = "T-1", *, at: Phase = Phase.STRATEGIZE) -> TaskState:
        """A task, moved to `at` without evidence: the fold asks for none."""
        config = self.engine.store.objects.put(dumps(Settings().as_dict()))
        data = {
            "title": "A task",
            "profile": "code-change",
            "base_tree": "b" * 40,
            "base_commit": None,
            "branch": "main",
            "worktree": "main",
            "dirty": 0,
            "config": config,
            "interpreter": {"startup_sha256": "f" * 64},
        }
        self.append("task.opened", task=task, epoch=0, data=data)
        for phase in PHASES[: at.position]:
            self.move(phase, task=task)
        return self.task(task)

    def move(self, origin: Phase, *, task: str = "T-1", caller: Caller = AGENT, **data: Any) -> LedgerEntry:
        """One forward move."""
        given = {"bindings": {}, "approvals": [], "judged_tree": "", "config": "", "handover": None, **data}
        target = origin.following
        kind = "task.closed" if target == "CLOSED" else "phase.transition"
        if kind == "task.closed":
            given["outcome"] = "CLOSED"
        epoch = self.task(task).epoch
        return self.append(kind, caller=caller, task=task, phase=(str(origin), str(target)), epoch=epoch, data=given)

    def task(self, task: str = "T-1") -> TaskState:
        """The task as folded."""
        return self.engine.store.view().state.tasks[task]

    @property
    def counters(self) -> dict[str, int]:
        """The folded counters."""
        counters: dict[str, int] = self.engine.store.view().state.counters
        return counters

    def lines(self, kind: str) -> list[LedgerEntry]:
        """The lines of one kind."""
        return [entry for entry in self.engine.store.entries() if entry.kind == kind]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """An engine without a repository."""
    clock = FakeClock()
    store = MemoryStore(ProcessFold(), clock, Genesis(HUMAN, "autopilot test"))
    seen: list[Event] = []
    engine = Engine(
        store=store,
        clock=clock,
        settings=Settings(),
        root=tmp_path,
        state_dir=tmp_path / "state",
        observers=(seen.append,),
    )
    return Lab(engine, clock, seen)
