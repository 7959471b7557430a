"""The workspace's sealed configuration: what a person sealed counts, what the file says since is held against it.

`autopilot init` seals the file. A later tightening counts at once; a changed command or a loosening is inert until a
person seals the file again (`autopilot init`), or approves it for a task. So an agent that edits autopilot.toml
before it opens a task gains nothing.
"""

from __future__ import annotations

from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import dumps, loads
from autopilot.kernel.configuration import Settings, restore_settings
from autopilot.kernel.errors import RefusedError
from autopilot.kernel.reasons import Reason, refused
from autopilot.kernel.settings_changes import Direction, direction, effective
from autopilot.ledger.entry import ArtifactRef, Draft, LedgerEntry
from autopilot.process.engine import Engine
from autopilot.process.recording import Recording
from autopilot.process.state import EngineState


class ConfigDesk:
    """Seals the configuration and says which one governs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._recording = Recording(engine)

    def sealed(self, state: EngineState) -> Settings | None:
        """The configuration on the ledger, None before the first."""
        if not state.config:
            return None
        return restore_settings(loads(self._engine.store.objects.get(state.config), where="config.sealed"))

    def governing(self, state: EngineState) -> Settings:
        """What a task opened now runs under: the sealed configuration with the file's tightenings."""
        sealed = self.sealed(state)
        return self._engine.settings if sealed is None else effective(sealed, self._engine.settings)

    def inert(self, state: EngineState) -> Direction | None:
        """How the file differs from what governs, where that waits for a person; None if it does not."""
        sealed = self.sealed(state)
        found = None if sealed is None else direction(sealed, self._engine.settings)
        return found if found is not None and found.needs_approval else None

    def seal(self, caller: Caller) -> LedgerEntry | None:
        """Seal the file as it is; None if it is sealed already.

        RefusedError `human_only`, on record, where an agent would seal a loosening or another command.
        """
        data = dumps(self._engine.settings.as_dict())
        sha256 = self._engine.store.objects.put(data)
        ref = ArtifactRef("settings.json", sha256, len(data), "application/json", "observed")
        with self._engine.store.transaction() as tx:
            if tx.state.config == sha256:
                return None
            # Asked under the lock: what an agent may seal is measured by what a person sealed last.
            allowed = caller.kind == "human" or self.inert(tx.state) is None
            if allowed:
                return tx.append(Draft(kind="config.sealed", caller=caller, artifacts=(ref,), data={"sha256": sha256}))
        verdict = refused([Reason("human_only", where="autopilot.toml", detail="sealing a changed configuration")])
        raise RefusedError(verdict, seq=self._recording.usurped(None, caller, verdict))

    def seal_first(self, caller: Caller) -> None:
        """Seal the file if none ever was: trust on first use, on record under the caller's name."""
        if not self._engine.store.view().state.config:
            self.seal(caller)
