"""The objects of a repository whose owner is not who reads them: each file opened on its own, and through no link.

git follows `objects/info/alternates`, and links, to whatever the process may read. Where the owner may read less than
that process, both would have it fetch another's objects. So git gets a folder of the engine's, in which each pack is a
descriptor that was opened here, and loose objects are read here. What the owner exchanges meanwhile changes nothing.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import zlib
from contextlib import ExitStack
from pathlib import Path

from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.kernel.files import open_linkless
from autopilot.vcs.git import MAX_OBJECT_BYTES, Place

MAX_PACKS = 100

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_ID = re.compile(r"[0-9a-f]{4,64}")
_PACK = re.compile(r"([a-z]+-[0-9a-f]{40,64})\.pack")
_LONGEST_HEADER = 64


class PlainObjects:
    """The object folder at `objects`, held open until `opened` ends.

    ContractError `unsupported_repository` for objects that are borrowed, linked, or in more than MAX_PACKS packs.
    """

    def __init__(self, objects: Path, opened: ExitStack) -> None:
        self._where = objects
        self._opened = opened
        try:
            self._folder = open_linkless(objects, _FOLDER)
        except OSError as error:
            raise self._strange(".", error.strerror or str(error)) from None
        opened.callback(os.close, self._folder)
        self._refuse_borrowed()

    def packed(self, place: Place) -> Place:
        """`place` over the packs, as they are now."""
        target = place.git_dir / "plain"
        (target / "pack").mkdir(parents=True)
        handles: list[int] = []
        folder = self._entered("pack")
        if folder is not None:
            with ExitStack() as leaving:
                leaving.callback(os.close, folder)
                names = os.listdir(folder)  # noqa: PTH208 - a descriptor, not a path
                packs = sorted(found[1] for found in map(_PACK.fullmatch, names) if found)
                if len(packs) > MAX_PACKS:
                    raise self._strange("pack", f"more than {MAX_PACKS} packs", "run `git gc`")
                for pack in packs:
                    handles += self._held(folder, pack, target / "pack")
        return Place(place.git_dir, place.work_tree, target, tuple(handles))

    def loose(self, sha: str) -> tuple[str, bytes] | None:
        """Kind and content of a loose object, not yet hashed; None if there is none of that id."""
        folder = self._entered(sha[:2]) if _ID.fullmatch(sha) else None
        if folder is None:
            return None
        try:
            handle = self._file(folder, sha[2:], f"{sha[:2]}/{sha[2:]}")
        finally:
            os.close(folder)
        if handle is None:
            return None
        with os.fdopen(handle, "rb") as file:
            packed = file.read(MAX_OBJECT_BYTES + 1)
        try:
            data = zlib.decompressobj().decompress(packed, MAX_OBJECT_BYTES + _LONGEST_HEADER)
            header, content = data.split(b"\0", 1)
            kind, size = header.decode("ascii").split(" ")
            whole = int(size) == len(content)
        except (zlib.error, ValueError) as error:
            raise IntegrityError("git_object_corrupt", where=f"{self._where}: {sha}", detail=str(error)) from None
        if int(size) > MAX_OBJECT_BYTES:
            raise ContractError("file_too_large", where=sha, detail=f"a {kind} of {size} bytes")
        if not whole:
            raise IntegrityError("git_object_corrupt", where=f"{self._where}: {sha}", detail="of another length")
        return kind, content

    def ids(self, start: str) -> frozenset[str]:
        """The ids of the loose objects that begin with `start`, four digits or more."""
        folder = self._entered(start[:2]) if _ID.fullmatch(start) else None
        if folder is None:
            return frozenset()
        try:
            names = os.listdir(folder)  # noqa: PTH208 - a descriptor, not a path
        finally:
            os.close(folder)
        return frozenset(
            found for name in names if _ID.fullmatch(found := start[:2] + name) and found.startswith(start)
        )

    def _refuse_borrowed(self) -> None:
        """For the words alone: what is borrowed is not found in any case."""
        info = self._entered("info")
        if info is None:
            return
        try:
            os.stat("alternates", dir_fd=info, follow_symlinks=False)
        except OSError:
            return
        finally:
            os.close(info)
        remedy = "run `git repack -a -d` and remove objects/info/alternates"
        raise self._strange("info/alternates", "objects are borrowed from another repository", remedy)

    def _held(self, folder: int, pack: str, target: Path) -> list[int]:
        """The descriptors of a pack and its index, named in `target`; none if it has gone meanwhile."""
        found: list[tuple[str, int]] = []
        for name in (f"{pack}.pack", f"{pack}.idx"):
            handle = self._file(folder, name, f"pack/{name}")
            if handle is None:
                return []
            self._opened.callback(os.close, handle)
            found.append((name, handle))
        for name, handle in found:
            # Of the process that opens it: git has been handed the same descriptors.
            (target / name).symlink_to(f"/proc/self/fd/{handle}")
        return [handle for _, handle in found]

    def _entered(self, name: str) -> int | None:
        try:
            return os.open(name, _FOLDER, dir_fd=self._folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._strange(name, error.strerror or str(error)) from None

    def _file(self, folder: int, name: str, shown: str) -> int | None:
        try:
            handle = os.open(name, _FILE, dir_fd=folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            detail = "a link" if error.errno in (errno.ELOOP, errno.EMLINK) else error.strerror or str(error)
            raise self._strange(shown, detail) from None
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise self._strange(shown, "not a regular file")
        return handle

    def _strange(self, name: str, detail: str, remedy: str = "") -> ContractError:
        where = str(self._where / name)
        return ContractError("unsupported_repository", where=where, detail=detail, remedy=remedy or "run `git fsck`")
