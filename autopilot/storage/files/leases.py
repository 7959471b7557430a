"""The lease log in its file: `RecordLog` underneath, the lease book on top.

What a record does to the book is the lease package's rule; here records are read, appended and summed up. The log
keeps in mind which records the ledger has yet to repeat, and sums itself up only when there is none such.

A record can be held back: it counts for whatever is decided next, but is written, and shown to readers, only when it is
released. That is for hand-overs, whose ledger line has to be on the disk before the log may know of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from autopilot.kernel.errors import IntegrityError
from autopilot.kernel.files import Files
from autopilot.leases.book import EMPTY_BOOK, LeaseBook, apply, snapshot
from autopilot.leases.records import Grant, LeaseRecord, MirrorLine, Release, Snapshot, mirror_of
from autopilot.leases.stored import parse_record
from autopilot.storage.files.quarantine import Torn
from autopilot.storage.files.record_log import LogPlace, LogRecord, RecordLog

COMPACT_RECORDS = 1000
COMPACT_BYTES = 1 << 20


class LeaseLog:
    """The book at the head of the log, and the records that the ledger lacks. `shown` is the book without held ones."""

    def __init__(self, files: Files, place: LogPlace) -> None:
        self.book: LeaseBook = EMPTY_BOOK
        self.shown: LeaseBook = EMPTY_BOOK
        self._log = RecordLog(files, place)
        self._held: deque[tuple[bytes, LeaseBook]] = deque()
        self._unmirrored: list[MirrorLine] = []
        self._records = 0
        self._begun = False

    def catch_up(self, *, recorded_at: int = 0) -> Torn | None:
        """Apply what others appended. IntegrityError `lease_log_corrupt`.

        A torn tail is cut only if it can be put on record: `recorded_at` is the number of the ledger line to do so.
        """
        if self.is_unchanged():
            return None
        records, torn, renewed = self._log.catch_up(recorded_at)
        if renewed:
            self.book, self._unmirrored, self._records, self._begun = EMPTY_BOOK, [], 0, False
        try:
            for stored in records:
                self._replay(stored)
        except BaseException:
            # A book that lacks a record of the log must not be decided on: read everything anew next time.
            self.close()
            raise
        self.shown = self.book
        return torn

    def _replay(self, stored: LogRecord) -> None:
        record = parse_record(stored.record, where=f"leases.wal line {stored.seq}")
        if stored.seq > 0 and self._records == 0 and not isinstance(record, Snapshot):
            raise IntegrityError("lease_log_corrupt", where="leases.wal", detail="the log's beginning is gone")
        self._enter(record, apply(self.book, record))
        self._begun = self._begun or not isinstance(record, Snapshot)

    def is_unchanged(self) -> bool:
        """Whether there is nothing to catch up with."""
        return self._log.is_unchanged()

    def append(self, record: LeaseRecord, *, sync: bool) -> MirrorLine | None:
        """Add `record`; the ledger line that repeats it, if one does. What cannot follow is refused unwritten."""
        after = apply(self.book, record)
        self._begin()
        self._log.append(record.as_dict(), sync=sync)
        self.shown = after
        return self._enter(record, after)

    def hold(self, record: LeaseRecord) -> MirrorLine | None:
        """`append`, but for the writing: that waits for `release`, and nothing else may be appended before it."""
        after = apply(self.book, record)
        self._begin()
        self._held.append((self._log.compose(record.as_dict()), after))
        return self._enter(record, after)

    def release(self, count: int) -> None:
        """Write the first `count` of the records that are held, without a sync. StorageError leaves the log unread."""
        released = [self._held.popleft() for _ in range(count)]
        try:
            self._log.write(b"".join(line for line, _ in released))
        except BaseException:
            self.close()
            raise
        self.shown = released[-1][1]

    def _begin(self) -> None:
        if not self._begun:
            # The file has nothing but what it was made with: its maker may have been killed before it had a safe name.
            self._log.sync_name()
            self._begun = True

    def _enter(self, record: LeaseRecord, after: LeaseBook) -> MirrorLine | None:
        self.book = after
        self._records += 1
        line = mirror_of(record, self.book.wal_seq)
        if line is not None:
            self._unmirrored.append(line)
        return line

    def unmirrored(self, mirrored: int) -> list[MirrorLine]:
        """Lines that the ledger lacks if the last record it repeats is `mirrored`, in order."""
        if self._unmirrored:
            self._unmirrored = [line for line in self._unmirrored if line.data["wal_seq"] > mirrored]
        return list(self._unmirrored)

    def sync(self) -> None:
        """Bring unsynced records to the disk."""
        self._log.sync()

    def wants_compaction(self) -> bool:
        """Whether the log is long enough to be summed up."""
        return self._records > COMPACT_RECORDS or self._log.length > COMPACT_BYTES

    def compact(self) -> None:
        """Replace the log by a snapshot. The ledger must have synced its repetition of every record; none is held."""
        parts: tuple[Snapshot, ...] = snapshot(self.book)
        self._log.compact([part.as_dict() for part in parts])
        # As whoever reads the new file counts: with none, the next record of another would look like the first.
        self._records, self._begun = len(parts), True

    def restart(self, book: LeaseBook) -> None:
        """Begin a fresh file with `book`, numbering from there: for a repair."""
        self.book = self.shown = book
        self._unmirrored = []
        self.compact()

    def require_fences(self, fences: Mapping[str, int]) -> None:
        """IntegrityError `lease_log_corrupt` if the ledger knows higher fences than the log."""
        for task, fence in fences.items():
            if fence > self.book.fence_high(task):
                raise IntegrityError(
                    "lease_log_corrupt",
                    where="leases.wal",
                    detail=f"{task} has fence {fence} on the ledger, {self.book.fence_high(task)} in the lease log",
                )

    def close(self) -> None:
        """Give the file back, and forget what is held."""
        self._held.clear()
        self._log.close()


def is_handover(record: LeaseRecord) -> bool:
    """Whether the record comes from a move's line, which is the record of it."""
    return isinstance(record, (Grant, Release)) and record.how == "move"
