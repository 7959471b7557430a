"""The mark of a state directory whose ledger was moved to another store: never two that live.

It stands in the place of the mark of a failed sync, because every writer looks for that one before it writes: also one
that had the store open before the move. What it says tells the two apart.
"""

from __future__ import annotations

from autopilot.kernel.canonical import encode, parse
from autopilot.kernel.errors import AutopilotError, ContractError
from autopilot.kernel.files import DiskFiles, create_durably
from autopilot.storage.files.layout import StorePaths


def mark_moved(paths: StorePaths, to: str, seq: int, digest: str) -> None:
    """Close the store of `paths` for good: its ledger, up to the line `seq`, is in `to`. The caller has its lock."""
    content = encode({"moved_to": to, "seq": seq, "hash": digest})
    create_durably(DiskFiles(), paths.poisoned, content + b"\n")


def moved_to(paths: StorePaths) -> tuple[str, int, str] | None:
    """Where the ledger of `paths` went, with its last line's number and hash; None where it did not."""
    try:
        said = parse(paths.poisoned.read_bytes())
        return str(said["moved_to"]), int(said["seq"]), str(said["hash"])
    except (OSError, AutopilotError, KeyError, TypeError, ValueError):
        return None


def refuse_moved(paths: StorePaths) -> None:
    """ContractError `store_moved` if the ledger of `paths` is elsewhere now."""
    moved = moved_to(paths)
    if moved is not None:
        raise ContractError("store_moved", where=str(paths.state_dir), detail=f"it is in {moved[0]}")
