"""What every desk of the engine shares: the store, the clock, the modes of enforcement, and the observers.

Observers get an event after the commit that it tells of. One that fails is counted and named, never raised: what
happened on the ledger has happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import loads
from autopilot.kernel.clock import Clock
from autopilot.kernel.configuration import Settings, restore_settings
from autopilot.kernel.errors import ContractError, IntegrityError, StorageError
from autopilot.kernel.events import Event
from autopilot.kernel.files import read_regular
from autopilot.kernel.flags import parse_mode, settle
from autopilot.kernel.placing import place_file, place_folder
from autopilot.kernel.settings_changes import effective
from autopilot.leases.terms import Moment
from autopilot.ledger.entry import LeaseRef
from autopilot.process.ports import Observer, Store
from autopilot.process.profiles import PROFILES, ProcessProfile
from autopilot.process.state import EngineState, TaskState


@dataclass(slots=True)
class Engine:
    """One opened workspace, as the desks see it.

    `settings` is the configuration file as it is now; what counts for a task is the copy sealed when it opened
    (`sealed_settings`).
    """

    store: Store
    clock: Clock
    settings: Settings
    root: Path
    state_dir: Path
    observers: tuple[Observer, ...] = ()
    profiles: Mapping[str, ProcessProfile] = field(default_factory=lambda: PROFILES)
    environ: Mapping[str, str] = field(default_factory=dict)
    # The span a move runs in, in hex (trace, span); telemetry knows, wiring hands it in.
    current_span: Callable[[], tuple[str, str] | None] = lambda: None
    failed_observers: int = 0
    _sealed: dict[str, Settings] = field(default_factory=dict)
    # Each kept with the values it was made from: another file or another flag makes it anew.
    _holding: dict[str, tuple[Settings, Settings]] = field(default_factory=dict)
    _modes: tuple[Mapping[str, str], Settings, Mapping[str, str]] | None = None

    def emit(self, events: Iterable[Event]) -> None:
        """Hand events to every observer, counting those that fail."""
        for event in events:
            for observer in self.observers:
                try:
                    observer(event)
                except Exception:  # noqa: BLE001 - an observer's fault must not undo what is on the ledger
                    self.failed_observers += 1

    def project(self, write: Callable[[], None]) -> None:
        """Write files that show what is on the ledger. A failure is counted like an observer's: the ledger stands."""
        try:
            write()
        except (OSError, IntegrityError, StorageError):
            self.failed_observers += 1

    def now(self) -> Moment:
        """The boot clock's now."""
        return Moment(self.clock.boot_ns(), self.clock.boot_id())

    def task(self, state: EngineState, task_id: str) -> TaskState:
        """The task, or ContractError `unknown_task`."""
        try:
            return state.tasks[task_id]
        except KeyError:
            raise ContractError("unknown_task", where=task_id, detail=f"no task {task_id!r} in this ledger") from None

    def profile(self, task: TaskState) -> ProcessProfile:
        """The task's profile; an unknown one (written by a newer engine) is ContractError `unknown_profile`."""
        try:
            return self.profiles[task.profile]
        except KeyError:
            raise ContractError("unknown_profile", where=task.profile, detail="not a profile of this engine") from None

    def sealed_settings(self, task: TaskState) -> Settings:
        """The configuration sealed for the task, read back from its object."""
        if task.config not in self._sealed:
            sealed = loads(self.store.objects.get(task.config), where="config.sealed")
            self._sealed[task.config] = restore_settings(sealed)
        return self._sealed[task.config]

    def holding_settings(self, task: TaskState) -> Settings:
        """What holds for the task while nobody approved a change: the sealed settings, tightened by the present."""
        known = self._holding.get(task.config)
        if known is None or known[0] is not self.settings:
            known = self.settings, effective(self.sealed_settings(task), self.settings)
            self._holding[task.config] = known
        return known[1]

    def modes(self, state: EngineState) -> Mapping[str, str]:
        """The mode of each enforcement: what the ledger says, tightened by the configuration, never loosened by it."""
        known = self._modes
        if known is None or known[0] is not state.flags or known[1] is not self.settings:
            sealed = {name: parse_mode(word, name) for name, word in state.flags.items()}
            modes = {name: mode.word for name, mode in settle(sealed, self.settings.flags).modes.items()}
            known = self._modes = state.flags, self.settings, MappingProxyType(modes)
        return known[2]

    def evidence_dir(self, task_id: str, phase_folder: str) -> Path:
        """Where people and agents read and write the artifacts of the current epoch."""
        return self.state_dir / "evidence" / task_id / phase_folder

    def make_evidence_dir(self, task_id: str, phase_folder: str) -> None:
        """Make that folder. IntegrityError `state_linked` where a link is in its place or above it."""
        place_folder(self.state_dir, f"evidence/{task_id}/{phase_folder}")

    def read_evidence(self, relative: str, *, cap: int) -> bytes:
        """The plain file `relative` below `state/evidence`, through no link; see `kernel.files.read_regular`."""
        return read_regular(self.state_dir, f"evidence/{relative}", cap=cap)

    def place_evidence(self, relative: str, data: bytes) -> Path:
        """Write the file `relative` below `state/evidence`, through no link; see `kernel.placing.place_file`."""
        return place_file(self.state_dir, f"evidence/{relative}", data)


def about(task: TaskState, caller: Caller, seq: int | None) -> dict[str, Any]:
    """What every event of a task says: task and phase, who called, and the ledger line behind it."""
    return {"task": task.id, "phase": task.stage, "seq": seq, "actor": caller.actor, "session": caller.session}


def lease_ref(task: TaskState, fence: int) -> LeaseRef:
    """The lease of the task's current phase as ledger lines name it."""
    return LeaseRef(f"{task.id}/{task.stage}", fence)
