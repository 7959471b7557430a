"""Numbered lists: `- AC-1: …` in spec.md, `- W-1: …` in plan.md, `- EC-1: …` in edge_cases.md.

An item that is not numbered is prose and belongs to no entry; one that looks numbered and is not so exactly is a fault,
for its writer believes it to be an entry. A number stands once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from autopilot.evidence.findings import Finding
from autopilot.evidence.markdown import Document, Item

Entry = TypeVar("Entry")


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbering:
    """The list of one section: the prefix of its ids, what one entry and several are called, and how many there may be.

    The codes are for an item that only looks numbered, a number that stands twice, and a list without an entry.
    """

    section: str
    prefix: str
    one: str
    several: str
    most: int
    malformed: str = "artifact_invalid"
    repeated: str = "artifact_invalid"
    none: str = "section_empty"

    @property
    def example(self) -> str:
        """How an entry begins."""
        return f"`- {self.prefix}-1: `"


def read_numbered(
    document: Document,
    numbering: Numbering,
    read: Callable[[str, str, Item], tuple[Entry, list[Finding]]],
) -> tuple[list[Entry], list[Finding]]:
    """The entries that `read` makes of id, text behind it and item, and every fault; at most as many as are allowed."""
    section = document.section(numbering.section)
    if section is None:
        detail = f"there is no section '## {numbering.section}'"
        return [], [Finding("section_missing", detail, item=numbering.section)]
    exact = re.compile(rf"({numbering.prefix}-[1-9][0-9]{{0,3}}): *(.*)")
    alike = re.compile(rf"(?i){numbering.prefix}[-_ ]?\d")
    entries: list[Entry] = []
    faults: list[Finding] = []
    seen: dict[str, int] = {}
    for item in section.items:
        match = exact.fullmatch(item.head)
        if not match:
            if alike.match(item.head):
                detail = f"{item.head[:40]!r} looks like {numbering.one}; it must begin {numbering.example}"
                faults.append(Finding(numbering.malformed, detail, item.line))
            continue
        name = match.group(1)
        first = seen.setdefault(name, item.line)
        if first != item.line:
            faults.append(Finding(numbering.repeated, f"it stands at line {first} too", item.line, name))
            continue
        entry, found = read(name, match.group(2), item)
        entries.append(entry)
        faults.extend(found)
    if not entries and not faults:
        faults.append(Finding(numbering.none, f"no line begins {numbering.example}", section.line, numbering.section))
    if len(entries) > numbering.most:
        detail = f"{len(entries)} {numbering.several}, at most {numbering.most}"
        faults.append(Finding("artifact_too_large", detail, section.line))
    return entries[: numbering.most], faults
