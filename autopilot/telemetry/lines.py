"""A file of whole lines that any number of processes append to, without waiting for one another.

Each line goes out in one `write` on an O_APPEND descriptor, so lines of different processes never mix. The file is
opened for each line: nothing is held across a fork, and a file that an operator moved away is made anew.

A line that a full disk or a crash cut short has no newline; the next append puts one first, so that it spoils no
other line. A line that another process is just writing looks the same, so writers hold a shared `flock` while they
write, and a line is called cut short only by who gets the lock exclusively and finds the end where it was before.
Who does not get the shared lock within two milliseconds writes without it: an agent that holds it must not be able
to stop the engine.

The folder is writable by agents: links, pipes and files of other users are refused rather than followed.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from pathlib import Path

# The Collector's receiver reads lines of up to 1 MiB by default and cuts longer ones.
MAX_LINE_BYTES = 2**20 - 1

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a pipe that nobody reads must fail instead of waiting.
_FILE_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LineFile:
    """One such file. `append` raises OSError; the caller counts it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folder, self._name = str(path.parent), path.name

    def append(self, line: bytes) -> None:
        """Add `line`, which ends in its only newline and is within `MAX_LINE_BYTES`."""
        descriptor = self._open()
        try:
            _lock_shared(descriptor)
            if _follows_a_cut_line(descriptor):
                line = b"\n" + line
            written = os.write(descriptor, line)
            if written != len(line):
                raise OSError(f"{self.path}: {written} of {len(line)} bytes written")
        finally:
            os.close(descriptor)

    def problem(self) -> str:
        """Why lines cannot be added, or "" if they can, so far as that shows without adding one."""
        folder = self.path.parent
        try:
            if self.path.is_symlink() or self.path.exists():
                os.close(self._open())
            elif folder.is_dir() and not os.access(folder, os.W_OK):
                return f"{folder} is not writable"
        except OSError as error:
            return str(error)
        return ""

    def _open(self) -> int:
        folder = self._open_folder()
        try:
            descriptor = os.open(self._name, _FILE_FLAGS, 0o600, dir_fd=folder)
        finally:
            os.close(folder)
        try:
            _refuse_foreign(descriptor, self.path)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _open_folder(self) -> int:
        try:
            return os.open(self._folder, _FOLDER_FLAGS)
        except FileNotFoundError:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self._folder, _FOLDER_FLAGS)


def _refuse_foreign(descriptor: int, path: Path) -> None:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_uid != os.geteuid():
        raise OSError(f"{path}: not a regular file of this user with one name")
    if found.st_mode & 0o077:
        os.fchmod(descriptor, 0o600)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _lock_shared(descriptor: int) -> None:
    for _ in range(10):
        if _try_lock(descriptor, fcntl.LOCK_SH):
            return
        time.sleep(0.0002)


def _follows_a_cut_line(descriptor: int) -> bool:
    cut = _end_without_newline(descriptor)
    if not cut:
        return False
    if _try_lock(descriptor, fcntl.LOCK_EX):
        return _end_without_newline(descriptor) == cut
    # Somebody is writing. The failed attempt gave up the shared lock as well (flock(2)).
    _lock_shared(descriptor)
    return False


def _end_without_newline(descriptor: int) -> int:
    """The file's size if its last byte is not a newline, else 0."""
    size = os.lseek(descriptor, 0, os.SEEK_END)
    return size if size > 0 and os.pread(descriptor, 1, size - 1) != b"\n" else 0
