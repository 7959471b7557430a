"""An append-only log of small records in one file: framed lines, own numbering, own hash chain.

The lease log is one. A body has the keys `v`, `ledger`, `seq`, `prev`, `record`, in this order; `seq` is dense and
`prev` is the hash of the line before. A compaction starts a new file with one record that sums up all before it;
numbering and chain go on across it, so that a file's first line may have any number.

All methods but `open` expect the caller to hold the store's lock. `catch_up` is the only place that reads; it
hands out each record once. A writer cuts a torn tail there, after copying it to the quarantine; a reader leaves it
alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from autopilot.kernel.canonical import dumps, loads
from autopilot.kernel.errors import AutopilotError, ContractError, IntegrityError
from autopilot.kernel.files import Files, make_empty_durably, replace_durably, replace_lightly, sync_dir_or_fail
from autopilot.kernel.framing import MAX_BODY_BYTES, ZERO_HASH, body_hash, frame, split_tail, unframe
from autopilot.storage.files.line_file import LineFile, ReplacedError
from autopilot.storage.files.quarantine import Torn, quarantine

VERSION = 1
_KEYS = ("v", "ledger", "seq", "prev", "record")


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record with its number in the log and the hash of its line."""

    seq: int
    hash: str
    record: dict[str, Any]


class News(NamedTuple):
    """What `catch_up` found: records, what was cut, and whether they start the log anew."""

    records: list[LogRecord]
    torn: Torn | None
    renewed: bool


@dataclass(frozen=True, slots=True)
class LogPlace:
    """Where a log lives and what its damage is called."""

    path: Path
    quarantine: Path
    ledger: str
    code: str = "lease_log_corrupt"


class RecordLog:
    """The log at one place. `seq` and `hash` are those of the last good record, -1 and zeros before the first."""

    def __init__(self, files: Files, place: LogPlace) -> None:
        self.seq = -1
        self.hash = ZERO_HASH
        self._files = files
        self._place = place
        self._file: LineFile | None = None

    @staticmethod
    def create(files: Files, place: LogPlace) -> None:
        """Make the empty log, durably; one that is there stays as it is."""
        make_empty_durably(files, place.path)

    @property
    def length(self) -> int:
        """Length of the known good part."""
        return self._file.size if self._file else 0

    def catch_up(self, recorded_at: int = 0) -> News:
        """Records added since the last call, and what was cut. IntegrityError with the place's code on damage.

        A torn tail is cut only if `recorded_at` names the ledger line that will record it. After a compaction by
        another process the new file is read from its start: its first records sum up the old.
        """
        renewed = self._file is None
        try:
            length = self._opened().length()
        except ReplacedError:
            self.close()
            renewed, length = True, self._opened().length()
        file = self._opened()
        if length == file.size:
            return News([], None, renewed)
        data, start = file.read(file.size, length), file.size
        records = self._read(data, first=start == 0)
        rest = data[file.size - start :]
        torn = self._judge(rest, recorded_at) if rest else None
        return News(records, torn, renewed)

    def is_unchanged(self) -> bool:
        """Whether there is nothing to catch up with. Cheap: every transaction asks."""
        return self._file is not None and self._file.is_unchanged()

    def append(self, record: Mapping[str, Any], *, sync: bool) -> LogRecord:
        """Add `record`: one write and, if asked, one sync. Without a sync it survives a crash of the process only."""
        added, line = self._line(record, self.seq + 1, self.hash)
        file = self._opened()
        file.append(line)
        if sync:
            file.sync()
        self.seq, self.hash = added.seq, added.hash
        return added

    def compose(self, record: Mapping[str, Any]) -> bytes:
        """The line of `record`, which is the log's last from now on, to be written later: `write` it, or `close`."""
        added, line = self._line(record, self.seq + 1, self.hash)
        self.seq, self.hash = added.seq, added.hash
        return line

    def write(self, lines: bytes) -> None:
        """Write what was composed, in its order and before anything is appended, without a sync."""
        self._opened().append(lines)

    def sync(self) -> None:
        """Bring records appended without a sync to the disk."""
        self._opened().sync()

    def sync_name(self) -> None:
        """Bring the file's name to the disk: who made or replaced it may have been killed before that."""
        sync_dir_or_fail(self._files, self._place.path.parent)

    def compact(self, summary: Sequence[Mapping[str, Any]]) -> None:
        """Start a new file with the records `summary` in the place of all before; the old one is kept beside it."""
        lines: list[bytes] = []
        seq, digest = self.seq, self.hash
        for record in summary:
            added, line = self._line(record, seq + 1, digest)
            seq, digest = added.seq, added.hash
            lines.append(line)
        path, content = self._place.path, b"".join(lines)
        if path.exists():
            # For a person to look at; never read, so not worth a sync.
            replace_lightly(self._files, path.with_suffix(".previous"), path.read_bytes())
        replace_durably(self._files, path, content)
        self.close()
        self._opened().size = len(content)
        self.seq, self.hash = seq, digest

    def close(self) -> None:
        """Give the file back and forget what was read; the next call starts anew."""
        if self._file is not None:
            self._file.close()
        self._file = None
        self.seq, self.hash = -1, ZERO_HASH

    def _opened(self) -> LineFile:
        if self._file is None:
            try:
                self._file = LineFile(self._files, self._place.path)
            except FileNotFoundError:
                raise IntegrityError(self._place.code, where=str(self._place.path), detail="the log is gone") from None
        return self._file

    def _line(self, record: Mapping[str, Any], seq: int, prev: str) -> tuple[LogRecord, bytes]:
        place = self._place
        body = dumps({"v": VERSION, "ledger": place.ledger, "seq": seq, "prev": prev, "record": dict(record)})
        if len(body) > MAX_BODY_BYTES:
            raise ContractError("entry_too_large", where=place.path.name, detail=f"{len(body)} bytes")
        digest = body_hash(body)
        return LogRecord(seq, digest, dict(record)), frame(body, digest)

    def _read(self, data: bytes, *, first: bool) -> list[LogRecord]:
        """The good lines at the start of `data`; seq, hash and size advance with them."""
        records: list[LogRecord] = []
        file, begin = self._opened(), 0
        while (end := data.find(b"\n", begin)) >= 0:
            try:
                record = self._parse(data[begin:end], any_number=first and not records)
            except AutopilotError:
                break
            records.append(record)
            self.seq, self.hash = record.seq, record.hash
            begin = end + 1
        file.size += begin
        return records

    def _parse(self, line: bytes, *, any_number: bool) -> LogRecord:
        digest, body = unframe(line)
        found = loads(body)
        if not isinstance(found, dict) or tuple(found) != _KEYS or not isinstance(found["record"], dict):
            raise IntegrityError(self._place.code, detail="not a record")
        expected = (VERSION, self._place.ledger)
        if (found["v"], found["ledger"]) != expected or not isinstance(found["seq"], int):
            raise IntegrityError(self._place.code, detail="a record of another log")
        follows = (found["seq"], found["prev"]) == (self.seq + 1, self.hash)
        if not follows and not (any_number and found["seq"] > 0):
            raise IntegrityError(self._place.code, detail="a record does not follow the one before")
        return LogRecord(found["seq"], digest, found["record"])

    def _judge(self, rest: bytes, recorded_at: int) -> Torn | None:
        file = self._opened()
        if split_tail(rest, file.size).status != "torn":
            raise IntegrityError(
                self._place.code,
                where=f"{self._place.path.name} at byte {file.size}",
                detail=f"the line after record {self.seq} does not verify",
            )
        if not recorded_at:
            return None
        torn = quarantine(self._files, self._place.quarantine, f"{recorded_at:016d}-{self._place.path.stem}", rest)
        file.cut(file.size)
        return torn
