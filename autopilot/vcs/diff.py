"""What changed between two trees: paths and ids from the trees themselves, lines and text from `git diff-tree`.

Both trees and every changed blob are read and hashed here first and lie in the engine's store before git compares
them. No attribute, textconv or external diff applies: the place git works in has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from autopilot.vcs.entries import TREE, Entry
from autopilot.vcs.git import run_git
from autopilot.vcs.objects import ObjectSession
from autopilot.vcs.scan import text

_COMPARE = (
    "diff-tree",
    "-r",
    "--no-ext-diff",
    "--no-textconv",
    "--no-renames",
    "--no-color",
    "--ignore-submodules=none",
)
_PATCH = ("-p", "--binary", "--full-index", "--unified=3", "--src-prefix=a/", "--dst-prefix=b/")


@dataclass(frozen=True, slots=True)
class FileChange:
    """One path that differs. `change` is added, modified, deleted, or mode (same bytes, other mode).

    The ids are those of the blobs (of the commit, for a submodule), None on the side that lacks the path. Lines are
    counted as in `git diff --numstat`; a binary file has none. A renamed file is a deleted and an added one.
    """

    path: str
    change: str
    old_sha: str | None
    new_sha: str | None
    added_lines: int
    deleted_lines: int
    binary: bool


def changes(objects: ObjectSession, old: str, new: str) -> tuple[FileChange, ...]:
    """Every path that differs, in order of path."""
    pairs = _take_over(objects, old, new)
    counts = _line_counts(objects, old, new)
    found = []
    for path in sorted(pairs):
        before, after = pairs[path]
        added, deleted = counts.get(path, (0, 0))
        found.append(
            FileChange(
                path=text(path),
                change=_change(before, after),
                old_sha=before.sha if before else None,
                new_sha=after.sha if after else None,
                added_lines=max(added, 0),
                deleted_lines=max(deleted, 0),
                binary=added < 0,
            )
        )
    return tuple(found)


def patch(objects: ObjectSession, old: str, new: str) -> bytes:
    """The unified diff, the same bytes for the same trees, that `git apply` takes; binary files included."""
    _take_over(objects, old, new)
    return run_git(objects.own_place(), *_COMPARE, *_PATCH, old, new)


def _take_over(objects: ObjectSession, old: str, new: str) -> dict[bytes, tuple[Entry | None, Entry | None]]:
    """The differing paths; what git will read of them is verified and in the engine's store."""
    pairs = dict(_differing(objects, old, new))
    for pair in pairs.values():
        for entry in pair:
            if entry is not None:
                objects.keep(entry)
    objects.flush()
    return pairs


def _differing(
    objects: ObjectSession, old: str | None, new: str | None, *, prefix: bytes = b""
) -> Iterator[tuple[bytes, tuple[Entry | None, Entry | None]]]:
    before, after = (objects.kept_tree(sha) if sha else {} for sha in (old, new))
    for name in before.keys() | after.keys():
        was, now = before.get(name), after.get(name)
        if was == now:
            continue
        was_leaf, now_leaf = _leaf(was), _leaf(now)
        was_folder, now_folder = _folder_sha(was), _folder_sha(now)
        if was_folder or now_folder:
            yield from _differing(objects, was_folder, now_folder, prefix=prefix + name + b"/")
        if was_leaf or now_leaf:
            yield prefix + name, (was_leaf, now_leaf)


def _leaf(entry: Entry | None) -> Entry | None:
    return entry if entry and entry.mode != TREE else None


def _folder_sha(entry: Entry | None) -> str | None:
    return entry.sha if entry and entry.mode == TREE else None


def _line_counts(objects: ObjectSession, old: str, new: str) -> dict[bytes, tuple[int, int]]:
    counts = {}
    for line in run_git(objects.own_place(), *_COMPARE, "--numstat", "-z", old, new).split(b"\0"):
        if line:
            added, deleted, path = line.split(b"\t", 2)
            # git prints "-" for a binary file.
            counts[path] = (-1, -1) if added == b"-" else (int(added), int(deleted))
    return counts


def _change(before: Entry | None, after: Entry | None) -> str:
    if before is None:
        return "added"
    if after is None:
        return "deleted"
    return "mode" if before.sha == after.sha else "modified"
