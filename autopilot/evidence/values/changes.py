"""modified_files.json: what the engine saw change between base tree and judged tree."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from autopilot.evidence.values.records import Count, Record, TreeId, Value

MAX_FILES = 100_000


class ModifiedFile(Value):
    """One changed path. Blob ids as git has them: None where the file is not there on that side."""

    path: Annotated[str, Field(min_length=1, max_length=4_096)]
    change: Literal["added", "modified", "deleted", "mode"]
    old_sha: TreeId | None
    new_sha: TreeId | None
    added_lines: Count
    deleted_lines: Count
    binary: bool = False


class ModifiedFiles(Record):
    """modified_files.json. `tree` is the judged tree."""

    artifact = "modified_files.json"

    base_tree: TreeId
    files: Annotated[tuple[ModifiedFile, ...], Field(max_length=MAX_FILES)]

    @property
    def changed_lines(self) -> int:
        """Lines added and deleted, all files together."""
        return sum(file.added_lines + file.deleted_lines for file in self.files)

    def changes(self) -> tuple[tuple[str, str], ...]:
        """(path, kind of change) of each file, as `file_map.outside_plan` takes them."""
        return tuple((file.path, file.change) for file in self.files)
