"""The lease log as rows: the same bodies, numbers and chain as the log in a file, and the lease book on top.

Every record commits together with the ledger line that repeats it, so nothing has to be mended. The log is summed up
when it is long: the sum is appended like any record, and what came before it is removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autopilot.kernel.canonical import dumps, loads
from autopilot.kernel.errors import AutopilotError, IntegrityError
from autopilot.kernel.framing import ZERO_HASH, body_hash
from autopilot.leases.book import EMPTY_BOOK, LeaseBook, apply, snapshot
from autopilot.leases.records import LeaseRecord, Snapshot
from autopilot.leases.stored import parse_record
from autopilot.storage.files.leases import COMPACT_RECORDS
from autopilot.storage.files.record_log import VERSION
from autopilot.storage.postgres.rows import Ask, HeadRow

_KEYS = ("v", "ledger", "seq", "prev", "record")
_RECORDS = (
    "SELECT seq, hash, body FROM autopilot.lease_record WHERE ledger = %s AND seq >= %s AND seq <= %s ORDER BY seq"
)


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """One record as it is stored."""

    seq: int
    hash: str
    body: bytes


class LeaseRows:
    """The book at the end of the log, and the log's ends: its first row, its last, and that one's hash."""

    def __init__(self, ledger: str) -> None:
        self.book: LeaseBook = EMPTY_BOOK
        self.first, self.seq, self.hash = 0, -1, ZERO_HASH
        self._ledger = ledger

    def forget(self) -> None:
        """Read everything anew next time."""
        self.book, self.first, self.seq, self.hash = EMPTY_BOOK, 0, -1, ZERO_HASH

    @property
    def place(self) -> tuple[LeaseBook, int, int, str]:
        """Book and ends as they are; set again, everything after it is forgotten."""
        return self.book, self.first, self.seq, self.hash

    @place.setter
    def place(self, place: tuple[LeaseBook, int, int, str]) -> None:
        self.book, self.first, self.seq, self.hash = place

    def catch_up(self, ask: Ask, row: HeadRow) -> None:
        """Take in the records up to the head row's; IntegrityError `lease_log_corrupt`."""
        if (self.first, self.seq, self.hash) == (row.lease_first, row.lease_seq, row.lease_hash):
            return
        try:
            if self.first != row.lease_first or self.seq > row.lease_seq:
                self.forget()
            start = self.seq + 1 if self.seq >= 0 else row.lease_first
            for seq, digest, body in ask(_RECORDS, self._ledger, start, row.lease_seq):
                self._take(LeaseRow(seq, bytes(digest).hex(), bytes(body)), anywhere=self.seq < 0)
            self._require_end(row)
        except BaseException:
            self.forget()
            raise
        self.first = row.lease_first

    def _require_end(self, row: HeadRow) -> None:
        if (self.seq, self.hash) != (row.lease_seq, row.lease_hash):
            raise self._corrupt(f"it ends with record {self.seq}, the head row says {row.lease_seq}")

    def require_fences(self, fences: Mapping[str, int]) -> None:
        """IntegrityError `lease_log_corrupt` if the ledger knows higher fences than the log."""
        for task, fence in fences.items():
            if fence > self.book.fence_high(task):
                known = self.book.fence_high(task)
                raise self._corrupt(f"{task} has fence {fence} on the ledger, {known} in the lease log")

    def append(self, record: LeaseRecord) -> LeaseRow:
        """The row of `record`, entered into the book; the caller stores it. What cannot follow is refused."""
        self.book = apply(self.book, record)
        return self._next(record.as_dict())

    def wants_compaction(self) -> bool:
        """Whether the log is long enough to be summed up."""
        return self.seq - self.first >= COMPACT_RECORDS

    def compacted(self) -> Sequence[LeaseRow]:
        """The rows that sum up the log; the caller stores them and removes what comes before the first."""
        rows = [self._next(part.as_dict()) for part in snapshot(self.book)]
        self.first = rows[0].seq
        return rows

    def _next(self, record: Mapping[str, Any]) -> LeaseRow:
        body = dumps(
            {"v": VERSION, "ledger": self._ledger, "seq": self.seq + 1, "prev": self.hash, "record": dict(record)}
        )
        self.seq, self.hash = self.seq + 1, body_hash(body)
        return LeaseRow(self.seq, self.hash, body)

    def _take(self, row: LeaseRow, *, anywhere: bool) -> None:
        record = parse_lease_row(row, self._ledger)
        found = loads(row.body)
        follows = (found["seq"], found["prev"]) == (self.seq + 1, self.hash)
        if not follows and not (anywhere and row.seq > 0 and isinstance(record, Snapshot)):
            raise self._corrupt(f"record {row.seq} does not follow the one before")
        self.book = apply(self.book, record)
        self.seq, self.hash = row.seq, row.hash

    def _corrupt(self, detail: str) -> IntegrityError:
        return IntegrityError("lease_log_corrupt", where=f"lease log of {self._ledger}", detail=detail)


def parse_lease_row(row: LeaseRow, ledger: str) -> LeaseRecord:
    """The record of a row; IntegrityError `lease_log_corrupt` for a row of another log or without its hash."""
    where = f"lease record {row.seq}"
    try:
        found = loads(row.body)
    except AutopilotError as error:
        raise IntegrityError("lease_log_corrupt", where=where, detail=error.detail) from None
    known = isinstance(found, dict) and tuple(found) == _KEYS
    if not known or (found["v"], found["ledger"], found["seq"]) != (VERSION, ledger, row.seq):
        raise IntegrityError("lease_log_corrupt", where=where, detail="a record of another log")
    if body_hash(row.body) != row.hash:
        raise IntegrityError("lease_log_corrupt", where=where, detail="it does not have its hash")
    return parse_record(found["record"], where=where)
