"""The ledger's segments, and the state folded from them.

Opening reads the last segment only: its first line holds the compact range of everything before it and names the
object with the folded state. `catch_up` takes in what other processes appended, checking every line; a writer
cuts a torn tail, a reader leaves it alone. All methods expect the caller to hold the store's lock.

What is appended here is written only: to bring it to the disk, and then to fold it into the state that readers see, is
`storage.files.commit`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from autopilot.kernel.callers import ENGINE
from autopilot.kernel.errors import AutopilotError, IntegrityError
from autopilot.kernel.files import Files, create_durably, sync_dir_or_fail
from autopilot.kernel.framing import MAX_LINE_BYTES, split_tail, unframe
from autopilot.ledger.chain import Fault, Head, compose, walk
from autopilot.ledger.entry import Draft, LedgerEntry
from autopilot.ledger.kinds import MIRRORED
from autopilot.ledger.merkle import CompactRange, compact_range
from autopilot.ledger.store import Fold, Objects
from autopilot.ledger.verify import CODE_OF_REASON, Anchors
from autopilot.storage.files.layout import SEGMENT_ENTRIES, StorePaths
from autopilot.storage.files.line_file import LineFile, ReplacedError
from autopilot.storage.files.quarantine import Torn, quarantine


@dataclass(frozen=True, slots=True)
class LedgerParts:
    """What a ledger in files is made of."""

    files: Files
    paths: StorePaths
    ledger: str
    fold: Fold
    objects: Objects


class SegmentLedger:
    """The head of the ledger, and what was folded of it: `state`, up to the line `shown`.

    `mirrored` is the last lease-log record that the lines repeat. `foreign`: lines were taken in that somebody else
    wrote, and perhaps was killed before he synced them; the caller takes note of it.
    """

    def __init__(self, parts: LedgerParts, seen: Callable[[LedgerEntry], None]) -> None:
        self.head = Head()
        self.shown = Head()
        self.state: Any = None
        self.mirrored = 0
        self.foreign = False
        self._parts = parts
        self._seen = seen
        self._file: LineFile | None = None
        self._named = False
        self._before = CompactRange()
        self._leaves: list[bytes] = []

    @property
    def loaded(self) -> bool:
        """Whether the last segment was read."""
        return self._file is not None

    def catch_up(self, anchors: Callable[[], Anchors], *, recover: bool) -> Torn | None:
        """Take in what is new; IntegrityError where it does not verify, or where `anchors` know of more.

        `anchors` are asked when the ledger is read anew, and before a tail is cut. Only with `recover` is one cut; it
        is kept in quarantine under the number of the line that has to record it.
        """
        if self.is_unchanged():
            return None
        try:
            fresh = self._file is None
            file = self._file or self._load()
            length = file.length()
        except ReplacedError:
            self.close()
            fresh, file = True, self._load()
            length = file.length()
        torn = None
        while True:
            rest = self._take(file, length)
            if not rest and self._is_full() and self._parts.paths.segment(self.head.seq + 1).exists():
                file = self._enter(self.head.seq + 1)
                length = file.length()
                continue
            break
        if fresh or rest:
            self._require(anchors())
        if rest:
            torn = self._judge(file, rest, recover=recover)
        return torn

    def is_unchanged(self) -> bool:
        """Whether there is nothing to catch up with. A full segment may have a successor, and is looked at."""
        if self._file is None or self.foreign:
            return False
        return len(self._leaves) < SEGMENT_ENTRIES and self._file.is_unchanged()

    def append(self, draft: Draft, ts: str) -> LedgerEntry:
        """Write the line of `draft` after the head, without a sync; `fold` it once it may be shown."""
        file = self.file
        entry, line = compose(self.head, self._parts.ledger, draft, ts)
        if len(self._leaves) == 1 and not self._named:
            self._settle_names()
        file.append(line)
        self.head = Head(entry.seq, entry.hash)
        self._leaves.append(bytes.fromhex(entry.hash))
        self._note(entry)
        return entry

    def fold(self, entry: LedgerEntry) -> None:
        """Take a line into the state; lines come in their order."""
        self.state = self._parts.fold.apply(self.state, entry)
        self.shown = Head(entry.seq, entry.hash)

    def _settle_names(self) -> None:
        """Sync the segment's name, and with the first one that of LEDGER.json: who made them may have been killed."""
        sync_dir_or_fail(self._parts.files, self._parts.paths.segments)
        if self.head.seq == 0:
            sync_dir_or_fail(self._parts.files, self._parts.paths.ledger)
        self._named = True

    def is_full(self) -> bool:
        """Whether the next line has to open a segment."""
        return self._is_full()

    def roll(self, ts: str) -> LedgerEntry:
        """Open the next segment: state object, first line, durable before anything is appended to it.

        All lines before it are on the disk and folded in.
        """
        dump = self._parts.fold.dump(self.state)
        digest = self._parts.objects.put(dump)
        data = {
            "range": self.range().as_dict(),
            "state": {"sha256": digest, "bytes": len(dump)},
            "wal_seq": self.mirrored,
        }
        draft = Draft(kind="segment.opened", caller=ENGINE, data=data)
        entry, line = compose(self.head, self._parts.ledger, draft, ts)
        create_durably(self._parts.files, self._parts.paths.segment(entry.seq), line)
        file = self._enter(entry.seq)
        self._named = True
        self._take(file, file.length())
        return entry

    def range(self) -> CompactRange:
        """The compact range of the lines that are shown."""
        return self._before.extended(self._leaves[: self.shown.seq + 1 - self._before.size])

    def close(self) -> None:
        """Give the file back and forget what was read; the next call starts anew."""
        if self._file is not None:
            self._file.close()
        self._file = None

    # --- reading

    @property
    def file(self) -> LineFile:
        """The last segment; IntegrityError `ledger_missing` before the first `catch_up`."""
        if self._file is None:
            raise IntegrityError("ledger_missing", where=str(self._parts.paths.segments), detail="not read yet")
        return self._file

    def _load(self) -> LineFile:
        """Start at the last segment."""
        starts = self._parts.paths.segment_starts()
        if not starts or starts[0] != 0 or any(start % SEGMENT_ENTRIES for start in starts):
            raise IntegrityError("ledger_missing", where=str(self._parts.paths.segments), detail="a segment is missing")
        if len(starts) != starts[-1] // SEGMENT_ENTRIES + 1:
            raise IntegrityError("ledger_missing", where=str(self._parts.paths.segments), detail="a segment is missing")
        first = starts[-1]
        self._before, self._leaves = CompactRange(), []
        self.head = self.shown = Head()
        self.mirrored = 0
        if first == 0:
            self.state = self._parts.fold.initial()
        else:
            self._start_from(first)
        return self._open_file(first)

    def _start_from(self, first: int) -> None:
        """Head, range and state as the first line of the segment `first` tells them."""
        path = self._parts.paths.segment(first)
        with path.open("rb") as file:
            line = file.readline(MAX_LINE_BYTES)
        opened = first_line(line, first, self._parts.ledger)
        data = opened.data
        self._before = compact_range(data["range"])
        if self._before.size != first:
            raise IntegrityError("bad_link", where=path.name, detail=f"a range of {self._before.size} lines")
        self.state = self._parts.fold.load(self._parts.objects.get(data["state"]["sha256"]))
        self.head = self.shown = Head(first - 1, opened.record["prev"])
        self.mirrored = data["wal_seq"]

    def _enter(self, first: int) -> LineFile:
        self._before, self._leaves = self.range(), []
        self.close()
        return self._open_file(first)

    def _open_file(self, first: int) -> LineFile:
        self._file = LineFile(self._parts.files, self._parts.paths.segment(first))
        self._named = False
        return self._file

    def _is_full(self) -> bool:
        return len(self._leaves) == SEGMENT_ENTRIES

    def _take(self, file: LineFile, length: int) -> bytes:
        """Fold in the good lines up to `length`; what follows the last of them."""
        if length == file.size:
            return b""
        data = file.read(file.size, length)
        try:
            found = walk(data, self.head, self._parts.ledger, self._fold)
        except BaseException:
            # A fold that fails half way leaves a state of no known place: read everything anew next time.
            self.close()
            raise
        self.head = self.shown = found.head
        self._leaves.extend(found.leaves)
        # A segment's first line was on the disk before the segment had its name.
        self.foreign = self.foreign or (bool(found.leaves) and len(self._leaves) > 1)
        file.size += found.consumed
        if len(self._leaves) > SEGMENT_ENTRIES:
            self.close()
            raise IntegrityError("bad_link", where=file.path.name, detail="more lines than a segment holds")
        return data[found.consumed :]

    def _fold(self, entry: LedgerEntry) -> None:
        self.state = self._parts.fold.apply(self.state, entry)
        self._note(entry)

    def _note(self, entry: LedgerEntry) -> None:
        if entry.kind in MIRRORED:
            self.mirrored = max(self.mirrored, int(entry.data["wal_seq"]))
        self._seen(entry)

    def _require(self, anchors: Anchors) -> None:
        where = self._parts.paths.ledger.name
        shortfall = anchors.shortfall(self.head.seq + 1)
        if shortfall:
            raise IntegrityError("truncated", where=where, detail=shortfall)
        at = anchors.hint_seq - self._before.size
        if at >= 0 and anchors.contradicts(anchors.hint_seq, self._leaves[at].hex()):
            raise IntegrityError(
                "rewritten", where=where, detail=f"entry {anchors.hint_seq} is not the acknowledged one"
            )

    def _judge(self, file: LineFile, rest: bytes, *, recover: bool) -> Torn | None:
        verdict = split_tail(rest, file.size)
        if verdict.status != "torn":
            fault = walk(rest, self.head, self._parts.ledger).fault
            raise damage(fault or Fault("bad_json", self.head.seq + 1, "no line"), file.path.name)
        if not recover:
            return None
        label = f"{self.head.seq + 1:016d}-ledger"
        torn = quarantine(self._parts.files, self._parts.paths.quarantine, label, rest)
        file.cut(file.size)
        return torn


def damage(fault: Fault, where: str) -> IntegrityError:
    """`fault` as the error an opener raises."""
    code = CODE_OF_REASON.get(fault.reason, fault.reason)
    return IntegrityError(code, where=f"{where} entry {fault.seq}", detail=fault.detail)


def first_line(line: bytes, first: int, ledger: str) -> LedgerEntry:
    """The entry that opens the segment `first`, checked as far as a line alone can be; IntegrityError otherwise."""
    where = f"segment {first}"
    try:
        _, body = unframe(line[:-1])
    except AutopilotError as error:
        raise IntegrityError(error.code, where=where, detail=error.detail) from None
    # The line's own prev is taken as it is: only the segment before it could tell, and that is not read here.
    prev = body[body.find(b'"prev":"') + 8 :][:64].decode("ascii", "replace")
    entries: list[LedgerEntry] = []
    fault = walk(line, Head(first - 1, prev), ledger, entries.append).fault
    if fault is not None:
        raise damage(fault, where)
    if not entries or entries[0].kind != "segment.opened":
        raise IntegrityError("bad_link", where=where, detail="the segment does not open with segment.opened")
    return entries[0]


def read_entries(paths: StorePaths, ledger: str, start: int, stop: int) -> Iterator[LedgerEntry]:
    """The entries from `start` up to, not including, `stop`, each checked against the one before it.

    All must be there: a segment that ends early, or that the next one does not follow, is IntegrityError.
    """
    before: Head | None = None
    for first in range(start // SEGMENT_ENTRIES * SEGMENT_ENTRIES, stop, SEGMENT_ENTRIES):
        path = paths.segment(first)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise IntegrityError("ledger_missing", where=path.name, detail="a segment is missing") from None
        head = Head()
        if first:
            opened = first_line(data[: data.find(b"\n") + 1], first, ledger)
            head = Head(first - 1, opened.record["prev"])
        if before not in (None, head):
            raise IntegrityError("bad_link", where=path.name, detail="it does not follow the segment before it")
        entries: list[LedgerEntry] = []
        found = walk(data, head, ledger, entries.append)
        if found.fault is not None and found.fault.seq < stop:
            raise damage(found.fault, path.name)
        if found.head.seq + 1 < min(stop, first + SEGMENT_ENTRIES):
            raise IntegrityError("truncated", where=path.name, detail="the segment ends early")
        before = found.head
        yield from (entry for entry in entries if start <= entry.seq < stop)
