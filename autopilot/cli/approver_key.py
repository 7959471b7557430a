"""An approver's key at the terminal: where its file may lie, and what opens it.

The file must lie outside of every repository and state directory: an agent that works there reads what is there. The
passphrase is asked for at the terminal and nowhere else, so that no variable, pipe or option can hold it.
"""

from __future__ import annotations

from pathlib import Path

from autopilot.cli import console
from autopilot.cli.options import Call
from autopilot.kernel.errors import AutopilotError, ContractError
from autopilot.signing.locked import PASSPHRASE_MIN, read_locked, unlock, verifier_of
from autopilot.signing.note import SigningKey, VerifierKey
from autopilot.vcs.repository import Repository
from autopilot.wiring.full import state_dir


def refuse_within_reach(call: Call, path: Path) -> None:
    """ContractError `key_within_reach` for a place in a repository, or in the state of the one that is called in."""
    folder = path.absolute().parent.resolve()
    if not folder.is_dir():
        raise ContractError("bad_usage", where=str(path), detail="no such folder", remedy="make the folder first")
    try:
        inside = Repository.locate(folder).root
    except ContractError as error:
        if error.code != "not_a_repository":
            raise
    else:
        raise ContractError("key_within_reach", where=str(path), detail=f"in the repository {inside}")
    place = _state_of(call)
    if place is not None and folder.is_relative_to(place):
        raise ContractError("key_within_reach", where=str(path), detail=f"in the state directory {place}")


def opened_key(call: Call, path: Path) -> SigningKey:
    """The key in the file, with the passphrase that a person types. The caller has seen to it that there is one."""
    refuse_within_reach(call, path)
    data = read_locked(path)
    verifier = verifier_of(data)
    return unlock(data, console.ask_secret(f"passphrase of the key {verifier.name} ({verifier.id}): "))


def public_half(path: Path) -> VerifierKey:
    """The verifier key of the file; no passphrase is needed."""
    return verifier_of(read_locked(path))


def chosen_passphrase() -> str:
    """A new passphrase, typed twice; ContractError `bad_usage` where the two differ."""
    first = console.ask_secret(f"new passphrase, {PASSPHRASE_MIN} characters or more: ")
    if console.ask_secret("again the passphrase: ") != first:
        raise ContractError("bad_usage", where="passphrase", detail="typed otherwise the second time", remedy="again")
    return first


def _state_of(call: Call) -> Path | None:
    try:
        return state_dir(Repository.locate(call.directory), call.environ).resolve()
    except AutopilotError:
        return None  # no workspace here, so no state of one
