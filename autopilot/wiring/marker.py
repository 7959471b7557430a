"""`<git common dir>/autopilot.id`: which ledger this repository has, and how long it was when it was last closed.

Two lines, the ledger's id and its number of entries. It lies outside of `state/`, so that deleting `state/` does not
delete the memory of it. It is a floor, not a seal: who can write it can write the ledger as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autopilot.kernel.errors import ContractError, IntegrityError, StorageError
from autopilot.kernel.files import read_regular
from autopilot.kernel.placing import place_file

NAME = "autopilot.id"
_CAP_BYTES = 1024


@dataclass(frozen=True, slots=True)
class Marker:
    """A ledger's id and the least number of entries it has."""

    ledger: str
    size: int


def read_marker(common_dir: Path) -> Marker | None:
    """The marker, None where there is none; IntegrityError `ledger_missing` for one that cannot be read."""
    try:
        # Opened like a stranger's file: a pipe in its place must not make every command wait.
        words = read_regular(common_dir, NAME, cap=_CAP_BYTES).decode("ascii").split()
    except (ContractError, StorageError, UnicodeDecodeError) as error:
        if isinstance(error, ContractError) and error.code == "artifact_missing":
            return None
        raise IntegrityError("ledger_missing", where=str(common_dir / NAME), detail=str(error)) from None
    if len(words) != 2 or len(words[0]) != 32 or not words[1].isdecimal():
        # A marker that says nothing must not pass for no marker: that is how one would hide a lost ledger.
        raise IntegrityError("ledger_missing", where=str(common_dir / NAME), detail="the marker cannot be read")
    return Marker(words[0], int(words[1]))


def write_marker(common_dir: Path, marker: Marker) -> None:
    """Replace the marker. Unsynced: after a power loss an older floor is still a floor."""
    place_file(common_dir, NAME, f"{marker.ledger}\n{marker.size}\n".encode("ascii"))
