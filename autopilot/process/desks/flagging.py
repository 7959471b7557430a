"""The flag desk: the modes of the enforcements, on the ledger.

Tightening in file or environment counts at once. A loosening there is inert; it is recorded once, and takes effect
only when a person sets it.
"""

from __future__ import annotations

from dataclasses import dataclass

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError, RefusedError
from autopilot.kernel.flags import FLAGS, effective, parse_mode
from autopilot.kernel.reasons import Reason, refused
from autopilot.ledger.entry import Draft, LedgerEntry
from autopilot.process.engine import Engine


@dataclass(frozen=True, slots=True)
class FlagStatus:
    """One flag: the mode in force, what the ledger says, what the file asks for (empty if nothing), and its meaning."""

    name: str
    mode: str
    sealed: str
    requested: str
    title: str


class FlagDesk:
    """Lists and sets flags."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self) -> tuple[FlagStatus, ...]:
        """Every flag."""
        state = self._engine.store.view().state
        modes = self._engine.modes(state)
        wanted = self._engine.settings.flags
        return tuple(
            FlagStatus(name, modes[name], state.flags.get(name, ""), wanted.get(name, ""), flag.title)
            for name, flag in FLAGS.items()
        )

    def set(self, name: str, mode: str, *, reason: str, caller: Caller) -> LedgerEntry:
        """Seal a mode. Only a person loosens, and says why; RefusedError `human_only` otherwise."""
        wanted = parse_mode(mode, name)
        if not reason.strip():
            raise ContractError("reason_missing", where="--reason", detail="why does the flag change?")
        with self._engine.store.transaction() as tx:
            sealed = tx.state.flags.get(name)
            now = effective(name, parse_mode(sealed, name) if sealed else None, None)
            loosens = wanted < now
            if loosens and caller.kind != "human":
                request = {"flag": name, "from": now.word, "to": wanted.word, "source": "command"}
                entry = tx.append(Draft(kind="flag.loosening_requested", caller=caller, data=request))
            else:
                data = {"flag": name, "from": now.word, "to": wanted.word, "reason": reason.strip()}
                entry = tx.append(Draft(kind="flag.changed", caller=caller, data=data))
        if loosens and caller.kind != "human":
            remedy = f"a person runs `autopilot flags set {name} {wanted.word} --reason TEXT` at a terminal"
            waiting = Reason("loosening_inert", where=name, detail="asked for by an agent", remedy=remedy)
            raise RefusedError(refused([waiting]), seq=entry.seq)
        return entry

    def note_requests(self, caller: Caller) -> None:
        """Record loosenings that file or environment ask for, once each; they stay inert."""
        engine = self._engine
        state = engine.store.view().state
        modes = engine.modes(state)
        for name, text in engine.settings.flags.items():
            wanted, current = parse_mode(text, name), parse_mode(modes[name], name)
            if wanted >= current or state.flag_requests.get(name) == wanted.word:
                continue
            data = {"flag": name, "from": current.word, "to": wanted.word, "source": "autopilot.toml or environment"}
            with engine.store.transaction() as tx:
                tx.append(Draft(kind="flag.loosening_requested", caller=caller, data=data))
