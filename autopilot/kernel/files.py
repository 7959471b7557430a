"""Bytes that survive a power loss, and bytes that are read without being led astray.

Everything durable goes through the `Files` port, so that a simulator can stand under it: every operation that a
crash can lose or tear is a method there, reading is not. The rules it keeps:

- A file appears whole or not at all: written under another name, synced, moved, and the directory synced.
- What is written once (`create_durably`) is never replaced; the same bytes again are no error.
- A failed sync is never tried again: the kernel may have dropped the pages and marked them clean.
- Files that others may have written are opened component by component, never through a link.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from autopilot.kernel.errors import ContractError, IntegrityError, StorageError

APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
"""Flags of a log: appended at its end, read anywhere."""

_EXCLUSIVE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_COMPONENT = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# To go through a folder takes no right to list it, where the system makes that difference.
_PASSED = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


class Files(Protocol):
    """The operations whose effect a crash can lose. All raise OSError as the system does.

    `concurrent` says whether syncs of different files may run in several threads at once.
    """

    concurrent: bool

    def open(self, path: Path, flags: int, mode: int = 0o644) -> int:
        """A descriptor; close it with `os.close`. A file that is made has the rights `mode`."""
        ...

    def write(self, descriptor: int, data: bytes) -> None:
        """All of `data` in one call where the system takes it in one."""
        ...

    def sync(self, descriptor: int) -> None:
        """Return when the content is on the disk (`fdatasync`; `F_FULLFSYNC` where that is what it takes)."""
        ...

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file to `size` bytes."""
        ...

    def move(self, source: Path, target: Path, *, replace: bool) -> None:
        """Give the file its name; without `replace`, FileExistsError if the name is taken."""
        ...

    def remove(self, path: Path) -> None:
        """Take the name away."""
        ...

    def make_dir(self, path: Path, mode: int = 0o755) -> None:
        """Make one directory with the rights `mode`; FileExistsError if it is there."""
        ...

    def sync_dir(self, path: Path) -> None:
        """Return when the names in the directory are on the disk."""
        ...


class DiskFiles:
    """The machine's own file system."""

    concurrent = True

    def open(self, path: Path, flags: int, mode: int = 0o644) -> int:
        return os.open(path, flags, mode)

    def write(self, descriptor: int, data: bytes) -> None:
        written = os.write(descriptor, data)
        while written < len(data):
            # A short write: the next call says why, or finishes it.
            written += os.write(descriptor, data[written:])

    def sync(self, descriptor: int) -> None:
        _sync_content(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def move(self, source: Path, target: Path, *, replace: bool) -> None:
        if replace:
            source.replace(target)
            return
        os.link(source, target)
        source.unlink()

    def remove(self, path: Path) -> None:
        path.unlink()

    def make_dir(self, path: Path, mode: int = 0o755) -> None:
        path.mkdir(mode=mode)

    def sync_dir(self, path: Path) -> None:
        descriptor = os.open(path, _DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _choose_sync() -> Callable[[int], object]:
    """The call that reaches the platter: macOS answers fsync before the drive has written."""
    try:
        from fcntl import F_FULLFSYNC, fcntl  # type: ignore[attr-defined,unused-ignore]
    except ImportError:
        sync: Callable[[int], object] = getattr(os, "fdatasync", os.fsync)
        return sync
    return lambda descriptor: fcntl(descriptor, F_FULLFSYNC)


_sync_content = _choose_sync()


Task = Callable[[], object]


def in_turn(tasks: Sequence[Task]) -> None:
    """Do one after the other; the first that fails ends it."""
    for task in tasks:
        task()


def create_durably(files: Files, path: Path, data: bytes) -> None:
    """Make `path` with `data`, for good: two syncs. A file already there must hold the same bytes.

    Raises IntegrityError `evidence_edited` if it holds others, StorageError on a failing disk.
    """
    create_all_durably(files, [(path, data)])


def create_all_durably(
    files: Files, wanted: Sequence[tuple[Path, bytes]], do: Callable[[Sequence[Task]], None] = in_turn
) -> None:
    """`create_durably` for several files that do not depend on one another; `do` may do their syncs at the same time.

    Each is synced before it gets its name, and its directory after. If one fails, others may be there already.
    """
    aside: list[_Aside] = []
    try:
        for path, data in wanted:
            with _storage_errors(path):
                if not is_already(path, data):
                    aside.append(_write_aside(files, path, data))
        do([partial(sync_or_fail, files, one.descriptor, one.path) for one in aside])
        while aside:
            _give_name(files, aside.pop())
    finally:
        for one in aside:
            _drop(files, one)
    # Also for a file that was there already: whoever made it may not have come to this sync.
    do([partial(sync_dir_or_fail, files, folder) for folder in dict.fromkeys(path.parent for path, _ in wanted)])


@dataclass(frozen=True, slots=True)
class _Aside:
    """A file written under another name, not yet synced."""

    path: Path
    temporary: Path
    descriptor: int
    data: bytes


def _write_aside(files: Files, path: Path, data: bytes) -> _Aside:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    one = _Aside(path, temporary, files.open(temporary, _EXCLUSIVE), data)
    try:
        files.write(one.descriptor, data)
    except OSError:
        _drop(files, one)
        raise
    return one


def _drop(files: Files, one: _Aside) -> None:
    os.close(one.descriptor)
    with contextlib.suppress(OSError):
        files.remove(one.temporary)


def _give_name(files: Files, one: _Aside) -> None:
    os.close(one.descriptor)
    with _storage_errors(one.path):
        try:
            files.move(one.temporary, one.path, replace=False)
        except FileExistsError:
            # Someone else made it between our look and our move.
            files.remove(one.temporary)
            is_already(one.path, one.data)


def is_already(path: Path, data: bytes) -> bool:
    """Whether `path` is there and holds `data`; IntegrityError `evidence_edited` if it holds other bytes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        found = _read_up_to(descriptor, len(data) + 1)
    finally:
        os.close(descriptor)
    if found == data:
        return True
    raise IntegrityError("evidence_edited", where=str(path), detail="a write-once file holds other bytes")


def replace_durably(files: Files, path: Path, data: bytes) -> None:
    """Put `data` in the place of whatever `path` held: readers see the old or the new, never a part. Two syncs."""
    with _storage_errors(path):
        one = _write_aside(files, path, data)
        try:
            sync_or_fail(files, one.descriptor, path)
        except StorageError:
            _drop(files, one)
            raise
        os.close(one.descriptor)
        files.move(one.temporary, path, replace=True)
        sync_dir_or_fail(files, path.parent)


def make_dir_durably(files: Files, path: Path, *, below: Path | None = None) -> None:
    """Make `path` and its missing parents, each synced into its own parent.

    With `below` those under it are synced even where they are there: whoever made them may have been killed before.
    """
    with _storage_errors(path):
        there = path.is_dir()
        if there and below in (None, path):
            return
        make_dir_durably(files, path.parent, below=None if path == below else below)
        if not there:
            with contextlib.suppress(FileExistsError):
                files.make_dir(path)
        sync_dir_or_fail(files, path.parent)


def make_empty_durably(files: Files, path: Path) -> None:
    """Make the empty file `path`, unless it is there: one sync, of its name, which who made it may not have come to."""
    make_empty(files, path)
    sync_dir_or_fail(files, path.parent)


def make_empty(files: Files, path: Path) -> None:
    """Make the empty file `path`, unless it is there. The next sync of its folder makes it last."""
    with _storage_errors(path):
        os.close(files.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC))


def replace_lightly(files: Files, path: Path, data: bytes) -> None:
    """`replace_durably` without its syncs: for a copy that nothing relies on."""
    with _storage_errors(path):
        one = _write_aside(files, path, data)
        os.close(one.descriptor)
        files.move(one.temporary, path, replace=True)


def remove_durably(files: Files, path: Path) -> None:
    """Take the name away for good: one sync. StorageError if the disk does not."""
    with _storage_errors(path):
        files.remove(path)
    sync_dir_or_fail(files, path.parent)


def sync_or_fail(files: Files, descriptor: int, path: Path) -> None:
    """Sync once; StorageError `sync_failed` if it is not certain that the disk has everything. Never tried again."""
    try:
        files.sync(descriptor)
    except OSError as error:
        raise StorageError("sync_failed", where=str(path), detail=str(error)) from error


def sync_dir_or_fail(files: Files, path: Path) -> None:
    """Sync the folder's names once; StorageError `sync_failed` if that is not certain. Never tried again."""
    try:
        files.sync_dir(path)
    except OSError as error:
        raise StorageError("sync_failed", where=str(path), detail=str(error)) from error


@contextlib.contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise storage_error(error, path) from error


def storage_error(error: OSError, path: Path) -> StorageError:
    """`error` as one of ours: `disk_full` (trying again can help) or `storage_failed`."""
    if error.errno in _NO_SPACE:
        return StorageError("disk_full", where=str(path), detail=str(error), retryable=True)
    return StorageError("storage_failed", where=str(path), detail=str(error))


# --- reading what others may have written ------------------------------------------------------------------------


def read_regular(root: Path, relative: str, *, cap: int) -> bytes:
    """The bytes of the plain file `relative` below `root`, at most `cap` of them.

    Every component is opened on its own and no link is followed, so that the file that is judged lies where its
    name says. ContractError `artifact_missing`, `artifact_not_regular`, `artifact_linked`, `artifact_too_large`.
    """
    parts = _components(relative)
    with _opened_below(root, parts[:-1], relative) as folder:
        descriptor = _open_component(folder, parts[-1], relative)
    try:
        _require_plain(os.fstat(descriptor), relative, cap)
        data = _read_up_to(descriptor, cap + 1)
        # Looked at again: the file may have grown or got a second name while it was read.
        _require_plain(os.fstat(descriptor), relative, cap)
    finally:
        os.close(descriptor)
    if len(data) > cap:
        raise ContractError("artifact_too_large", where=relative, detail=f"more than {cap} bytes")
    return data


def open_linkless(path: Path, flags: int) -> int:
    """A descriptor of the absolute `path`, no component of which may be a link; OSError (ELOOP, ENOTDIR) for one."""
    if not path.is_absolute() or ".." in path.parts:
        raise OSError(errno.EINVAL, "not an absolute path", str(path))
    current = os.open(path.anchor, _PASSED)
    try:
        for folder in path.parts[1:-1]:
            following = os.open(folder, _PASSED | os.O_NOFOLLOW, dir_fd=current)
            os.close(current)
            current = following
        return os.open(path.name or ".", flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=current)
    finally:
        os.close(current)


def read_linkless(path: Path, *, cap: int) -> bytes:
    """The bytes of the plain file `path`, reached through no link, at most `cap` of them. Errors as `read_regular`."""
    try:
        descriptor = open_linkless(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        linked = any(folder.is_symlink() for folder in path.parents)
        raise ContractError("artifact_linked" if linked else "artifact_missing", where=str(path)) from None
    except OSError as error:
        code = "artifact_linked" if error.errno in (errno.ELOOP, errno.EMLINK) else "artifact_not_regular"
        raise ContractError(code, where=str(path), detail=error.strerror or str(error)) from None
    try:
        _require_plain(os.fstat(descriptor), str(path), cap)
        data = _read_up_to(descriptor, cap + 1)
    finally:
        os.close(descriptor)
    if len(data) > cap:
        raise ContractError("artifact_too_large", where=str(path), detail=f"more than {cap} bytes")
    return data


def list_regular(root: Path, relative: str) -> tuple[str, ...]:
    """The names of the plain files in the folder `relative` below `root`, sorted; nothing if it is not there."""
    try:
        with _opened_below(root, _components(relative), relative) as folder:
            names = os.listdir(folder)  # noqa: PTH208 - a descriptor, not a path
            return tuple(sorted(name for name in names if _is_plain_name(folder, name)))
    except ContractError as error:
        if error.code == "artifact_missing":
            return ()
        raise


def _is_plain_name(folder: int, name: str) -> bool:
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def _components(relative: str) -> list[str]:
    parts = relative.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise ContractError("artifact_missing", where=relative, detail="not a plain relative path")
    return parts


@contextlib.contextmanager
def _opened_below(root: Path, folders: list[str], relative: str) -> Iterator[int]:
    """The innermost of `folders` as a descriptor. The root itself is ours and may be reached through links."""
    try:
        current = os.open(root, _DIRECTORY)
    except OSError:
        raise ContractError("artifact_missing", where=relative, detail="the folder is not there") from None
    try:
        for folder in folders:
            following = _open_component(current, folder, relative)
            os.close(current)
            current = following
            if not stat.S_ISDIR(os.fstat(current).st_mode):
                raise ContractError("artifact_not_regular", where=relative, detail=f"{folder} is not a folder")
        yield current
    finally:
        os.close(current)


def _open_component(folder: int, name: str, relative: str) -> int:
    try:
        return os.open(name, _COMPONENT, dir_fd=folder)
    except FileNotFoundError:
        raise ContractError("artifact_missing", where=relative) from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise ContractError("artifact_linked", where=relative, detail=f"{name} is a link") from None
        if error.errno == errno.ENXIO:
            # A socket, which cannot be opened at all.
            raise ContractError("artifact_not_regular", where=relative) from None
        if error.errno == errno.ENAMETOOLONG:
            raise ContractError("artifact_missing", where=relative, detail="the name is too long") from None
        raise storage_error(error, Path(relative)) from error


def _require_plain(found: os.stat_result, relative: str, cap: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ContractError("artifact_not_regular", where=relative)
    if found.st_nlink != 1:
        raise ContractError("artifact_linked", where=relative, detail=f"the file has {found.st_nlink} names")
    if found.st_size > cap:
        raise ContractError("artifact_too_large", where=relative, detail=f"{found.st_size} bytes, at most {cap}")


def _read_up_to(descriptor: int, limit: int) -> bytes:
    chunks: list[bytes] = []
    left = limit
    while left > 0:
        chunk = os.read(descriptor, min(left, 1 << 20))
        if not chunk:
            break
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)
