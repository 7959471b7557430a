"""What the document rules have in common: from bytes to a document, from sections and items to passages."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from autopilot.evidence.findings import Finding
from autopilot.evidence.grounding import HINT_STANDS, Passage, has_hint
from autopilot.evidence.markdown import MAX_BYTES, Document, Section, decode, parse_document


def read_document(data: bytes, name: str) -> Document:
    """The document in `data`; ContractError where it is no text, too large, or breaks `markdown`'s rules."""
    return parse_document(decode(data, name=name, cap=MAX_BYTES), name=name)


def hints_left(document: Document) -> tuple[Finding, ...]:
    """`skeleton_unchanged` for each line that still carries a hint, in a fence too; comments are hidden and free."""
    return tuple(
        Finding("skeleton_unchanged", HINT_STANDS, line.number)
        for line in document.lines
        if has_hint(line.raw if line.fenced else line.text)
    )


def required_sections(document: Document, titles: Iterable[str]) -> tuple[tuple[Section, ...], tuple[Finding, ...]]:
    """The sections of these titles, and `section_missing` for each that is not there."""
    present, missing = [], []
    for title in titles:
        section = document.section(title)
        if section is None:
            missing.append(Finding("section_missing", f"there is no section '## {title}'", item=title))
        else:
            present.append(section)
    return tuple(present), tuple(missing)


def passages_of(sections: Sequence[Section]) -> tuple[Passage, ...]:
    """Each section's prose as one passage."""
    return tuple(Passage(section.title, section.line, section.prose) for section in sections)
