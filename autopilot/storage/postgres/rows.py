"""The ledger's lines as rows, and the state folded from them, as far as this process has read.

A line is kept as its body and its hash, so that a file made of the rows is the file store's byte for byte, the lines
that open a segment included. Reading starts at the last of those: it names the folded state and the compact range
of all before it. What is new is checked line by line, and its end must be what the head row says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from autopilot.kernel.callers import ENGINE
from autopilot.kernel.canonical import encode
from autopilot.kernel.errors import IntegrityError
from autopilot.kernel.framing import frame
from autopilot.leases.terms import task_of
from autopilot.ledger.chain import Head, compose, walk
from autopilot.ledger.entry import Draft, LedgerEntry
from autopilot.ledger.kinds import MIRRORED
from autopilot.ledger.merkle import CompactRange, compact_range
from autopilot.ledger.store import Fold, Objects
from autopilot.ledger.verify import Anchors
from autopilot.storage.files.layout import SEGMENT_ENTRIES
from autopilot.storage.files.ledger import damage, first_line

Ask = Callable[..., list[tuple[Any, ...]]]
"""Runs a query and gives its rows: on the transaction's connection or on the readers'."""

SELECT_HEAD = (
    "SELECT seq, hash, range, lease_first, lease_seq, lease_hash, moved_to FROM autopilot.head WHERE ledger = %s"
)
_LINES = "SELECT seq, hash, body FROM autopilot.entry WHERE ledger = %s AND seq >= %s AND seq < %s ORDER BY seq"


@dataclass(frozen=True, slots=True)
class HeadRow:
    """The head row of a ledger: its last line, the range over all of them, and the ends of its lease log."""

    head: Head
    range: bytes
    lease_first: int
    lease_seq: int
    lease_hash: str
    moved_to: str

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> HeadRow:
        """From a row of `SELECT_HEAD`."""
        seq, digest, range_, first, lease_seq, lease_hash, moved_to = row
        return cls(Head(seq, digest.hex()), bytes(range_), first, lease_seq, lease_hash.hex(), moved_to)


def range_bytes(range_: CompactRange) -> bytes:
    """The compact range as the head row keeps it."""
    return encode(range_.as_dict())


class RowLedger:
    """Head, range and state of the lines read so far. `mirrored` is the last lease record that they repeat."""

    def __init__(self, ledger: str, fold: Fold, objects: Objects) -> None:
        self.head = Head()
        self.state: Any = None
        self.range = CompactRange()
        self.mirrored = 0
        self.fences: dict[str, int] = {}
        self.loaded = False
        self._ledger = ledger
        self._fold = fold
        self._objects = objects

    def forget(self) -> None:
        """Read everything anew next time."""
        self.loaded = False

    def catch_up(self, ask: Ask, row: HeadRow, anchors: Anchors) -> None:
        """Take in the lines up to the head row; IntegrityError where they do not verify or do not end there."""
        if self.loaded and self.head == row.head:
            return
        try:
            if not self.loaded:
                self._begin(ask, row.head.seq)
            for lines in chunks(ask, self._ledger, self.head.seq + 1, row.head.seq + 1):
                self._take(lines)
            self._require(row, anchors)
        except BaseException:
            # A fold that was cut short is of no known place.
            self.forget()
            raise
        self.loaded = True

    def append(self, draft: Draft, ts: str) -> LedgerEntry:
        """The line of `draft` after the head, folded in; the caller stores it."""
        entry, _ = compose(self.head, self._ledger, draft, ts)
        self._advance(entry)
        return entry

    def is_full(self) -> bool:
        """Whether the next line has to open a segment."""
        return self.range.size % SEGMENT_ENTRIES == 0

    def opening(self) -> Draft:
        """The line that opens the next segment; the state's object is stored first."""
        dump = self._fold.dump(self.state)
        state = {"sha256": self._objects.put(dump), "bytes": len(dump)}
        data = {"range": self.range.as_dict(), "state": state, "wal_seq": self.mirrored}
        return Draft(kind="segment.opened", caller=ENGINE, data=data)

    def _begin(self, ask: Ask, seq: int) -> None:
        """Start at the segment of the line `seq`."""
        first = seq // SEGMENT_ENTRIES * SEGMENT_ENTRIES
        self.range, self.mirrored, self.fences, self.head = CompactRange(), 0, {}, Head()
        if first <= 0:
            self.state = self._fold.initial()
            return
        line = next(chunks(ask, self._ledger, first, first + 1), b"")
        opened = first_line(line, first, self._ledger)
        self.range = compact_range(opened.data["range"])
        if self.range.size != first:
            raise IntegrityError("bad_link", where=f"entry {first}", detail=f"a range of {self.range.size} lines")
        self.state = self._fold.load(self._objects.get(opened.data["state"]["sha256"]))
        self.head = Head(first - 1, opened.record["prev"])
        self.mirrored = opened.data["wal_seq"]

    def _take(self, lines: bytes) -> None:
        found = walk(lines, self.head, self._ledger, self._fold_in)
        self.head, self.range = found.head, self.range.extended(found.leaves)
        if found.fault is not None:
            raise damage(found.fault, "the database")

    def _advance(self, entry: LedgerEntry) -> None:
        try:
            self._fold_in(entry)
        except BaseException:
            self.forget()
            raise
        self.head = Head(entry.seq, entry.hash)
        self.range = self.range.extended([bytes.fromhex(entry.hash)])

    def _fold_in(self, entry: LedgerEntry) -> None:
        self.state = self._fold.apply(self.state, entry)
        if entry.kind in MIRRORED:
            self.mirrored = max(self.mirrored, int(entry.data["wal_seq"]))
        if entry.lease is not None:
            task = task_of(entry.lease.resource)
            self.fences[task] = max(self.fences.get(task, 0), entry.lease.fence)

    def _require(self, row: HeadRow, anchors: Anchors) -> None:
        where = f"ledger {self._ledger}"
        if self.head.seq < row.head.seq:
            detail = f"{self.head.seq + 1} entries, the head row says {row.head.seq + 1}"
            raise IntegrityError("truncated", where=where, detail=detail)
        if self.head != row.head or range_bytes(self.range) != row.range:
            raise IntegrityError("rewritten", where=where, detail=f"entry {self.head.seq} is not the head row's")
        shortfall = anchors.shortfall(self.head.seq + 1)
        if shortfall:
            raise IntegrityError("truncated", where=where, detail=shortfall)


def chunks(ask: Ask, ledger: str, start: int, stop: int) -> Iterator[bytes]:
    """The stored lines from `start` up to, not including, `stop`, framed, at most a segment at a time.

    IntegrityError `bad_link` where a row is missing.
    """
    while start < stop:
        rows = ask(_LINES, ledger, start, min(stop, start + SEGMENT_ENTRIES))
        if [row[0] for row in rows] != list(range(start, start + len(rows))):
            raise IntegrityError("bad_link", where=f"ledger {ledger}", detail=f"a line after {start - 1} is missing")
        if not rows:
            return
        yield b"".join(frame(bytes(body), bytes(digest).hex()) for _, digest, body in rows)
        start += len(rows)


def read_rows(ask: Ask, ledger: str, start: int, stop: int) -> Iterator[LedgerEntry]:
    """The entries from `start` up to, not including, `stop`, each checked against the one before it."""
    before = Head()
    if start > 0:
        (line,) = chunks(ask, ledger, start - 1, start)
        before = Head(start - 1, line[6:70].decode("ascii"))
    for lines in chunks(ask, ledger, start, stop):
        entries: list[LedgerEntry] = []
        found = walk(lines, before, ledger, entries.append)
        yield from entries
        if found.fault is not None:
            raise damage(found.fault, "the database")
        before = found.head
    if before.seq + 1 < stop:
        raise IntegrityError("truncated", where=f"ledger {ledger}", detail=f"no line {before.seq + 1}")
