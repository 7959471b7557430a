"""The working tree as it is on disk, read name by name; the index is never asked.

Rules kept here:

- What is on disk counts. Index flags, sparse patterns, `core.fileMode`, `core.symlinks` and the like say how git is to
  look away, and are not read.
- A path is left out only if the rulebook ignores it and neither HEAD nor the base tracks it.
- Folders and files are opened through their parent's handle without following links: a folder swapped for a link
  while the scan runs leads nowhere.
- Bytes are taken in one read, and those bytes are what the tree holds; modification times are not believed.
- A `.git` below the root is another repository: refused, since its files could not be judged as this one's.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from autopilot.kernel.errors import ContractError
from autopilot.kernel.files import open_linkless
from autopilot.vcs.attributes import Attributes, Conversion
from autopilot.vcs.entries import GITLINK, Entry, reserved_name
from autopilot.vcs.ignores import Ignores
from autopilot.vcs.rulebook import MAX_RULE_FILE_BYTES, NAMES, Rulebook

MAX_FILE_BYTES = 256 * 1024 * 1024
MAX_DEPTH = 200

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE, _LINK, _FOLDER, _OTHER = range(4)


class Sink(Protocol):
    """Who gets what the scan finds."""

    def file(self, path: bytes, data: bytes | None, executable: bool, how: Conversion) -> None:
        """A regular file; `data` is None for a filtered path, which is not read."""
        ...

    def link(self, path: bytes, target: bytes) -> None:
        """A symbolic link."""
        ...

    def submodule(self, path: bytes, entry: Entry) -> None:
        """A submodule that is not checked out: an empty folder."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRules:
    """What decides which paths count. `own_rules`: the working tree's own rule files are the rulebook."""

    tracked: Mapping[bytes, Entry]
    exclude: frozenset[bytes]
    rulebook: Rulebook
    ignores: Ignores
    attributes: Attributes
    own_rules: bool


@dataclass(slots=True)
class _Listing:
    """One folder's names by what they are, sorted."""

    files: list[bytes] = field(default_factory=list)
    links: list[bytes] = field(default_factory=list)
    folders: list[bytes] = field(default_factory=list)
    others: list[bytes] = field(default_factory=list)

    def all(self) -> list[bytes]:
        """Every path of the folder."""
        return [*self.files, *self.links, *self.folders, *self.others]


class Scan:
    """One pass over a working tree. `skipped` are the paths that cannot be in a tree: sockets, pipes, devices.

    With `names_only` no file but the rules is read, and repositories in the repository are collected in `nested`.
    """

    def __init__(self, root: Path, rules: ScanRules, sink: Sink, *, names_only: bool = False) -> None:
        self._root = root
        self._rules = rules
        self._sink = sink
        self._names_only = names_only
        self.nested: list[str] = []
        self._tracked_folders = _folders_of(rules.tracked)
        self.skipped: list[str] = []

    def run(self) -> None:
        """Hand everything that counts to the sink. ContractErrors name the path that stands in the way."""
        try:
            # The folders above are its owner's too: one that is a link by now leads to somebody else's files.
            handle = open_linkless(self._root, _OPEN | os.O_DIRECTORY)
        except OSError as error:
            raise _unreadable(os.fsencode(self._root), error) from None
        try:
            self._folder(handle, b"", hidden=False, depth=0)
        finally:
            os.close(handle)

    def _folder(self, handle: int, prefix: bytes, *, hidden: bool, depth: int) -> None:
        """One folder. `hidden`: it is ignored, and only what is tracked in it counts."""
        if depth > MAX_DEPTH:
            raise ContractError("path_too_deep", where=shown(prefix), detail=f"more than {MAX_DEPTH} folders deep")
        listing = self._list(handle, prefix)
        if listing is None:
            return
        if self._rules.own_rules:
            self._learn_rules(handle, prefix, listing)
        ignored = self._ignored(listing, hidden=hidden)
        for path in listing.all():
            if path not in ignored:
                _check_name(path)
        self.skipped += [text(path) for path in listing.others if path not in ignored]
        for path in listing.links:
            if path not in ignored:
                self._sink.link(path, _read_link(handle, path))
        if not self._names_only:
            self._files(handle, [path for path in listing.files if path not in ignored])
        for path in listing.folders:
            if path not in ignored:
                self._enter(handle, path, hidden=hidden, depth=depth)
            elif path in self._tracked_folders or path in self._rules.tracked:
                self._enter(handle, path, hidden=True, depth=depth)

    def _list(self, handle: int, prefix: bytes) -> _Listing | None:
        """What is in a folder; None for a nested repository, where those are only collected."""
        listing = _Listing()
        try:
            with os.scandir(handle) as entries:
                found = sorted((os.fsencode(entry.name), _nature(entry)) for entry in entries)
        except OSError as error:
            raise _unreadable(prefix, error) from None
        by_nature = {
            _FILE: listing.files,
            _LINK: listing.links,
            _FOLDER: listing.folders,
            _OTHER: listing.others,
        }
        for name, nature in found:
            path = prefix + name
            if path in self._rules.exclude or path == b".git":
                continue
            if name == b".git" and self._names_only:
                self.nested.append(shown(prefix))
                return None
            if name == b".git":
                raise ContractError(
                    "nested_repository", where=shown(prefix), detail=f"{shown(prefix)} is a git repository of its own"
                )
            by_nature[nature].append(path)
        return listing

    def _learn_rules(self, handle: int, prefix: bytes, listing: _Listing) -> None:
        for name in NAMES:
            if prefix + name in listing.files:
                self._rules.rulebook.add(prefix + name, _read(handle, prefix + name, MAX_RULE_FILE_BYTES)[0])

    def _ignored(self, listing: _Listing, *, hidden: bool) -> set[bytes]:
        leaves = [*listing.files, *listing.links, *listing.others]
        if hidden:
            return {path for path in leaves if path not in self._rules.tracked} | set(listing.folders)
        matching = self._rules.ignores.matching(leaves, listing.folders)
        return {path for path in matching if path not in self._rules.tracked or path in listing.folders}

    def _files(self, handle: int, paths: list[bytes]) -> None:
        for path, how in zip(paths, self._rules.attributes.of(paths), strict=True):
            committed = self._rules.tracked.get(path)
            if how.filtered and committed is not None and committed.regular:
                mode = os.stat(_name(path), dir_fd=handle, follow_symlinks=False).st_mode
                self._sink.file(path, None, bool(mode & stat.S_IXUSR), how)
                continue
            try:
                data, executable = _read(handle, path, MAX_FILE_BYTES)
            except FileNotFoundError:
                # Deleted since the folder was listed: as good as deleted before.
                continue
            self._sink.file(path, data, executable, how)

    def _enter(self, handle: int, path: bytes, *, hidden: bool, depth: int) -> None:
        try:
            below = os.open(_name(path), _OPEN | os.O_DIRECTORY, dir_fd=handle)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _unreadable(path, error) from None
        try:
            tracked = self._rules.tracked.get(path)
            if tracked is not None and tracked.mode == GITLINK:
                if not os.listdir(below):  # noqa: PTH208 - of the open handle, not of a path
                    self._sink.submodule(path, tracked)
                    return
                hidden = False
            self._folder(below, path + b"/", hidden=hidden, depth=depth + 1)
        finally:
            os.close(below)


def text(path: bytes) -> str:
    """A path as text. ContractError `path_not_utf8` for one that the ledger could not hold."""
    try:
        return path.decode("utf-8")
    except UnicodeDecodeError:
        raise ContractError("path_not_utf8", where=shown(path), detail=f"{shown(path)} is not UTF-8") from None


def encoded(path: str) -> bytes:
    """A path as git has it. Text that is not Unicode (a lone surrogate) becomes a name that no tree here has."""
    return path.encode("utf-8", "backslashreplace")


def shown(path: bytes) -> str:
    """A path for people: bytes that are not UTF-8 as `\\xe9`."""
    return path.decode("utf-8", "backslashreplace").rstrip("/")


def _check_name(path: bytes) -> None:
    text(path)
    if reserved_name(_name(path)):
        raise ContractError("path_reserved", where=shown(path), detail=f"git reserves the name {shown(path)}")


def _name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _nature(entry: os.DirEntry[str]) -> int:
    if entry.is_symlink():
        return _LINK
    if entry.is_dir(follow_symlinks=False):
        return _FOLDER
    return _FILE if entry.is_file(follow_symlinks=False) else _OTHER


def _folders_of(paths: Mapping[bytes, Entry]) -> set[bytes]:
    folders: set[bytes] = set()
    for path in paths:
        folder = path.rpartition(b"/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition(b"/")[0]
    return folders


def _read(handle: int, path: bytes, cap: int) -> tuple[bytes, bool]:
    """Bytes and execute bit of a regular file. FileNotFoundError passes: deletion is no fault."""
    try:
        file = os.open(_name(path), _OPEN | os.O_NONBLOCK, dir_fd=handle)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise ContractError("path_unreadable", where=shown(path), detail="replaced while it was read")
        return _drain(file, status.st_size, path, cap), bool(status.st_mode & stat.S_IXUSR)
    finally:
        os.close(file)


def _drain(file: int, size: int, path: bytes, cap: int) -> bytes:
    if size > cap:
        # Before anything is read: a sparse file can claim more than there is memory.
        raise _too_large(path, cap)
    parts, held = [], 0
    # One byte more than the size: the common case ends after the second, empty read.
    while chunk := os.read(file, max(size + 1 - held, 1 << 16)):
        parts.append(chunk)
        held += len(chunk)
        if held > cap:
            raise _too_large(path, cap)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(path: bytes, cap: int) -> ContractError:
    return ContractError("file_too_large", where=shown(path), detail=f"{shown(path)} is over {cap} bytes")


def _read_link(handle: int, path: bytes) -> bytes:
    try:
        return os.readlink(_name(path), dir_fd=handle)
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: bytes, error: OSError) -> ContractError:
    return ContractError("path_unreadable", where=shown(path), detail=f"{shown(path)}: {error.strerror}")
