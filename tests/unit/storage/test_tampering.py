"""A ledger, changed in every way the list of threats has: each one is found. Prints how many.

It is short: a case costs as much as there are lines, and finds as much in forty as in hundreds.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from autopilot.kernel.errors import IntegrityError
from autopilot.kernel.framing import frame
from autopilot.ledger.entry import ArtifactRef, LeaseRef
from autopilot.storage.files.store import FileStore, StoreParts
from autopilot.storage.files.verify import verify_files
from autopilot.testing.contracts.ledger import a_draft, grant

ENTRIES = 40


@pytest.fixture
def ledger(store: FileStore, parts: StoreParts) -> Path:
    """The segment file of a closed ledger."""
    with store.transaction() as tx:
        fence = grant(tx)
        artifact = ArtifactRef("plan.md", "ab" * 32, 1234, "text/markdown", "asserted")
        for number in range(ENTRIES - 3):
            lease = LeaseRef("T-1/PLAN", fence) if number % 3 else None
            tx.append(a_draft(number, lease=lease, artifacts=(artifact,), prompt="cd" * 32), sync=False)
        tx.append(a_draft())
    store.close()
    report = verify_files(parts.state_dir)
    assert (report.status, report.entries) == ("intact", ENTRIES)
    return store.paths.segment(0)


class Count:
    """Cases tried and found, by kind."""

    def __init__(self, segment: Path, state_dir: Path) -> None:
        self.tried: Counter[str] = Counter()
        self.missed: list[tuple[str, Any]] = []
        self.reasons: Counter[str] = Counter()
        self._segment = segment
        self._state_dir = state_dir

    def case(self, kind: str, content: bytes, what: Any, *, floor: int = 0) -> None:
        self._segment.write_bytes(content)
        self.tried[kind] += 1
        report = verify_files(self._state_dir, floor)
        if report.intact:
            self.missed.append((kind, what))
        self.reasons[str(report.reason)] += 1

    def conclude(self) -> None:
        total = sum(self.tried.values())
        print(f"tampering: {total} cases {dict(self.tried)}, found {total - len(self.missed)} as {dict(self.reasons)}")
        assert self.missed == []


def test_whole_lines_missing_at_the_end_are_found_by_hint_or_floor(ledger: Path, parts: StoreParts) -> None:
    """The chain of what is left verifies; the hint knows more, and without the hint the size kept elsewhere does."""
    lines = ledger.read_bytes().splitlines(keepends=True)
    count = Count(ledger, parts.state_dir)
    for kept in range(1, ENTRIES):
        count.case("by hint", b"".join(lines[:kept]), kept)
    (ledger.parents[1] / "head").unlink()
    for kept in range(1, ENTRIES):
        count.case("by floor", b"".join(lines[:kept]), kept, floor=ENTRIES)
    count.conclude()
    assert count.reasons == {"truncated": 2 * (ENTRIES - 1)}


def test_an_opener_refuses_what_verify_finds(ledger: Path, parts: StoreParts) -> None:
    """Every second line changed or deleted: no store opens on it. A cut is no damage to open, but the hint knows."""
    lines = ledger.read_bytes().splitlines(keepends=True)
    for index in range(0, ENTRIES, 2):
        for line in (b"", lines[index].replace(b'"actor"', b'"actoR"')):
            ledger.write_bytes(b"".join(lines[:index]) + line + b"".join(lines[index + 1 :]))
            with pytest.raises(IntegrityError):
                FileStore.open(parts)
    ledger.write_bytes(b"".join(lines)[:-5])
    with pytest.raises(IntegrityError) as caught:
        FileStore.open(parts)
    assert caught.value.code == "truncated"


def test_a_rewritten_last_line_is_found_by_the_hint(ledger: Path, parts: StoreParts) -> None:
    lines = ledger.read_bytes().splitlines(keepends=True)
    record = orjson.loads(lines[-1])["r"]
    ledger.write_bytes(b"".join(lines[:-1]) + frame(orjson.dumps({**record, "task": "T-9"})))
    report = verify_files(parts.state_dir)
    assert (report.reason, report.seq) == ("rewritten", ENTRIES - 1)
    with pytest.raises(IntegrityError) as caught:
        FileStore.open(parts)
    assert caught.value.code == "rewritten"
