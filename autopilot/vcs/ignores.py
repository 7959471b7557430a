"""Which paths the rulebook ignores, answered by `git check-ignore` in the rulebook's own work tree.

`--no-index` and an empty configuration leave exactly the `.gitignore` files as rules: no `info/exclude`, no
`core.excludesFile`, no index flag. Folders are asked about from the top down, a parent before what is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack

from autopilot.vcs.git import PIPE_SAFE_BYTES, Conversation
from autopilot.vcs.rulebook import IGNORE_FILE, Rulebook


class Ignores:
    """Answers for one scan; the git process starts with the first rule file and ends with `processes`."""

    def __init__(self, rulebook: Rulebook, processes: ExitStack) -> None:
        self._rulebook = rulebook
        self._processes = processes
        self._talk: Conversation | None = None

    def matching(self, files: Iterable[bytes], folders: Iterable[bytes]) -> set[bytes]:
        """Those of these paths that are ignored. Their parents must not be."""
        if not self._rulebook.has(IGNORE_FILE):
            return set()
        for folder in folders:
            self._rulebook.add_folder(folder)
        # A file where the rulebook has a folder would be judged as that folder: a rule `name/` would hide the file.
        # Such a path changed its nature since the base and is never ignored.
        asked = [*folders, *(path for path in files if not self._rulebook.is_folder(path))]
        if self._talk is None:
            self._talk = self._processes.enter_context(
                Conversation(
                    self._rulebook.place, "check-ignore", "--no-index", "-z", "--stdin", "--verbose", "--non-matching"
                )
            )
        ignored: set[bytes] = set()
        for batch in _batches(asked):
            # "./" in front: a name that starts with a colon would be read as pathspec magic.
            self._talk.send(b"".join(b"./" + path + b"\0" for path in batch))
            for path in batch:
                # Four fields: file, line, pattern, path. A pattern starting with "!" takes the path back in.
                fields = [self._talk.until(b"\0") for _ in range(4)]
                if fields[0] and not fields[2].startswith(b"!"):
                    ignored.add(path)
        return ignored


def _batches(paths: list[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for path in paths:
        if batch and size + len(path) + 3 > PIPE_SAFE_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(path)
        size += len(path) + 3
    if batch:
        yield batch
