"""Writing where others may write as well: below a folder of ours, and never through a link.

What people and agents read lies below `state/`, and an agent can put a link in the place of any folder there. So every
component below the root is opened on its own, as `kernel.files` does for reading, and a link or anything else that is
no folder is IntegrityError `state_linked`: nothing is written elsewhere, and nothing elsewhere is believed.

A file appears whole or not at all. It is written under a name of its own, `.<name>.<random>.new`, which its writer
keeps locked (`flock`) until the file has its real name. The kernel lets go of the lock when the writer dies, so that a
lock which can be had proves that the leftover is nobody's, and the next writer of that name takes it away.

These writes are not synced: what they show is on the ledger. `kernel.files` has the durable ones.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from autopilot.kernel.errors import IntegrityError
from autopilot.kernel.files import storage_error

_ROOT = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FOLDER = _ROOT | os.O_NOFOLLOW
_FRESH = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LEFT = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LOG = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NOT_A_FOLDER = frozenset({errno.ELOOP, errno.EMLINK, errno.ENOTDIR})
_SUFFIX = ".new"


def place_file(root: Path, relative: str, data: bytes) -> Path:
    """Put `data` in the place of whatever has the name `relative` below `root`; missing folders are made.

    Raises IntegrityError `state_linked`, StorageError for a disk that refuses.
    """
    folder, _, name = relative.rpartition("/")
    with _storage_errors(root / relative), _folder_below(root, folder, make=True) as handle:
        _sweep(handle, name)
        temporary, descriptor = _fresh(handle, name)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(descriptor, view) :]
            os.replace(temporary, name, src_dir_fd=handle, dst_dir_fd=handle)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=handle)
            raise
        finally:
            os.close(descriptor)
    return root / relative


def place_folder(root: Path, relative: str) -> Path:
    """Make the folder `relative` below `root`, and those above it. Raises as `place_file`."""
    with _storage_errors(root / relative), _folder_below(root, relative, make=True):
        return root / relative


def move_below(root: Path, source: str, target: str) -> bool:
    """Give the file or folder `source` the name `target`, in the place of whatever had it; False if it is not there.

    A link in place of `source` is left alone and counts as not there. Raises as `place_file`.
    """
    (folder, _, name), (shelf, _, fresh) = source.rpartition("/"), target.rpartition("/")
    with _storage_errors(root / source), contextlib.ExitStack() as handles:
        try:
            here = handles.enter_context(_folder_below(root, folder))
            found = os.stat(name, dir_fd=here, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return False
        if stat.S_ISLNK(found):
            return False
        there = handles.enter_context(_folder_below(root, shelf, make=True))
        if stat.S_ISDIR(found):
            shutil.rmtree(fresh, ignore_errors=True, dir_fd=there)
        os.replace(name, fresh, src_dir_fd=here, dst_dir_fd=there)
    return True


@contextlib.contextmanager
def opened_log(root: Path, relative: str) -> Iterator[int]:
    """The plain file `relative` below `root`, made if it is missing: read anywhere, appended at its end.

    Raises as `place_file`; a link or special file in its place is `state_linked` too.
    """
    folder, _, name = relative.rpartition("/")
    with _storage_errors(root / relative), _folder_below(root, folder, make=True) as handle:
        try:
            descriptor = os.open(name, _LOG, 0o666, dir_fd=handle)
        except OSError as error:
            if error.errno in (*_NOT_A_FOLDER, errno.ENXIO, errno.EISDIR):
                raise _linked(root / relative) from None
            raise
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _linked(root / relative)
            yield descriptor
        finally:
            os.close(descriptor)


def refuse_strangers(root: Path, *, folders: tuple[str, ...], files: tuple[str, ...]) -> None:
    """IntegrityError `state_linked` if one of these below `root` is a link, or not of its kind; it may be missing.

    A pipe in the place of a file would make whoever opens it wait for ever.
    """
    for names, kind in ((folders, stat.S_IFDIR), (files, stat.S_IFREG)):
        for name in names:
            try:
                found = os.lstat(root / name).st_mode
            except (FileNotFoundError, NotADirectoryError):
                continue
            if stat.S_IFMT(found) != kind:
                raise _linked(root / name)


def try_lock(descriptor: int) -> bool:
    """Take the lock that says that a file's writer lives. False: another has it, or there are no locks here.

    For the writer it makes no difference where there are none; for the sweeper a lock not had is no proof of death.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _folder_below(root: Path, relative: str, *, make: bool = False) -> Iterator[int]:
    """The folder as a descriptor. The root itself is ours and may be reached through links."""
    if make:
        root.mkdir(parents=True, exist_ok=True)
    current = os.open(root, _ROOT)
    try:
        for name in relative.split("/") if relative else ():
            if name in ("", ".", ".."):
                raise _linked(root / relative)
            following = _open_folder(current, name, root / relative, make=make)
            os.close(current)
            current = following
        yield current
    finally:
        os.close(current)


def _open_folder(folder: int, name: str, where: Path, *, make: bool) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        if not make:
            raise
    except OSError as error:
        raise (_linked(where) if error.errno in _NOT_A_FOLDER else error) from None
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, dir_fd=folder)
    return _open_folder(folder, name, where, make=False)


def _fresh(folder: int, name: str) -> tuple[str, int]:
    """A new file beside `name` that no sweeper takes away while its descriptor is open."""
    while True:
        temporary = f".{name}.{secrets.token_hex(6)}{_SUFFIX}"
        descriptor = os.open(temporary, _FRESH, 0o666, dir_fd=folder)
        try_lock(descriptor)
        if os.fstat(descriptor).st_nlink:
            return temporary, descriptor
        # A sweeper saw it in the moment before it was locked.
        os.close(descriptor)


def _sweep(folder: int, name: str) -> None:
    """Take away what writers of `name` left behind when they were killed."""
    for left in os.listdir(folder):
        if left.startswith(f".{name}.") and left.endswith(_SUFFIX):
            with contextlib.suppress(OSError):
                _take_away(folder, left)


def _take_away(folder: int, left: str) -> None:
    descriptor = os.open(left, _LEFT, dir_fd=folder)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and try_lock(descriptor):
            os.unlink(left, dir_fd=folder)
    finally:
        os.close(descriptor)


def _linked(where: Path) -> IntegrityError:
    return IntegrityError("state_linked", where=str(where), detail="a link or special file is in the way")


@contextlib.contextmanager
def _storage_errors(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise storage_error(error, where) from error
