"""A tree written out as plain files, links and folders: no filter, no hook, no line-end conversion, no git.

Everything is made new through the handle of the folder it goes in, links never followed, so that no tree can write
outside the target, on a disk that ignores case neither.
"""

from __future__ import annotations

import os
from pathlib import Path

from autopilot.kernel.errors import ContractError
from autopilot.vcs.entries import EXECUTABLE, GITLINK, SYMLINK, TREE
from autopilot.vcs.objects import ObjectSession
from autopilot.vcs.scan import shown

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def check_out(objects: ObjectSession, tree: str, target: Path, without: frozenset[bytes]) -> None:
    """Write `tree` into `target`, which is made or must be empty; `without` paths and all below them are left out."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        handle = os.open(target, _ENTER)
    except (FileExistsError, NotADirectoryError):
        raise _collides(str(target), "not a folder, or reached through a link") from None
    try:
        if os.listdir(handle):  # noqa: PTH208 - of the open handle, not of a path
            raise _collides(str(target), "the folder to check out into is not empty")
        _write_folder(objects, tree, handle, b"", without)
    except FileExistsError as error:
        raise _collides(shown(os.fsencode(error.filename)), "two paths of the tree are one on this disk") from None
    finally:
        os.close(handle)


def _write_folder(objects: ObjectSession, tree: str, handle: int, prefix: bytes, without: frozenset[bytes]) -> None:
    for name, entry in objects.tree(tree).items():
        path = prefix + name
        if path in without:
            continue
        if entry.mode in (TREE, GITLINK):
            os.mkdir(name, 0o755, dir_fd=handle)
        if entry.mode == TREE:
            below = os.open(name, _ENTER, dir_fd=handle)
            try:
                _write_folder(objects, entry.sha, below, path + b"/", without)
            finally:
                os.close(below)
        elif entry.mode == SYMLINK:
            _make_link(objects.read(entry.sha, "blob"), name, handle, path)
        elif entry.mode != GITLINK:
            mode = 0o755 if entry.mode == EXECUTABLE else 0o644
            with os.fdopen(os.open(name, _CREATE, mode, dir_fd=handle), "wb", buffering=0) as file:
                # The mode is the tree's, not the tree's less the caller's umask.
                os.fchmod(file.fileno(), mode)
                _write_all(file.fileno(), objects.read(entry.sha, "blob"))


def _make_link(target: bytes, name: bytes, handle: int, path: bytes) -> None:
    if not target or b"\0" in target:
        raise ContractError("path_unreadable", where=shown(path), detail="a link that leads nowhere")
    os.symlink(target, name, dir_fd=handle)


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _collides(where: str, detail: str) -> ContractError:
    return ContractError("checkout_collides", where=where, detail=detail)
