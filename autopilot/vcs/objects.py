"""The engine's own store of git objects, and the only way objects are read.

Rules kept here:

- Every object read is hashed again. An object that an agent planted in the repository under another content's id is
  IntegrityError `git_object_corrupt`, never believed. (git itself does not check this on most reads.)
- What a tree of the engine needs is written into the engine's store, never borrowed from the repository: a
  `git gc --prune=now` or a rewritten history there takes nothing away. See docs/adr/0003-engine-object-store.md.
- Objects are on disk, synced, before `flush` returns. Concurrent writers are safe: names are content.

A few objects are written loose, many as one pack (with a .keep, so that no gc touches it).
"""

from __future__ import annotations

import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from autopilot.kernel.errors import ContractError, IntegrityError, StorageError
from autopilot.vcs.entries import SYMLINK, TREE, Entry, build_trees, object_id, parse_tree
from autopilot.vcs.git import (
    MAX_OBJECT_BYTES,
    Conversation,
    ConversationEndedError,
    Place,
    scratch,
    write_git_dir,
)
from autopilot.vcs.packs import PackWriter, sync_folder, write_loose
from autopilot.vcs.plain_objects import PlainObjects

LOOSE_LIMIT = 32
MAX_PATHS = 1_000_000
_TREES_REMEMBERED = 64
_SCRATCH_LIFE_SECONDS = 24 * 3600
_PACK_FILES = frozenset({".pack", ".idx", ".rev", ".bitmap", ".mtimes", ".keep", ".promisor"})


class ObjectStore:
    """Objects below `engine_dir/objects` (None: none of our own), then those of the repository at `foreign`.

    `linkless`: see `Repository`; those of the repository are read by `PlainObjects` then.
    """

    def __init__(self, engine_dir: Path | None, foreign: Path, object_format: str, *, linkless: bool = False) -> None:
        self.object_format = object_format
        self._linkless = linkless
        self._engine_dir = engine_dir
        self._foreign = foreign

    @contextmanager
    def session(self) -> Iterator[ObjectSession]:
        """The store opened: git processes are started on demand and end with the session."""
        if not self._linkless:
            _refuse_special(self._foreign)
        parent: Path | None = None
        if self._engine_dir is not None:
            parent = self._prepared(self._engine_dir)
        with scratch(parent, self.object_format) as place, ExitStack() as open_processes:
            own = place.with_objects(self._engine_dir / "objects") if self._engine_dir else None
            plain = PlainObjects(self._foreign, open_processes) if self._linkless else None
            foreign = plain.packed(place) if plain else place.with_objects(self._foreign)
            yield ObjectSession(own, foreign, self.object_format, open_processes, plain)

    def _prepared(self, engine_dir: Path) -> Path:
        """The engine's folder made, and swept of what killed processes left behind; its place for scratch folders."""
        workshop = engine_dir / "tmp"
        if not workshop.is_dir():
            write_git_dir(engine_dir, self.object_format)
            workshop.mkdir(exist_ok=True)
            sync_folder(engine_dir)
            sync_folder(engine_dir.parent)
        for left in workshop.iterdir():
            try:
                if time.time() - left.stat().st_mtime > _SCRATCH_LIFE_SECONDS:
                    shutil.rmtree(left, ignore_errors=True)
            except FileNotFoundError:
                # Another process has just finished with it.
                continue
        return workshop


class ObjectSession:
    """Reads with verification, writes collected until `flush`."""

    def __init__(
        self,
        own: Place | None,
        foreign: Place,
        object_format: str,
        processes: ExitStack,
        plain: PlainObjects | None = None,
    ) -> None:
        self.object_format = object_format
        self.scratch = foreign.with_objects(foreign.git_dir / "objects")
        self._engine = own
        self._foreign = foreign
        self._plain = plain
        self._sources = [place for place in (own, foreign) if place is not None]
        self._processes = processes
        self._talks: dict[Path, Conversation] = {}
        self._known: set[str] = set()
        self._pending: dict[str, tuple[str, bytes]] = {}
        self._pack: PackWriter | None = None

    def read(self, sha: str, kind: str) -> bytes:
        """Content of an object. IntegrityError `git_object_corrupt`, ContractError `git_object_missing`."""
        if sha in self._pending:
            return self._pending[sha][1]
        for place in self._sources:
            found, data = self._loose(place, sha) or self._content(place, sha, kind)
            if not found:
                continue
            # Hash again: git trusts the name of what it reads, and the repository's objects are the agent's.
            if found != kind or object_id(self.object_format, found, data) != sha:
                raise _corrupt(place, sha, f"a {found} that does not have its id as a {kind}")
            return data
        raise ContractError("git_object_missing", where=sha, detail=f"no {kind} {sha} here")

    def _loose(self, place: Place, sha: str) -> tuple[str, bytes] | None:
        return self._plain.loose(sha) if self._plain is not None and place is self._foreign else None

    def _content(self, place: Place, sha: str, kind: str) -> tuple[str, bytes]:
        """What git says: its kind (empty: there is none) and its bytes."""
        try:
            found, size = self._ask(place, b"contents", sha)
            if size > MAX_OBJECT_BYTES:
                raise ContractError("file_too_large", where=sha, detail=f"a {kind} of {size} bytes")
            return found, self._talk(place).exactly(size + 1)[:-1] if found else b""
        except ConversationEndedError:
            raise _corrupt(place, sha, f"git cannot read the {kind}") from None

    def kind(self, sha: str) -> tuple[str, str]:
        """(full id, kind) of a full or shortened id; ("", "") when there is none or more than one."""
        loose_ids = self._plain.ids(sha) if self._plain is not None else frozenset()
        for place in self._sources:
            # A shortened id can stand for any name in its folder.
            for loose in (place.objects / sha[:2]).glob(f"{sha[2:]}*"):
                _refuse_pipe(loose)
            talk = self._talk(place)
            talk.send(b"info %s\n" % sha.encode())
            words = talk.until(b"\n").split()
            found = {words[0].decode()} if len(words) == 3 else set()
            known = found | (loose_ids if place is self._foreign else frozenset())
            # Neither git nor we may choose among several: git says so of what is packed.
            if len(known) != 1 or words[1:] == [b"ambiguous"]:
                continue
            (whole,) = known
            read = self._loose(place, whole)
            return whole, read[0] if read else words[1].decode()
        return "", ""

    def tree(self, sha: str) -> dict[bytes, Entry]:
        """Names and entries of one tree."""
        return parse_tree(self.read(sha, "tree"), id_bytes=len(sha) // 2, where=sha)

    def flatten(self, sha: str, prefix: bytes = b"") -> dict[bytes, Entry]:
        """Every path below a tree that is not a folder. ContractError `tree_too_large` for more than MAX_PATHS.

        A few small trees that name one another can spell out more paths than any memory holds.
        """
        found: dict[bytes, Entry] = {}
        waiting = [(prefix, sha)]
        lately: dict[str, dict[bytes, Entry]] = {}
        while waiting:
            folder, folder_sha = waiting.pop()
            if folder_sha not in lately:
                if len(lately) >= _TREES_REMEMBERED:
                    lately.clear()
                lately[folder_sha] = self.tree(folder_sha)
            for name, entry in lately[folder_sha].items():
                if entry.mode == TREE:
                    waiting.append((folder + name + b"/", entry.sha))
                else:
                    found[folder + name] = entry
            if len(found) + len(waiting) > MAX_PATHS:
                raise ContractError("tree_too_large", where=sha, detail=f"more than {MAX_PATHS} paths")
        return found

    def at(self, tree: str, path: bytes) -> Entry | None:
        """The entry of one path, None if the tree does not have it."""
        entry = Entry(TREE, tree)
        for name in path.split(b"/"):
            if entry.mode != TREE:
                return None
            below = self.tree(entry.sha).get(name)
            if below is None:
                return None
            entry = below
        return entry

    def add(self, kind: str, data: bytes) -> str:
        """Have this object in the engine's store after the next `flush`; its id."""
        sha = object_id(self.object_format, kind, data)
        if sha in self._known or self._own_has(sha):
            self._known.add(sha)
            return sha
        self._known.add(sha)
        self._pending[sha] = (kind, data)
        if len(self._pending) > LOOSE_LIMIT:
            # Spill to the pack as we go: memory holds a few files, not the repository.
            self._spill()
        return sha

    def kept_tree(self, sha: str) -> dict[bytes, Entry]:
        """`tree`, its object copied into the engine's store like `keep`."""
        data = self.read(sha, "tree")
        self.add("tree", data)
        return parse_tree(data, id_bytes=len(sha) // 2, where=sha)

    def keep(self, entry: Entry) -> None:
        """Copy the blob of an entry from wherever it is; folders and submodules hold nothing to copy."""
        if entry.regular or entry.mode == SYMLINK:
            self.add("blob", self.read(entry.sha, "blob"))

    def add_tree(self, files: dict[bytes, Entry]) -> str:
        """Have the trees over `files` after the next `flush`; the root's id."""
        return [self.add("tree", data) for data in build_trees(files, self.object_format)][-1]

    def flush(self) -> None:
        """Everything added is in the engine's store, synced."""
        own = self.own_place()
        if self._pack is not None:
            self._spill()
            self._pack.finish()
            self._pack = None
        for sha, (kind, data) in self._pending.items():
            write_loose(own.objects, sha, kind, data)
        self._pending.clear()

    def _spill(self) -> None:
        if self._pack is None:
            self._pack = PackWriter(self.own_place(), self.object_format)
            self._processes.callback(self._pack.close)
        for kind, data in self._pending.values():
            self._pack.append(kind, data)
        self._pending.clear()

    def own_place(self) -> Place:
        """Where git works on the engine's store. StorageError where the session only reads a repository."""
        if self._engine is None:
            raise StorageError("git_failed", detail="this store is for reading")
        return self._engine

    def _own_has(self, sha: str) -> bool:
        return bool(self._ask(self.own_place(), b"info", sha)[0])

    def _talk(self, place: Place) -> Conversation:
        if place.objects not in self._talks:
            talk = Conversation(place, "cat-file", "--batch-command")
            self._talks[place.objects] = self._processes.enter_context(talk)
        return self._talks[place.objects]

    def _ask(self, place: Place, verb: bytes, sha: str) -> tuple[str, int]:
        _refuse_pipe(place.objects / sha[:2] / sha[2:])
        talk = self._talk(place)
        talk.send(b"%s %s\n" % (verb, sha.encode()))
        words = talk.until(b"\n").split()
        if len(words) != 3 or words[0].decode() != sha:
            return "", 0
        return words[1].decode(), int(words[2])


def _refuse_special(objects: Path) -> None:
    """ContractError `path_unreadable` for a pipe or device that git would open, and wait at, before it answers."""
    pack = objects / "pack"
    packs = [path for path in pack.iterdir() if path.suffix in _PACK_FILES] if pack.is_dir() else []
    for path in (objects / "info" / "alternates", *packs):
        _refuse_pipe(path)


def _refuse_pipe(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ContractError("path_unreadable", where=str(path), detail="not a regular file")


def _corrupt(place: Place, sha: str, detail: str) -> IntegrityError:
    return IntegrityError("git_object_corrupt", where=f"{place.objects}: {sha}", detail=detail)
