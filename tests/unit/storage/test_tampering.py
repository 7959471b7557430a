"""A ledger of 200 entries, changed in every way the list of threats has: each one is found. Prints how many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
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

ENTRIES = 200


@pytest.fixture
def ledger(store: FileStore, parts: StoreParts) -> Path:
    """The segment file of a closed ledger of 200 entries."""
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


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every field, objects themselves included."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))


def changed(record: Any, path: tuple[Any, ...]) -> Any:
    """A copy with another value at `path`."""
    copy = orjson.loads(orjson.dumps(record))
    at = copy
    for step in path[:-1]:
        at = at[step]
    old = at[path[-1]]
    at[path[-1]] = old + 1 if isinstance(old, int) else old[:-1] + "~" if isinstance(old, str) and old else "other"
    return copy


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


def test_every_change_of_every_line_is_found(ledger: Path, parts: StoreParts) -> None:
    good = ledger.read_bytes()
    lines = good.splitlines(keepends=True)
    count = Count(ledger, parts.state_dir)
    for index, line in enumerate(lines):
        before, after = b"".join(lines[:index]), b"".join(lines[index + 1 :])
        record = orjson.loads(line)["r"]
        for path in leaves(record):
            body = orjson.dumps(changed(record, path))
            count.case("field", before + line[:76] + body + b"}\n" + after, (index, path))
        count.case("hash", before + line[:6] + b"0" * 64 + line[70:] + after, index)
        count.case("field and hash", before + frame(orjson.dumps({**record, "task": "T-9"})) + after, index)
        count.case("deleted", before + after, index)
        count.case("duplicated", before + line + line + after, index)
        if index + 1 < len(lines):
            count.case("swapped", before + lines[index + 1] + line + b"".join(lines[index + 2 :]), index)
    count.conclude()


def test_every_damage_of_the_tail_is_found(ledger: Path, parts: StoreParts) -> None:
    good = ledger.read_bytes()
    start = good.rfind(b"\n", 0, -1) + 1
    count = Count(ledger, parts.state_dir)
    for end in range(start, len(good)):
        count.case("cut", good[:end], end)
    for position in range(start, len(good)):
        for bit in range(8):
            flipped = bytearray(good)
            flipped[position] ^= 1 << bit
            count.case("bit", bytes(flipped), (position, bit))
    count.conclude()


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
    """Every tenth line changed or deleted: no store opens on it. A cut is no damage to open, but the hint knows."""
    lines = ledger.read_bytes().splitlines(keepends=True)
    for index in range(0, ENTRIES, 10):
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
