"""`state/journal/<TASK>.jsonl`: a task's journal for people and scripts, one line for each move.

    {"seq":12,"ts":"2026-11-21T03:22:55.000001Z","sha256":"<digest of the entry>","entry":{...}}

It is a projection: what counts are the entries (objects) and the ledger lines that name them. The same moves always
render to the same bytes, so whoever finds the file behind, torn or edited rewrites it. Whoever has only the file can
check it: each entry has the digest beside it, and that digest stands in the ledger line of that number.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from autopilot.journal.entry import JournalEntry, entry_digest, entry_of
from autopilot.kernel.canonical import encode, loads
from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.kernel.shapes import INTEGER, OBJECT, TEXT, Shape, exact_fields


@dataclass(frozen=True, slots=True)
class PlacedEntry:
    """An entry with the number and time of the ledger line that names it."""

    seq: int
    ts: str
    entry: JournalEntry

    @property
    def sha256(self) -> str:
        """The entry's digest, as the ledger line has it."""
        return entry_digest(self.entry)


@dataclass(frozen=True, slots=True)
class Continuation:
    """What brings a file up to date: `data` to append, or to put in the place of all of it."""

    data: bytes
    replaces: bool


def render(placed: Iterable[PlacedEntry]) -> bytes:
    """The file for these entries, in the order given."""
    # The digest is taken of the strict form, so that what stands beside it is plain.
    return b"".join(
        encode({"seq": one.seq, "ts": one.ts, "sha256": one.sha256, "entry": one.entry.as_dict()}) + b"\n"
        for one in placed
    )


def line_of(seq: int, ts: str, sha256: str, stored: bytes) -> bytes:
    """The file's line for the entry whose object holds the bytes `stored`: as `render`, without parsing them.

    The object's form is strict and so is that of what goes round it.
    """
    return b'{"seq":%d,"ts":%b,"sha256":%b,"entry":%b}\n' % (seq, encode(ts), encode(sha256), stored)


def parse(data: bytes, *, where: str = "journal") -> tuple[PlacedEntry, ...]:
    """The entries of a file; IntegrityError `journal_malformed` if a line is not as rendered or not in its place."""
    lines = data.split(b"\n")
    if lines.pop() != b"":
        raise IntegrityError("journal_malformed", where=where, detail="the last line is torn")
    placed = tuple(_parse_line(line, f"{where} line {number}") for number, line in enumerate(lines, 1))
    for before, after in pairwise(placed):
        if after.seq <= before.seq or after.entry.task != before.entry.task:
            raise IntegrityError("journal_malformed", where=where, detail=f"line of {after.seq} out of its place")
    return placed


def continuation(existing: bytes, wanted: Iterable[PlacedEntry]) -> Continuation:
    """How to bring a file that holds `existing` to `wanted`: append where it is the beginning, replace otherwise."""
    whole = render(wanted)
    if whole.startswith(existing):
        return Continuation(whole[len(existing) :], replaces=False)
    return Continuation(whole, replaces=True)


def _parse_line(line: bytes, where: str) -> PlacedEntry:
    try:
        stored = exact_fields(loads(line), _LINE)
        placed = PlacedEntry(stored["seq"], stored["ts"], entry_of(stored["entry"]))
    except (ValueError, ContractError) as error:
        raise IntegrityError("journal_malformed", where=where, detail=str(error)) from None
    if stored["sha256"] != placed.sha256:
        raise IntegrityError("journal_malformed", where=where, detail="the entry does not have its digest")
    if render((placed,)) != line + b"\n":
        raise IntegrityError("journal_malformed", where=where, detail="the keys are in another order")
    return placed


_LINE: Shape = {"seq": INTEGER, "ts": TEXT, "sha256": TEXT, "entry": OBJECT}
