"""Verification of a store's files, from the first line to the last. Opens nothing for writing.

The sizes are taken under the lock, shared and only for that moment; what is appended while the check runs belongs
to the next one. Where there is no lock file (an auditor's copy) none is needed.

The segments of a long ledger are looked at by several processes. Each is checked against what its own first line says
of the lines before it, and then whether that is what the segment before it ends with. If anything at all does not fit,
the check is made anew from the first line on, one segment after the other: that says what is wrong.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from autopilot.kernel.canonical import encode, parse, sha256_hex
from autopilot.kernel.errors import AutopilotError, IntegrityError
from autopilot.kernel.files import DiskFiles
from autopilot.kernel.framing import MAX_LINE_BYTES, split_tail
from autopilot.ledger.chain import REASON_OF_FRAME, Head, Walk, walk
from autopilot.ledger.entry import LedgerEntry
from autopilot.ledger.merkle import CompactRange, compact_range, perfect_root
from autopilot.ledger.verify import Anchors, VerifyReport, corrupt, intact
from autopilot.storage.files.apart import check_apart, processors
from autopilot.storage.files.hint import read_hint
from autopilot.storage.files.layout import SEGMENT_ENTRIES, StorePaths
from autopilot.storage.files.leases import LeaseLog
from autopilot.storage.files.ledger import first_line
from autopilot.storage.files.lock import StoreLock
from autopilot.storage.files.moved import moved_to
from autopilot.storage.files.record_log import LogPlace
from autopilot.storage.objects import ObjectStore

APART_SEGMENTS = 16
"""From so many segments on, several processes look at them."""

_LOCK_WAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """What there was to check at one moment."""

    starts: list[int]
    last_bytes: int
    anchors: Anchors
    leases_fault: str


def verify_files(state_dir: Path, floor: int = 0, *, locked: bool = False, since: int = 0) -> VerifyReport:
    """Check the ledger below `state_dir`; `floor` is the least number of entries there must be.

    `locked` says that the caller holds the lock already. `since` leaves out the segments before the one that holds
    that entry (or, beyond the end, all but the last): their range and state are believed as the first line tells them.
    """
    paths = StorePaths(state_dir)
    try:
        identity = parse(paths.identity.read_bytes())
        ledger = str(identity["ledger"])
    except (OSError, AutopilotError, KeyError, TypeError):
        return corrupt("missing", 0, detail="LEDGER.json is not there or not readable", where=str(paths.identity))
    with _moment(paths, locked=locked):
        taken = _take_snapshot(paths, ledger, floor)
    report = _verify_segments(paths, ledger, taken, since)
    if report.intact and taken.leases_fault:
        report = corrupt("bad_hash", report.entries, detail=taken.leases_fault, where="leases.wal")
    if paths.poisoned.exists():
        moved = moved_to(paths)
        detail = f"it was moved to {moved[0]}, and is read no more" if moved else "a sync failed earlier"
        return corrupt("poisoned", report.entries, detail=detail, where=str(paths.poisoned))
    return report


@contextlib.contextmanager
def _moment(paths: StorePaths, *, locked: bool) -> Iterator[None]:
    if locked or not paths.lock.exists():
        yield
        return
    lock = StoreLock(paths.lock, _LOCK_WAIT_SECONDS)
    with contextlib.closing(lock), lock.held(shared=True):
        yield


def _take_snapshot(paths: StorePaths, ledger: str, floor: int) -> _Snapshot:
    starts = paths.segment_starts()
    hint = read_hint(paths.head, ledger) or Head()
    return _Snapshot(
        starts,
        paths.segment(starts[-1]).stat().st_size if starts else 0,
        Anchors(hint.seq, hint.hash, floor),
        _leases_fault(paths, ledger),
    )


def _leases_fault(paths: StorePaths, ledger: str) -> str:
    """What is wrong with the lease log, or nothing. A torn tail is not: the next writer mends it."""
    if not paths.leases.parent.exists():
        return ""  # an auditor's copy of the ledger alone
    leases = LeaseLog(DiskFiles(), LogPlace(paths.leases, paths.quarantine, ledger))
    try:
        leases.catch_up()
    except IntegrityError as error:
        return error.detail or error.code
    finally:
        leases.close()
    return ""


def _verify_segments(paths: StorePaths, ledger: str, taken: _Snapshot, since: int) -> VerifyReport:
    head, range_ = Head(), CompactRange()
    begin = min(since // SEGMENT_ENTRIES * SEGMENT_ENTRIES, taken.starts[-1]) if taken.starts else 0
    if not begin:
        head, range_ = _verify_apart(paths, ledger, taken)
    for index, first in enumerate(taken.starts or [0]):
        path = paths.segment(first)
        if first != index * SEGMENT_ENTRIES or not taken.starts:
            gap = index * SEGMENT_ENTRIES
            return corrupt("missing", gap, detail="a segment is missing", where=paths.segment(gap).name)
        last = first == taken.starts[-1]
        if first < begin or first <= head.seq:
            continue
        if first and first == begin:
            try:
                head, range_ = _believed(path, first, ledger)
            except IntegrityError as error:
                reason = REASON_OF_FRAME.get(error.code, error.code)
                return corrupt(reason, first, detail=error.detail, where=path.name)
        found = _Segment(path, first, head, range_).check(paths, ledger, taken.last_bytes if last else -1)
        if found.fault is not None:
            return found.fault
        before, head = head, found.head
        if before.seq < taken.anchors.hint_seq <= head.seq:
            digest = found.leaves[taken.anchors.hint_seq - first].hex()
            if taken.anchors.contradicts(taken.anchors.hint_seq, digest):
                detail = "not the line that was acknowledged"
                return corrupt("rewritten", taken.anchors.hint_seq, detail=detail, where=path.name)
        if not last:
            range_ = range_.extended(found.leaves)
    shortfall = taken.anchors.shortfall(head.seq + 1)
    if shortfall:
        return corrupt("truncated", head.seq + 1, detail=shortfall, where=paths.ledger.name)
    return intact(head.seq + 1)


def _verify_apart(paths: StorePaths, ledger: str, taken: _Snapshot) -> tuple[Head, CompactRange]:
    """How far several processes found everything in order: segments before the last, and before the hint's line."""
    head, range_ = Head(), CompactRange()
    starts = taken.starts[:-1]
    if taken.anchors.hint_seq >= 0:
        starts = [first for first in starts if first + SEGMENT_ENTRIES <= taken.anchors.hint_seq]
    dense = all(first == index * SEGMENT_ENTRIES for index, first in enumerate(starts))
    count = processors()
    if len(starts) < APART_SEGMENTS or count < 2 or not dense:
        return head, range_
    found = check_apart([partial(_alone, paths, ledger, first) for first in starts], count)
    for answer in found or ():
        segment = parse(answer)
        if (segment["prev"], segment["range"]) != (head.hash, range_.as_dict()):
            return Head(), CompactRange()
        head = Head(segment["seq"], segment["hash"])
        range_ = range_.with_subtree(bytes.fromhex(segment["root"]), SEGMENT_ENTRIES)
    return head, range_


def _alone(paths: StorePaths, ledger: str, first: int) -> bytes:
    """Check a full segment that is not the last, by itself: what it says of before, and how it ends.

    IntegrityError for the least thing that is wrong in it.
    """
    path = paths.segment(first)
    head, range_ = _believed(path, first, ledger) if first else (Head(), CompactRange())
    found = _Segment(path, first, head, range_).check(paths, ledger, -1)
    if found.fault is not None:
        raise found.fault.error()
    return encode(
        {
            "prev": head.hash,
            "range": range_.as_dict(),
            "seq": found.head.seq,
            "hash": found.head.hash,
            "root": perfect_root(found.leaves).hex(),
        }
    )


def _believed(path: Path, first: int, ledger: str) -> tuple[Head, CompactRange]:
    """What the first line of the segment says of the lines before it; IntegrityError if it is no such line."""
    with path.open("rb") as file:
        opened = first_line(file.readline(MAX_LINE_BYTES), first, ledger)
    range_ = compact_range(opened.data["range"])
    if range_.size != first:
        raise IntegrityError("bad_link", where=path.name, detail=f"a range of {range_.size} lines")
    return Head(first - 1, opened.record["prev"]), range_


@dataclass(slots=True)
class _Checked:
    head: Head
    leaves: list[bytes]
    fault: VerifyReport | None = None


@dataclass(frozen=True, slots=True)
class _Segment:
    """One segment and what came before it."""

    path: Path
    first: int
    head: Head
    before: CompactRange

    def check(self, paths: StorePaths, ledger: str, size: int) -> _Checked:
        """Check the segment, up to `size` bytes if it is the last (-1: it must be full and end with its last line)."""
        with self.path.open("rb") as file:
            data = file.read(size)
        found = walk(data, self.head, ledger)
        checked = _Checked(found.head, found.leaves)
        if self.first and found.leaves:
            checked.fault = self._opening_fault(paths, data[: data.find(b"\n") + 1], ledger)
        if checked.fault is None:
            checked.fault = self._fault(data, found, last=size >= 0)
        return checked

    def _fault(self, data: bytes, found: Walk, *, last: bool) -> VerifyReport | None:
        seq, name = found.head.seq + 1, self.path.name
        if seq - self.first > SEGMENT_ENTRIES:
            return corrupt(
                "bad_link", self.first + SEGMENT_ENTRIES, detail="more lines than a segment holds", where=name
            )
        rest = data[found.consumed :]
        if rest and last and split_tail(rest, found.consumed).status == "torn":
            return corrupt("torn_tail", seq, detail=f"{len(rest)} bytes were not written whole", where=name)
        if found.fault is not None:
            return corrupt(found.fault.reason, found.fault.seq, detail=found.fault.detail, where=name)
        if rest:
            return corrupt("bad_json", seq, detail="the rest is no line", where=name)
        if seq == self.first or (not last and seq - self.first < SEGMENT_ENTRIES):
            return corrupt("missing", seq, detail="the segment ends early", where=name)
        return None

    def _opening_fault(self, paths: StorePaths, line: bytes, ledger: str) -> VerifyReport | None:
        """The first line must sum up what came before: its range is ours, its state object is there and whole."""
        entries: list[LedgerEntry] = []
        walk(line, self.head, ledger, entries.append)
        opened, name = entries[0], self.path.name
        if opened.kind != "segment.opened" or opened.data.get("range") != self.before.as_dict():
            detail = "the segment's compact range is not that of the lines before it"
            return corrupt("bad_link", self.first, detail=detail, where=name)
        return _state_fault(paths, opened.data.get("state"), self.first)


def _state_fault(paths: StorePaths, state: Any, seq: int) -> VerifyReport | None:
    if not paths.objects.exists():
        return None  # an auditor's copy of the ledger alone
    try:
        data = ObjectStore(DiskFiles(), paths.objects).get(state["sha256"])
    except (AutopilotError, KeyError, TypeError) as error:
        return corrupt("missing", seq, detail=f"state object: {error}", where=paths.segment(seq).name)
    if len(data) != state["bytes"] or sha256_hex(data) != state["sha256"]:
        return corrupt("bad_hash", seq, detail="state object", where=paths.segment(seq).name)
    return None
