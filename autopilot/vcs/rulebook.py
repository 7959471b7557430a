"""The `.gitignore` and `.gitattributes` files that count, laid out where nothing else lies.

git evaluates ignore rules and attributes from files in a work tree. The rules of a task are those of its base, not
those an agent has written since, so that they are copied into an empty work tree of the engine's own; `ignores` and
`attributes` ask git there. Only regular files count, as in git itself.
"""

from __future__ import annotations

import os
from pathlib import Path

from autopilot.vcs.entries import Entry
from autopilot.vcs.git import Place
from autopilot.vcs.objects import ObjectSession

IGNORE_FILE = b".gitignore"
ATTRIBUTES_FILE = b".gitattributes"
NAMES = (IGNORE_FILE, ATTRIBUTES_FILE)
MAX_RULE_FILE_BYTES = 4 * 1024 * 1024


class Rulebook:
    """Rule files copied so far, below `place.work_tree`."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._root = os.fsencode(place.work_tree)
        self._folders: set[bytes] = {b""}
        self._present: set[bytes] = set()

    def has(self, name: bytes) -> bool:
        """True once any rule file of this name was copied: without one, git need not be asked."""
        return name in self._present

    def is_folder(self, path: bytes) -> bool:
        """True if the layout has a folder at `path`, which git would take for the one asked about."""
        return path in self._folders

    def add(self, path: bytes, data: bytes) -> None:
        """Copy one rule file."""
        folder, _, name = path.rpartition(b"/")
        self.add_folder(folder)
        Path(os.fsdecode(self._root + b"/" + path)).write_bytes(data)
        self._present.add(name)

    def add_folder(self, folder: bytes) -> None:
        """Have a folder at this path: git applies `name/` rules only to what it finds to be one."""
        if folder not in self._folders:
            Path(os.fsdecode(self._root + b"/" + folder)).mkdir(parents=True, exist_ok=True)
            while folder not in self._folders:
                self._folders.add(folder)
                folder = folder.rpartition(b"/")[0]

    def add_tree(self, files: dict[bytes, Entry], objects: ObjectSession) -> None:
        """Copy every rule file of a flattened tree."""
        for path, entry in files.items():
            if entry.regular and path.rpartition(b"/")[2] in NAMES:
                self.add(path, objects.read(entry.sha, "blob"))
