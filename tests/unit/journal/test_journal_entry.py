"""An entry is its bytes: they come back, they are named by their digest, and nothing else passes for them."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from autopilot.journal.entry import (
    SUMMARY_CHARACTERS_MAX,
    Anchor,
    JournalEntry,
    Output,
    SpanRef,
    entry_bytes,
    entry_digest,
    parse_entry,
    summary_of,
)
from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import encode, loads
from autopilot.kernel.errors import ContractError, IntegrityError

ENTRY = JournalEntry(
    task="T-1",
    origin="PLAN",
    target="THINK",
    epoch=1,
    caller=Caller("agent-7", session="s-19"),
    anchors=(Anchor("artifact", "spec.md", "a" * 64), Anchor("tree", "base", "b" * 40)),
    summary="The parser is changed in one place, because both callers go through it.",
    outputs=(Output("plan.md", "state/evidence/T-1/plan/plan.md", "c" * 64, "asserted"),),
    prompt="d" * 64,
    span=SpanRef("e" * 32, "f" * 16),
)
BARE = JournalEntry(task="T-1", origin="MONITOR", target="CLOSED", epoch=0, caller=Caller("ada", "human"))


@pytest.mark.parametrize("entry", [ENTRY, BARE])
def test_entry_comes_back_and_is_named_by_its_digest(entry: JournalEntry) -> None:
    data = entry_bytes(entry)
    assert parse_entry(data) == entry
    assert entry_digest(entry) == hashlib.sha256(data).hexdigest()


def changes() -> list[dict[str, Any]]:
    stored = loads(entry_bytes(ENTRY))
    broken = [{key: value for key, value in stored.items() if key != name} for name in stored]
    for name in stored:
        broken.extend(
            {**stored, name: value} for value in (7, True, {}, [1], "x", {"sha256": 1}) if value != stored[name]
        )
    broken.append({**stored, "surplus": 1})
    broken.append({**stored, "anchors": [{"kind": "hearsay", "name": "x", "digest": "y"}]})
    broken.append({**stored, "span": {"trace_id": "e" * 31, "span_id": "f" * 16}})
    broken.append(dict(reversed(stored.items())))
    return [form for form in broken if encode(form) not in _ENTRIES]


# Words and numbers that an entry may well have: changing them makes another entry, with another digest.
_ENTRIES = [encode({**ENTRY.as_dict(), **change}) for change in ({"summary": "x"}, {"epoch": 7}, {"task": "x"})]


@pytest.mark.parametrize("form", changes())
def test_any_other_form_is_refused(form: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="journal_malformed"):
        parse_entry(encode(form))


@pytest.mark.parametrize("data", [b"", b"[]", b"nonsense", entry_bytes(ENTRY) + b"\n", b" " + entry_bytes(ENTRY)])
def test_any_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="journal_malformed"):
        parse_entry(data)


def test_summary_has_a_limit() -> None:
    with pytest.raises(ContractError, match="journal_malformed"):
        JournalEntry(task="T-1", origin="PLAN", target="THINK", epoch=0, caller=BARE.caller, summary="x" * 2_001)


@pytest.mark.parametrize(
    ("document", "summary"),
    [
        ("# Plan\n\nChange `parse`\nin one place.\n\nMore.", "Change `parse` in one place."),
        ("# Plan\nUnder the heading.", "Under the heading."),
        ("<!-- hint -->\n\n- W-1: x\n\n1. y\n\n| a |\n\n> z\n\nAt last.", "At last."),
        ("```accept id=AC-1\n\npytest\n\n```\n\nProse.", "Prose."),
        ("# Only\n\n## headings", ""),
        ("", ""),
        ("x" * 5_000, "x" * (SUMMARY_CHARACTERS_MAX - 1) + "…"),
    ],
)
def test_summary_is_the_first_paragraph_of_prose(document: str, summary: str) -> None:
    assert summary_of(document) == summary
