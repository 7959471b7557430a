"""Folders for the time of one call, and what becomes of them when the call is killed.

    with throwaway("autopilot-run-") as folder:
        ...

Each holds a file `.autopilot-owner` that its maker keeps locked (`flock`). The kernel lets go of the lock when the
maker dies, however it dies and in whatever namespace, so a lock that can be had is the proof of death: `sweep` removes
such a folder, and no other. A folder without that file, of another user, open to others, or reached through a link is
never touched: what cannot be proved ours and dead stays.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from autopilot.kernel.placing import try_lock

PREFIX = "autopilot-"
OWNER = ".autopilot-owner"

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FRESH = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LEFT = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_UNLOCKED = f"{OWNER}.new"
_HERE: set[Path] = set()
_OTHERS = 0o077


@contextlib.contextmanager
def throwaway(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """A folder of one's own below `parent` (None: the system's temporary folder), removed on leaving."""
    if not prefix.startswith(PREFIX):
        raise ValueError(prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    handle = os.open(folder, _FOLDER)
    try:
        owner = os.open(_UNLOCKED, _FRESH, 0o600, dir_fd=handle)
        try:
            try_lock(owner)
            # Named only once it is locked: a sweeper that finds the name finds a lock.
            os.rename(_UNLOCKED, OWNER, src_dir_fd=handle, dst_dir_fd=handle)
            _HERE.add(folder)
            yield folder
        finally:
            _HERE.discard(folder)
            _remove(folder, handle)
            os.close(owner)
    finally:
        os.close(handle)


def holder_of(path: Path) -> Path | None:
    """The throw-away folder that this process made and still keeps, and in which `path` lies as written."""
    return next((folder for folder in (path, *path.parents) if folder in _HERE), None)


def sweep(parent: Path | None = None) -> None:
    """Remove the folders whose makers are proved dead. Never fails: what cannot be removed stays."""
    place = Path(tempfile.gettempdir()) if parent is None else parent
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX):
                with contextlib.suppress(OSError):
                    _remove_if_dead(Path(entry.path))


def _remove_if_dead(folder: Path) -> None:
    handle = os.open(folder, _FOLDER)
    try:
        if not _is_ours(os.fstat(handle), stat.S_IFDIR):
            return
        owner = os.open(OWNER, _LEFT, dir_fd=handle)
        try:
            found = os.fstat(owner)
            if _is_ours(found, stat.S_IFREG) and found.st_nlink == 1 and try_lock(owner):
                _remove(folder, handle)
        finally:
            os.close(owner)
    finally:
        os.close(handle)


def _is_ours(found: os.stat_result, kind: int) -> bool:
    return stat.S_IFMT(found.st_mode) == kind and found.st_uid == os.geteuid() and not found.st_mode & _OTHERS


def _remove(folder: Path, handle: int) -> None:
    """Empty the open folder and take it away; the owner's file goes last, so that a rest is found again."""
    for attempt in range(2):
        left = [name for name in os.listdir(handle) if name != OWNER]
        if attempt and left:
            _loosen(folder)
        for name in left:
            _remove_entry(handle, name)
    with contextlib.suppress(OSError):
        if os.listdir(handle) == [OWNER]:
            os.unlink(OWNER, dir_fd=handle)
        folder.rmdir()


def _remove_entry(handle: int, name: str) -> None:
    with contextlib.suppress(OSError):
        if stat.S_ISDIR(os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode):
            shutil.rmtree(name, ignore_errors=True, dir_fd=handle)
        else:
            os.unlink(name, dir_fd=handle)


def _loosen(folder: Path) -> None:
    """A command may have closed folders of its own to everybody: opened, so that they can be emptied."""
    for parent, names, _ in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            with contextlib.suppress(OSError):
                if not path.is_symlink():
                    path.chmod(0o700)
