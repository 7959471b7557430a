"""The engine's trees: the working tree as a git tree id, and everything that is asked of such a tree.

    trees = EngineTrees(repository, state_dir / "git", exclude=("state",))
    base = trees.snapshot(base_tree=None)                # at `task open`: the working tree's own rules
    judged = trees.snapshot(base_tree=base.tree)         # later: ignore rules and attributes as of the base
    trees.changes(base.tree, judged.tree)

Two snapshots of equal files under equal rules are equal ids, and the id is the one git gives a commit of these files.
Several processes may use one engine folder at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from autopilot.kernel.errors import ContractError
from autopilot.vcs import diff
from autopilot.vcs.attributes import Attributes, Conversion, normalise
from autopilot.vcs.checkout import check_out
from autopilot.vcs.diff import FileChange
from autopilot.vcs.entries import EXECUTABLE, FILE, SYMLINK, Entry
from autopilot.vcs.ignores import Ignores
from autopilot.vcs.objects import ObjectSession
from autopilot.vcs.repository import Repository
from autopilot.vcs.rulebook import Rulebook
from autopilot.vcs.scan import Scan, ScanRules, encoded, text


@dataclass(frozen=True, slots=True)
class TreeSnapshot:
    """The working tree at one moment.

    `dirty`: paths that differ from HEAD. `filtered`: paths under a filter driver (such as Git LFS), taken as committed
    where they are committed. `skipped`: sockets, pipes and devices, which no tree can hold.
    """

    tree: str
    dirty: tuple[str, ...]
    filtered: tuple[str, ...]
    skipped: tuple[str, ...] = ()


class EngineTrees:
    """Trees of one repository, kept in the engine's own git folder."""

    def __init__(self, repository: Repository, engine_dir: Path, *, exclude: tuple[str, ...]) -> None:
        """`exclude`: folders, relative to the root, that are the engine's; `engine_dir` itself always is."""
        self._repository = repository
        self._exclude = frozenset(encoded(folder.strip("/")) for folder in (*exclude, *_inside(repository, engine_dir)))
        self._store = repository.store(engine_dir.absolute())

    def snapshot(self, *, base_tree: str | None) -> TreeSnapshot:
        """The working tree now. Rules are `base_tree`'s; those of the working tree itself if None.

        Raises ContractError: `nested_repository`, `no_work_tree`, `path_not_utf8`, `path_reserved`,
        `path_unreadable`, `path_too_deep`, `file_too_large`.
        """
        if self._repository.bare:
            raise ContractError("no_work_tree", where=str(self._repository.root), detail="a bare repository")
        head_tree = self._repository.head_tree()
        with self._store.session() as objects, ExitStack() as processes:
            head = self._counted(objects.flatten(head_tree)) if head_tree else {}
            base = self._counted(objects.flatten(base_tree)) if base_tree else {}
            rulebook = Rulebook(objects.scratch)
            rulebook.add_tree(base, objects)
            rules = ScanRules(
                tracked={**base, **head},
                exclude=self._exclude,
                rulebook=rulebook,
                ignores=Ignores(rulebook, processes),
                attributes=Attributes(rulebook, processes),
                own_rules=base_tree is None,
            )
            taken = _Taken(objects, rules.tracked, base or head)
            scan = Scan(self._repository.root, rules, taken)
            scan.run()
            tree = objects.add_tree(taken.files)
            objects.flush()
        dirty = (path for path in head.keys() | taken.files.keys() if head.get(path) != taken.files.get(path))
        return TreeSnapshot(tree, _texts(dirty), _texts(taken.filtered), tuple(sorted(scan.skipped)))

    def changes(self, old: str, new: str) -> tuple[FileChange, ...]:
        """What differs between two trees, in order of path."""
        with self._store.session() as objects:
            return diff.changes(objects, old, new)

    def patch(self, old: str, new: str) -> bytes:
        """The unified diff of two trees; the same bytes each time."""
        with self._store.session() as objects:
            return diff.patch(objects, old, new)

    def overlaid(self, tree: str, other: str, paths: tuple[str, ...]) -> str:
        """`tree` with these paths as `other` has them."""
        with self._store.session() as objects:
            files, source = objects.flatten(tree), objects.flatten(other)
            for path in (encoded(path) for path in paths):
                if path in source:
                    files[path] = source[path]
                else:
                    files.pop(path, None)
            for entry in files.values():
                objects.keep(entry)
            made = objects.add_tree(files)
            objects.flush()
        return made

    def checkout(self, tree: str, target: Path, *, without: frozenset[str] = frozenset()) -> None:
        """Write a tree into `target` (made, or empty) as plain files; `without` paths are left out, folders whole."""
        with self._store.session() as objects:
            check_out(objects, tree, target, frozenset(encoded(path.rstrip("/")) for path in without))

    def read(self, tree: str, path: str) -> bytes | None:
        """Content of a regular file; None if the tree has none there, or something else (a link, a folder)."""
        with self._store.session() as objects:
            entry = objects.at(tree, encoded(path))
            return objects.read(entry.sha, "blob") if entry and entry.regular else None

    def paths(self, tree: str) -> tuple[str, ...]:
        """Every path of a tree that is not a folder, sorted."""
        with self._store.session() as objects:
            return _texts(objects.flatten(tree))

    def digest(self, tree: str, paths: Iterable[str]) -> dict[str, str]:
        """Blob ids of these paths; those the tree does not have are left out."""
        with self._store.session() as objects:
            files = objects.flatten(tree)
        return {path: files[encoded(path)].sha for path in paths if encoded(path) in files}

    def _counted(self, files: dict[bytes, Entry]) -> dict[bytes, Entry]:
        """Without the engine's own folders."""
        return {path: entry for path, entry in files.items() if not _below(path, self._exclude)}


class _Taken:
    """What a scan found, as entries whose objects are on their way into the store."""

    def __init__(self, objects: ObjectSession, tracked: Mapping[bytes, Entry], previous: Mapping[bytes, Entry]) -> None:
        self._objects = objects
        self._tracked = tracked
        self._previous = previous
        self.files: dict[bytes, Entry] = {}
        self.filtered: list[bytes] = []

    def file(self, path: bytes, data: bytes | None, executable: bool, how: Conversion) -> None:
        if how.filtered:
            self.filtered.append(path)
        mode = EXECUTABLE if executable else FILE
        if data is None:
            # What a filter program would make of the file is unknown: it is never run. The committed blob stands.
            committed = self._tracked[path]
            self._objects.keep(committed)
            self.files[path] = Entry(mode, committed.sha)
            return
        blob = normalise(data, how, lambda: self._previous_blob(path))
        self.files[path] = Entry(mode, self._objects.add("blob", blob))

    def link(self, path: bytes, target: bytes) -> None:
        self.files[path] = Entry(SYMLINK, self._objects.add("blob", target))

    def submodule(self, path: bytes, entry: Entry) -> None:
        self.files[path] = entry

    def _previous_blob(self, path: bytes) -> bytes | None:
        entry = self._previous.get(path)
        return self._objects.read(entry.sha, "blob") if entry and entry.regular else None


def _inside(repository: Repository, engine_dir: Path) -> tuple[str, ...]:
    folder = engine_dir.resolve()
    return (str(folder.relative_to(repository.root)),) if folder.is_relative_to(repository.root) else ()


def _below(path: bytes, folders: frozenset[bytes]) -> bool:
    while path:
        if path in folders:
            return True
        path = path.rpartition(b"/")[0]
    return False


def _texts(paths: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(text(path) for path in sorted(paths))
