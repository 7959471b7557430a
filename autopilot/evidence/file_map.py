"""file_map.json as a value, and the plan lock: which changes lie outside it.

A planned file is named literally, with the kind of change; only what a command reproduces byte for byte may be named
by a pattern (`generated`, with `by`, the command).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from autopilot.evidence.paths import matches
from autopilot.evidence.strict_json import read_json
from autopilot.evidence.validation import first_error
from autopilot.kernel.errors import ContractError
from autopilot.kernel.reasons import Reason

NAME = "file_map.json"
MAX_BYTES = 512 * 1024
MAX_ENTRIES = 2_000
# Each is a command to run, and is held against every changed file.
MAX_GENERATED = 64
MAX_SHOWN = 20

PlannedChange = Literal["added", "modified", "deleted", "generated"]
Text = Annotated[str, Field(min_length=1, max_length=2_000)]


class FileMapEntryModel(BaseModel):
    """One entry as it stands in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, title="FileMapEntry")

    path: Annotated[str, Field(min_length=1, max_length=1_024, description="a path; a pattern for `generated` only")]
    change: PlannedChange
    why: Text
    by: Annotated[list[Text] | None, Field(min_length=1, max_length=64, description="for `generated`: the command")] = (
        None
    )


FILE_MAP: TypeAdapter[list[FileMapEntryModel]] = TypeAdapter(
    Annotated[list[FileMapEntryModel], Field(min_length=1, max_length=MAX_ENTRIES, title="file_map.json")]
)


@dataclass(frozen=True, slots=True)
class FileMapEntry:
    """One planned file, or one pattern of generated files with the command that writes them."""

    path: str
    change: PlannedChange
    why: str
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileMap:
    """What the plan says IMPLEMENT will touch."""

    entries: tuple[FileMapEntry, ...]

    @property
    def added(self) -> frozenset[str]:
        """Paths that the plan creates; later documents may cite them."""
        return frozenset(entry.path for entry in self.entries if entry.change == "added")

    def generated_by(self, path: str) -> tuple[str, ...]:
        """The command said to write `path`, or nothing."""
        for entry in self.entries:
            if entry.change == "generated" and matches(entry.path, path):
                return entry.by
        return ()

    def allows(self, path: str, change: str) -> bool:
        """Whether the plan has `change` (`added`, `modified`, `deleted` or `mode`) for `path`."""
        kind = "modified" if change == "mode" else change
        planned = any(entry.path == path and entry.change == kind for entry in self.entries)
        return planned or (change != "deleted" and bool(self.generated_by(path)))


def parse_file_map(data: bytes) -> FileMap:
    """The file map in `data`; ContractError where it does not fit. Its paths are `rules.plan`'s to judge."""
    value: Any = read_json(data, name=NAME, cap=MAX_BYTES)
    try:
        models = FILE_MAP.validate_python(value)
    except ValidationError as error:
        raise first_error(NAME, error) from None
    generated = sum(model.change == "generated" for model in models)
    if generated > MAX_GENERATED:
        raise ContractError("artifact_invalid", where=NAME, detail=f"{generated} patterns, at most {MAX_GENERATED}")
    return FileMap(tuple(FileMapEntry(m.path, m.change, m.why, tuple(m.by or ())) for m in models))


def outside_paths(file_map: FileMap, changes: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Those of `changes`, as (path, kind of change), that the plan does not have, sorted."""
    by_path: dict[str, set[str]] = {}
    for entry in file_map.entries:
        by_path.setdefault(entry.path, set()).add(entry.change)
    outside = []
    for path, change in changes:
        kind = "modified" if change == "mode" else change
        # A command is said to write these: that one is gone, it did not write.
        generated = kind != "deleted" and file_map.generated_by(path)
        if kind not in by_path.get(path, ()) and not generated:
            outside.append((path, change))
    return tuple(sorted(outside))


def outside_plan(file_map: FileMap, changes: Iterable[tuple[str, str]], *, subject: str = "") -> tuple[Reason, ...]:
    """One `outside_plan` reason that names the files, or none. `subject` is the digest an approval would name."""
    outside = outside_paths(file_map, changes)
    if not outside:
        return ()
    shown = ", ".join(f"{path} ({change})" for path, change in outside[:MAX_SHOWN])
    more = f" and {len(outside) - MAX_SHOWN} more" if len(outside) > MAX_SHOWN else ""
    return (Reason("outside_plan", detail=f"not in file_map.json: {shown}{more}", where=NAME, subject=subject),)
