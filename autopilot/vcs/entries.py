"""Git's tree objects as values: parse, format, build. Pure; the object store does the reading and writing.

A tree is judged as strictly as git's own fsck would: a name git cannot have written (`..`, a slash, any case of
`.git`) makes the object corrupt, so that no later code needs to distrust a path that came from a tree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from autopilot.kernel.errors import IntegrityError

TREE = 0o040000
FILE = 0o100644
EXECUTABLE = 0o100755
SYMLINK = 0o120000
GITLINK = 0o160000

_MODES = frozenset({TREE, FILE, EXECUTABLE, SYMLINK, GITLINK})
_RESERVED = frozenset({b"", b".", b".."})


@dataclass(frozen=True, slots=True)
class Entry:
    """What a tree says of one name: its mode and the id of its object (for a submodule, of its commit)."""

    mode: int
    sha: str

    @property
    def regular(self) -> bool:
        """True for a plain file, executable or not."""
        return self.mode in (FILE, EXECUTABLE)


def object_id(object_format: str, kind: str, data: bytes) -> str:
    """The id git gives an object of this kind and content."""
    digest = hashlib.new(object_format, b"%s %d\0" % (kind.encode(), len(data)), usedforsecurity=False)
    digest.update(data)
    return digest.hexdigest()


def parse_tree(data: bytes, *, id_bytes: int, where: str) -> dict[bytes, Entry]:
    """Names and entries of a tree object, in git's order. IntegrityError `git_object_corrupt` if it is not one."""
    entries: dict[bytes, Entry] = {}
    position = 0
    try:
        while position < len(data):
            space = data.index(b" ", position)
            end = data.index(b"\0", space)
            mode, name = int(data[position:space], 8), data[space + 1 : end]
            position = end + 1 + id_bytes
            sha = data[end + 1 : position]
            if len(sha) != id_bytes or name in entries or reserved_name(name) or b"/" in name:
                raise ValueError(name)  # noqa: TRY301
            entries[name] = Entry(_canonical_mode(mode), sha.hex())
    except ValueError as error:
        raise IntegrityError("git_object_corrupt", where=where, detail=f"not a tree git writes: {error}") from None
    return entries


def reserved_name(name: bytes) -> bool:
    """True for names that no tree may hold: empty, dots, and any case of `.git`."""
    return name in _RESERVED or name.lower() == b".git"


def format_tree(entries: Mapping[bytes, Entry]) -> bytes:
    """The tree object of these names. Folders sort as if their name ended in a slash, as git has it."""
    ordered = sorted(entries.items(), key=lambda item: item[0] + b"/" if item[1].mode == TREE else item[0])
    return b"".join(b"%o %s\0%s" % (entry.mode, name, bytes.fromhex(entry.sha)) for name, entry in ordered)


def build_trees(files: Mapping[bytes, Entry], object_format: str) -> Iterator[bytes]:
    """Every tree object over `files` (path to entry), children before parents, the root last."""
    folders: dict[bytes, dict[bytes, Entry]] = {b"": {}}
    for path, entry in files.items():
        folder, _, name = path.rpartition(b"/")
        while folder not in folders:
            folders[folder] = {}
            folder = folder.rpartition(b"/")[0]
        folders[path.rpartition(b"/")[0]][name] = entry
    # Deepest first, so that a folder's id is known when its parent is written.
    for folder in sorted(folders, key=lambda path: path.count(b"/") + 1 if path else 0, reverse=True):
        data = format_tree(folders[folder])
        yield data
        if folder:
            parent, _, name = folder.rpartition(b"/")
            folders[parent][name] = Entry(TREE, object_id(object_format, "tree", data))


def _canonical_mode(mode: int) -> int:
    if mode in _MODES:
        return mode
    # Old writers left group-writable and other file modes behind; git reads them as the two it knows.
    if mode & 0o170000 == 0o100000:
        return EXECUTABLE if mode & 0o100 else FILE
    raise ValueError(oct(mode))
