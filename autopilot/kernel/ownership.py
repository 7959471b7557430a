"""Who owns a path and every folder above it: what somebody else could write, or exchange for something else."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT_UID = 0
WRITABLE_BY_OTHERS = 0o022
_MOST_LINKS = 40


@dataclass(frozen=True, slots=True)
class Folder:
    """A file or folder as lstat shows it."""

    path: Path
    uid: int
    mode: int

    @property
    def is_link(self) -> bool:
        """Whether a link stands there."""
        return stat.S_ISLNK(self.mode)

    def is_others(self, uid: int) -> bool:
        """Whether anybody but root and `uid` owns it, or can put things into it or take them out.

        A sticky folder (/tmp) lets others put in, but not take away or rename what is not theirs.
        """
        writable = bool(self.mode & WRITABLE_BY_OTHERS) and not self.mode & stat.S_ISVTX
        return self.uid not in (ROOT_UID, uid) or (writable and not self.is_link)


def look(path: Path) -> Folder:
    """The facts of `path` itself, not of what a link there names. OSError as lstat."""
    found = path.lstat()
    return Folder(path, found.st_uid, found.st_mode)


def look_up(path: Path) -> tuple[Folder, ...]:
    """The facts of an absolute path and of every folder above it, the path itself first."""
    return tuple(look(place) for place in (path, *path.parents))


def look_through(path: Path) -> tuple[Folder, ...]:
    """The facts of all that is passed on the way to what an absolute path leads to: every folder, and every link.

    A link's target is often a link itself, in a folder of somebody else's. OSError as lstat, ELOOP for too many links.
    """
    here = Path(path.anchor)
    seen, left, links = [look(here)], list(reversed(path.parts[1:])), 0
    while left:
        part = left.pop()
        if part == os.pardir:
            here = here.parent
            continue
        found = look(here / part)
        seen.append(found)
        if not found.is_link:
            here = found.path
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        target = found.path.readlink()
        here = Path(target.anchor) if target.is_absolute() else here
        left += reversed(target.parts[1:] if target.is_absolute() else target.parts)
    return tuple(seen)


def exchangeable(chain: Iterable[Folder], uid: int) -> str:
    """Why a path cannot be relied on to stay what it is: who could exchange something on the way. Empty if nobody."""
    for folder in chain:
        if folder.is_others(uid):
            return f"{folder.path} belongs to uid {folder.uid}, mode {stat.S_IMODE(folder.mode):04o}"
    return ""
