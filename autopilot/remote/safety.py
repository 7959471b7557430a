"""What must be so before a daemon starts: who can reach the state, who can put something in the socket's place.

Pure: facts of folders in, reasons out. A reason here means that mode 1 would be a claim and not a fact.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path

from autopilot.kernel.ownership import ROOT_UID, WRITABLE_BY_OTHERS, Folder
from autopilot.kernel.reasons import Reason

_GROUP_OR_OTHERS = 0o077


def check_state(chain: Iterable[Folder], uid: int) -> tuple[Reason, ...]:
    """Why the state directory (the first of `chain`) is not out of everybody else's reach. `uid` is the engine's."""
    state, *above = chain
    found: list[Reason] = []
    if state.is_link or not stat.S_ISDIR(state.mode):
        found.append(_unsafe(state.path, "the state directory is a link or no folder"))
    if state.uid != uid:
        found.append(_unsafe(state.path, f"the state directory belongs to uid {state.uid}, the engine is uid {uid}"))
    if state.mode & _GROUP_OR_OTHERS:
        found.append(_unsafe(state.path, f"mode {stat.S_IMODE(state.mode):04o}: others can get in; chmod 0700"))
    found += [
        _unsafe(folder.path, f"above the state, and uid {folder.uid} or others can exchange what is in it")
        for folder in above
        if folder.is_link or folder.is_others(uid)
    ]
    return tuple(found)


def check_socket_folder(chain: Iterable[Folder], uid: int) -> tuple[Reason, ...]:
    """Why others could put a socket of their own in the place of the daemon's: its folder, and those above it."""
    folder, *above = chain
    found: list[Reason] = []
    # Sticky is not enough here: where others may write, one of them may be first to take the socket's name.
    if folder.is_link or folder.is_others(uid) or folder.mode & WRITABLE_BY_OTHERS:
        found.append(_unsafe(folder.path, "others can put a socket of their own into the socket's folder"))
    found += [
        _unsafe(one.path, "above the socket, and others can exchange what is in it")
        for one in above
        if one.is_link or one.is_others(uid)
    ]
    return tuple(found)


def check_users(*, engine_uid: int, owner_uid: int, allow_same_user: bool) -> tuple[Reason, ...]:
    """Why these users are no split: the engine as root, or as the user who owns the repository."""
    if engine_uid == ROOT_UID and owner_uid != ROOT_UID:
        return (_unsafe("uid 0", "the engine runs as root; give it a user of its own"),)
    if engine_uid == owner_uid and not allow_same_user:
        detail = f"engine and repository belong to uid {engine_uid}: an agent of that user can write the state"
        remedy = "run it as a user of its own, or say --allow-same-user, which is trust mode 0"
        return (Reason("daemon_unsafe", where=f"uid {engine_uid}", detail=detail, remedy=remedy),)
    return ()


def check_file(file: Folder, uid: int) -> tuple[Reason, ...]:
    """Why a file that says who may connect is not to be believed: others than root and the engine can write it."""
    if not stat.S_ISREG(file.mode) or file.uid not in (ROOT_UID, uid) or file.mode & WRITABLE_BY_OTHERS:
        return (_unsafe(file.path, "others than root and the engine's user can write it"),)
    return ()


def _unsafe(where: Path | str, detail: str) -> Reason:
    return Reason("daemon_unsafe", where=str(where), detail=detail)
