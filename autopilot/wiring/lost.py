"""A repository whose ledger is not where it is looked for: is it lost, and who may begin another?

The state directory can be moved by a variable, by `autopilot.toml`, or by a plain `mv`; each leaves a repository that
remembers a ledger and a place that has none. An agent that could begin a new one there would be rid of its record. So a
new one takes the place of a known one only if a person says why, and never while the known one still stands, intact,
in a place where this repository keeps its state.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autopilot.kernel.callers import Caller
from autopilot.kernel.configuration import DEFAULT_STATE_DIR, SETTINGS_FILE, read_location
from autopilot.kernel.errors import AutopilotError, ContractError, IntegrityError, RefusedError
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.storage.files.layout import StorePaths
from autopilot.storage.files.store import read_identity
from autopilot.storage.files.verify import verify_files
from autopilot.vcs.repository import Repository
from autopilot.wiring.marker import Marker


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a repository knows of its ledger from outside of `place`, the state directory that is in use."""

    repository: Repository
    place: Path
    marker: Marker | None
    named: str
    store: str = ""

    @property
    def where(self) -> str:
        """Where the ledger is looked for, as people are told: the store that is named, else the state directory."""
        return self.store or str(self.place)

    @property
    def ledger(self) -> str:
        """The ledger's id, by the marker or else by `autopilot.toml`; empty where there never was one."""
        return self.marker.ledger if self.marker is not None else self.named

    def unmarked(self) -> Remembered:
        """The same without any memory: then whatever lies in the usual place is the repository's."""
        return Remembered(self.repository, self.place, None, "", self.store)


def replaced(known: Remembered, caller: Caller, reason: str) -> dict[str, str | int] | None:
    """What the first line says of the ledger whose place the new one takes; None where there never was one.

    IntegrityError `ledger_missing` or ContractError `ledger_elsewhere` without a reason, RefusedError `human_only` for
    a caller that is no person, ContractError `ledger_exists` if the known one is still there.
    """
    standing = standing_elsewhere(known)
    if known.ledger and not reason:
        raise missing(known)
    if known.ledger and caller.kind != "human":
        # An agent could lose it on purpose.
        raise RefusedError(Verdict((Reason("human_only", where="a lost ledger is given up by a person"),)))
    if standing is not None:
        raise still_there(known, standing)
    if not known.ledger:
        return None
    # In a clone nothing says how long the lost ledger was.
    return {"ledger": known.ledger, "entries": known.marker.size if known.marker else 0, "reason": reason}


def standing_elsewhere(known: Remembered, *, but: str = "") -> Path | None:
    """Where the repository's ledger stands intact though `known.place` has none; None where it does not.

    Where nothing is remembered, any ledger in a usual place, `but` that one, is the repository's: its marker may have
    been deleted.
    """
    for folder in _usual_places(known.repository):
        if (folder.resolve() == known.place.resolve() and not known.store) or not StorePaths(folder).identity.exists():
            continue
        try:
            found = read_identity(StorePaths(folder))
            if found != but and known.ledger in ("", found) and verify_files(folder).intact:
                return folder
        except AutopilotError:
            # Not to be read: no reason to keep a person from replacing it.
            continue
    return None


def missing(known: Remembered) -> AutopilotError:
    """The error of a remembered ledger that is not in `known.place`; it says where it is, if that is known."""
    standing = standing_elsewhere(known)
    found = f"; it is in {standing}" if standing else ""
    if known.marker is None:
        detail = f"ledger {known.named} is not in {known.where}{found}"
        return ContractError("ledger_elsewhere", where=SETTINGS_FILE, detail=detail)
    size = known.marker.size
    detail = f"ledger {known.marker.ledger} with at least {size} entries is not in {known.where}{found}"
    return IntegrityError("ledger_missing", where=known.where, detail=detail)


def still_there(known: Remembered, standing: Path) -> ContractError:
    """The error of who would begin a ledger while the repository's stands in `standing`."""
    return ContractError(
        "ledger_exists",
        where=str(standing),
        detail=f"the repository's ledger is intact in {standing}; {known.where} is another place",
        remedy="unset AUTOPILOT_STATE_DIR, or correct `state_dir` in autopilot.toml, and use it",
    )


def check_identity(opened: str, known: Remembered) -> None:
    """Hold the ledger that was opened against what is remembered.

    IntegrityError `ledger_missing` for another than the marker's, `ledger_unlike_settings` than `autopilot.toml`'s.
    """
    if known.marker is not None and known.marker.ledger != opened:
        raise another(opened, known)
    if known.marker is None and (standing := standing_elsewhere(known.unmarked(), but=opened)) is not None:
        # Without its marker the repository remembers none; the one that lies in its usual place is its own.
        detail = f"a ledger stands in {standing}; {known.where} has another one, {opened}"
        raise IntegrityError("ledger_missing", where=known.where, detail=detail)
    if known.named and known.named != opened:
        detail = f"{SETTINGS_FILE} names ledger {known.named}, the one in {known.where} is {opened}"
        raise IntegrityError("ledger_unlike_settings", where=f"{SETTINGS_FILE}: ledger_id", detail=detail)


def another(present: str, known: Remembered) -> IntegrityError:
    """The error of a place that holds another ledger than the repository's."""
    detail = f"the repository's ledger is {known.ledger}, the one in {known.where} is {present}"
    return IntegrityError("ledger_missing", where=known.where, detail=detail)


def _usual_places(repository: Repository) -> tuple[Path, ...]:
    """`state/`, and where `autopilot.toml` says, whatever the environment says."""
    root, places = repository.main_worktree, [DEFAULT_STATE_DIR]
    settings = root / SETTINGS_FILE
    if settings.is_file():
        places.append(read_location(settings.read_bytes(), {}).state_dir)
    return tuple(dict.fromkeys((root / place).absolute() for place in places))
