"""`<git common dir>/autopilot.id`: which ledger this repository has, and how long it was when it was last closed.

Two lines, the ledger's id and its number of entries. It lies outside of `state/`, so that deleting `state/` does not
delete the memory of it. It is a floor, not a seal: who can write it can write the ledger as well.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autopilot.kernel.errors import ContractError, IntegrityError, StorageError
from autopilot.kernel.files import read_regular, storage_error
from autopilot.kernel.placing import place_file

NAME = "autopilot.id"
BEGIN_WAIT_SECONDS = 30.0
RAISE_WAIT_SECONDS = 1.0
_CAP_BYTES = 1024
_LOOK_AGAIN_SECONDS = 0.01


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


def raise_marker(common_dir: Path, marker: Marker) -> None:
    """Move the floor up to `marker.size`: never down, never over the marker of another ledger.

    Two who close at the same moment would otherwise leave the lower of their sizes. Left alone where the folder is
    held by somebody else for `RAISE_WAIT_SECONDS`: an older floor is still a floor.
    """
    if not os.access(common_dir, os.W_OK | os.X_OK):
        # Another user's repository, as behind a daemon: a floor that its owner can write is none for us.
        return
    if _is_reached(common_dir, marker):
        return
    try:
        with claimed(common_dir, RAISE_WAIT_SECONDS):
            if not _is_reached(common_dir, marker):
                write_marker(common_dir, marker)
    except StorageError as error:
        if error.code != "lock_timeout":
            raise


@contextlib.contextmanager
def claimed(common_dir: Path, wait_seconds: float = BEGIN_WAIT_SECONDS) -> Iterator[None]:
    """Hold the git common directory itself, so that one process at a time begins a ledger or moves the marker.

    There is no ledger yet whose lock could be taken. Not to be nested. StorageError `lock_timeout` if it is not to be
    had in time.
    """
    try:
        descriptor = os.open(common_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise storage_error(error, common_dir) from error
    try:
        _lock(descriptor, common_dir, wait_seconds)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, common_dir: Path, wait_seconds: float) -> None:
    """flock has no time limit, and who holds the folder may be stopped: so it is asked again and again."""
    give_up = time.monotonic() + wait_seconds
    while not _is_locked(descriptor):
        if time.monotonic() >= give_up:
            detail = f"held by another process for {wait_seconds:g} s"
            raise StorageError("lock_timeout", where=str(common_dir), detail=detail, retryable=True)
        time.sleep(_LOOK_AGAIN_SECONDS)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_reached(common_dir: Path, marker: Marker) -> bool:
    known = read_marker(common_dir)
    return known is not None and (known.ledger != marker.ledger or known.size >= marker.size)
