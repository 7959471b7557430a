"""What of the engine's files a third user is handed, and how it is taken back.

    handover = Handover(gid, cache)
    handover.show(deps)             # may be read by the group, and written by nobody but the engine
    handover.give(copy)             # may be written by the group
    handover.take_back((copy,))     # closed again to the group

Owner and mode are changed below a throw-away folder of this process and below the dependency cache, and nowhere else:
any other path may be the engine's for a reason that is not known here. Each entry is changed through a descriptor that
was opened without following links, so that a name which is exchanged in between leads nowhere.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from autopilot.kernel.errors import MissingComponentError
from autopilot.kernel.throwaway import holder_of

_WRITE = 0o022
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not every system has O_PATH; where it is missing there is no /proc either, and no third user.
_ENTRY = getattr(os, "O_PATH", os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Handover:
    """Hands files to the group `gid`; `cache` is the engine's dependency cache, None where it has none."""

    gid: int
    cache: Path | None = None

    def give(self, path: Path) -> None:
        """Let the group write all below `path`. OSError where the engine is no member of the group.

        MissingComponentError `mount_unsafe` where it is not the engine's to give.
        """
        root = self._root(path)
        if root is None:
            raise _unsafe(path, "only what the engine made for the command is handed to a third user")
        for handle, found in _entries(path):
            if _is_own(found):
                self._change(handle, _writable(found.st_mode))
        self._reach(path, root)

    def show(self, path: Path) -> None:
        """Let the group read all below `path`, if it is the engine's to show; else it is left as it is.

        MissingComponentError `mount_unsafe` for an entry that is not the engine's: its owner could write there.
        """
        root = self._root(path)
        if root is None:
            return
        for handle, found in _entries(path):
            if found.st_uid != os.geteuid():
                raise _unsafe(path, f"something in it belongs to uid {found.st_uid}, who could write there")
            if _is_own(found):
                self._change(handle, _readable(found.st_mode))
        self._reach(path, root)

    def take_back(self, paths: Iterable[Path]) -> None:
        """Close the folders `paths` to the group, so that no later command writes where an earlier one could."""
        for path in paths:
            with contextlib.suppress(FileNotFoundError), _opened(path) as (handle, found):
                if self._root(path) is not None and _is_own(found):
                    _of(handle).chmod(found.st_mode & 0o700)

    def _root(self, path: Path) -> Path | None:
        if self.cache is not None and path.is_relative_to(self.cache):
            return self.cache
        return holder_of(path)

    def _reach(self, path: Path, root: Path) -> None:
        """Let the group pass through the folders from `root` to `path`, and see nothing in them."""
        for folder in path.parents:
            if not folder.is_relative_to(root):
                return
            with _opened(folder) as (handle, found):
                if found.st_uid == os.geteuid() and not found.st_mode & stat.S_IXOTH:
                    self._change(handle, stat.S_IMODE(found.st_mode) | stat.S_IXGRP)

    def _change(self, handle: int, mode: int) -> None:
        os.chown(_of(handle), -1, self.gid)
        _of(handle).chmod(mode)


def own_copy(tree: Path) -> None:
    """Make every file below `tree` the engine's own, written by nobody else. shutil.Error or OSError where it cannot.

    A file of the third user's stays his to write, whatever its mode: so it is copied, and the tree put into its place.
    """
    left = Path(mkdtemp(prefix="left-", dir=tree.parent))
    tree.rename(left / "tree")
    try:
        shutil.copytree(left / "tree", tree, symlinks=True, copy_function=plain_copy)
        for folder, _, _ in os.walk(tree):
            Path(folder).chmod(0o700)
    finally:
        shutil.rmtree(left, ignore_errors=True)


def plain_copy(source: str, target: str, *, follow_symlinks: bool = True) -> str:
    """A copy function for `copytree` that keeps times and plain permissions, and no set-user-id or other such bit.

    A set-user-id file of the third user's, copied with all its bits, would be a program that runs as the engine.
    """
    shutil.copyfile(source, target, follow_symlinks=follow_symlinks)
    found = Path(source).stat(follow_symlinks=follow_symlinks)
    if not stat.S_ISLNK(found.st_mode):
        Path(target).chmod(found.st_mode & 0o777)
        os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))
    return target


def _is_own(found: os.stat_result) -> bool:
    """Whether the entry is the engine's and nothing else's: a second name of a file may lie elsewhere."""
    if found.st_uid != os.geteuid():
        return False
    return stat.S_ISDIR(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink == 1)


def _writable(mode: int) -> int:
    if stat.S_ISDIR(mode):
        return mode & 0o700 | 0o2770
    return mode & 0o700 | 0o060 | (stat.S_IXGRP if mode & stat.S_IXUSR else 0)


def _readable(mode: int) -> int:
    execute = stat.S_ISDIR(mode) or bool(mode & stat.S_IXUSR)
    return mode & 0o755 & ~_WRITE | stat.S_IRGRP | (stat.S_IXGRP if execute else 0)


def _entries(root: Path) -> Iterator[tuple[int, os.stat_result]]:
    """A descriptor and the facts of each entry below `root`, the root itself last: until then nobody can come in."""
    with _opened(root) as top:
        if stat.S_ISDIR(top[1].st_mode):
            folder = os.open(_of(top[0]), _FOLDER & ~os.O_NOFOLLOW)
            try:
                for _, folders, files, handle in os.fwalk(".", dir_fd=folder, onerror=_fail):
                    for name in (*folders, *files):
                        with _opened(name, dir_fd=handle) as entry:
                            yield entry
            finally:
                os.close(folder)
        yield top


def _fail(error: OSError) -> None:
    raise error


@contextlib.contextmanager
def _opened(path: Path | str, *, dir_fd: int | None = None) -> Iterator[tuple[int, os.stat_result]]:
    handle = os.open(path, _ENTRY, dir_fd=dir_fd)
    try:
        yield handle, os.fstat(handle)
    finally:
        os.close(handle)


def _of(handle: int) -> Path:
    return Path("/proc/self/fd", str(handle))


def _unsafe(path: Path, detail: str) -> MissingComponentError:
    return MissingComponentError("mount_unsafe", where=str(path), detail=detail)
