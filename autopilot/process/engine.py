"""What every desk of the engine shares: the store, the clock, the modes of enforcement, and the observers.

Observers get an event after the commit that it tells of. One that fails is counted and named, never raised: what
happened on the ledger has happened.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from autopilot.approvals.signatures import Signers
from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import loads
from autopilot.kernel.clock import Clock
from autopilot.kernel.configuration import Settings, restore_settings
from autopilot.kernel.errors import ContractError, IntegrityError, StorageError
from autopilot.kernel.events import Event
from autopilot.kernel.files import read_regular
from autopilot.kernel.flags import parse_mode, settle
from autopilot.kernel.ids import Draw, drawn
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
    (`sealed_settings`). Where the file cannot be read they are the sealed ones, and `settings_fault` says why: what
    asks what the file says uses `present_settings`.
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
    # Tokens and nonces come from here.
    draw: Draw = drawn
    # What may be claimed here; see `process.trust`. `drafts`: where callers keep files that the engine never reads.
    trust_mode: int = 0
    drafts: Path | None = None
    settings_fault: ContractError | None = None
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

    def wall(self, state: EngineState) -> datetime:
        """The wall clock's now, or the latest time on the ledger where the clock was set back: the past stays over."""
        now = self.clock.wall()
        try:
            return max(now, datetime.fromisoformat(state.latest)) if state.latest else now
        except (ValueError, TypeError):
            return now  # a time that is none says nothing

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
        return self._restored(task.config)

    def standing_settings(self, state: EngineState) -> Settings | None:
        """The workspace's configuration as a person sealed it last, None before the first."""
        return self._restored(state.config) if state.config else None

    def _restored(self, sha256: str) -> Settings:
        if sha256 not in self._sealed:
            self._sealed[sha256] = restore_settings(loads(self.store.objects.get(sha256), where="config.sealed"))
        return self._sealed[sha256]

    @property
    def present_settings(self) -> Settings:
        """What the file says now; ContractError `bad_config` where it cannot be read."""
        if self.settings_fault is not None:
            raise self.settings_fault
        return self.settings

    def holding_settings(self, task: TaskState) -> Settings:
        """What holds for the task while nobody approved a change: the sealed settings, tightened by the present."""
        known = self._holding.get(task.config)
        if known is None or known[0] is not self.settings:
            known = self.settings, effective(self.sealed_settings(task), self.settings)
            self._holding[task.config] = known
        return known[1]

    def signers(self, state: EngineState) -> Signers:
        """Whose signed approvals count now, and whether others do.

        It is the workspace's question and not the task's: what a person sealed last counts, also for tasks that were
        opened before, tightened by the file as it is. A key that the file adds is nobody's until a person sealed it.
        """
        sealed = self.standing_settings(state)
        settings = self.settings if sealed is None else effective(sealed, self.settings)
        return Signers.of(settings.approvals.approvers, settings.approvals.signed)

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
        if self.drafts is not None:
            # Behind the socket a file is evidence only as the bytes that `evidence add` brought.
            raise ContractError("artifact_missing", where=relative, detail="files are handed in by `evidence add`")
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
