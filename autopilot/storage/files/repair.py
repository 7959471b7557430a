"""Repair by a person: keep what verifies, put the rest into quarantine, and put that on record.

Nothing is deleted and nothing is guessed. The part of the ledger that verifies is copied to a new file (after a
failed sync the kernel may show bytes that the disk does not have, so even a good file is written anew, and so is every
object), everything after it is moved to `quarantine/`, and a `ledger.recovered` line says who did it, why, and what was
taken out. A lease log that does not verify is started anew with the fences that the ledger knows, nothing held.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import encode
from autopilot.kernel.errors import ContractError, IntegrityError, RefusedError, StorageError
from autopilot.kernel.files import (
    Files,
    create_durably,
    make_dir_durably,
    make_empty,
    remove_durably,
    replace_durably,
)
from autopilot.kernel.placing import try_lock
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.leases.book import fences_from_ledger
from autopilot.leases.terms import task_of
from autopilot.ledger.chain import Head, walk
from autopilot.ledger.entry import Draft, LedgerEntry
from autopilot.ledger.kinds import MIRRORED
from autopilot.storage.files.hint import read_hint, write_hint
from autopilot.storage.files.layout import SEGMENT_ENTRIES, StorePaths
from autopilot.storage.files.leases import LeaseLog
from autopilot.storage.files.lock import StoreLock
from autopilot.storage.files.moved import refuse_moved
from autopilot.storage.files.quarantine import Torn, cut_for, quarantine
from autopilot.storage.files.record_log import LogPlace
from autopilot.storage.files.store import LOCK_WAIT_SECONDS, FileStore, StoreParts, read_identity
from autopilot.storage.files.verify import verify_files
from autopilot.storage.objects import ObjectStore

_UNDER_REPAIR = encode({"where": "repair", "detail": "a repair has begun"}) + b"\n"


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What a repair left: the entries kept, the line that records it, and what is in quarantine."""

    entries: int
    seq: int
    cause: str
    dropped: tuple[Torn, ...]
    dropped_entries: int


@dataclass(frozen=True, slots=True)
class _Kept:
    """How far the ledger verifies, and what it says about leases."""

    entries: int
    head: Head
    fences: dict[str, int]
    wal_seq: int


def repair(parts: StoreParts, *, caller: Caller, reason: str) -> RepairReport:
    """Bring the store back to what verifies. Only a person may, and says why.

    RefusedError `human_only`; IntegrityError if not even the first line verifies; StorageError `lock_timeout` while
    another repair is under way. Whoever keeps the ledger's size elsewhere (`autopilot.id`) has to write it anew
    afterwards.
    """
    if caller.kind != "human":
        raise RefusedError(Verdict((Reason("human_only", where="ledger repair"),)))
    if not reason.strip():
        raise ContractError("reason_missing", where="reason", remedy="say why: --reason TEXT")
    paths = StorePaths(parts.state_dir)
    ledger = read_identity(paths)
    refuse_moved(paths)
    with _alone(paths):
        return _repair(parts, paths, ledger, caller, reason)


@contextlib.contextmanager
def _alone(paths: StorePaths) -> Iterator[None]:
    """One repair at a time: the second would take away a mark that a sync which failed since the first has left."""
    descriptor = os.open(paths.identity, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if not try_lock(descriptor):
            detail = "another repair is under way"
            raise StorageError("lock_timeout", where=str(paths.identity), detail=detail, retryable=True)
        yield
    finally:
        os.close(descriptor)


def _repair(parts: StoreParts, paths: StorePaths, ledger: str, caller: Caller, reason: str) -> RepairReport:
    lock = StoreLock(paths.lock, LOCK_WAIT_SECONDS)
    with contextlib.closing(lock), lock.held():
        cause = "repair" if _is_fit(paths) else "poisoned"
        acknowledged = max((read_hint(paths.head, ledger) or Head()).seq + 1, parts.floor)
        kept = _kept(paths, ledger)
        if not paths.poisoned.exists():
            # A repair that is cut short has to be taken up again, not taken for a ledger that was always so.
            create_durably(parts.files, paths.poisoned, _UNDER_REPAIR)
        _cut_ledger(parts.files, paths, kept)
        write_hint(parts.files, paths.head, ledger, kept.head)
        _mend_leases(parts.files, paths, ledger, kept)
        if cause == "poisoned":
            # The sync that failed may have been an object's: a later one of its folder says nothing of what was lost.
            ObjectStore(parts.files, paths.objects).renew()
        dropped = [torn for _, torn in cut_for(paths.quarantine, kept.entries)]
    unpoisoned = StoreParts(parts.state_dir, parts.fold, parts.files, parts.clock)
    lost = max(0, acknowledged - kept.entries)
    seq = _put_on_record(unpoisoned, ledger, _recovered(caller, reason, cause, dropped, lost))
    make_empty(parts.files, paths.reserve)
    remove_durably(parts.files, paths.poisoned)
    return RepairReport(kept.entries, seq, cause, tuple(dropped), lost)


def _is_fit(paths: StorePaths) -> bool:
    """Whether no sync failed: there is no mark, or only that of a repair which was cut short."""
    return not paths.poisoned.exists() or paths.poisoned.read_bytes() == _UNDER_REPAIR


def _kept(paths: StorePaths, ledger: str) -> _Kept:
    """Walk the ledger as far as it verifies."""
    head, fences, wal_seq = Head(), dict[str, int](), 0

    def notice(entry: LedgerEntry) -> None:
        nonlocal wal_seq
        if entry.kind in MIRRORED:
            wal_seq = max(wal_seq, int(entry.data["wal_seq"]))
        handover = entry.data.get("handover") or {}
        for lease in (entry.record["lease"], handover):
            if lease:
                task = task_of(lease["resource"])
                fences[task] = max(fences.get(task, 0), int(lease["fence"]))

    for index, first in enumerate(paths.segment_starts()):
        if first != index * SEGMENT_ENTRIES or head.seq != first - 1:
            break
        found = walk(_segment_lines(paths.segment(first)), head, ledger, notice)
        head = found.head
        if found.fault is not None:
            break
    # A segment whose opening does not sum up what came before cannot be started from.
    report = verify_files(paths.state_dir, locked=True)
    if report.seq < head.seq + 1 and report.reason not in ("rewritten", "poisoned", "truncated", None):
        head = _head_before(paths, ledger, report.seq)
    if head.seq < 0:
        raise IntegrityError("bad_ledger_json", where="entry 0", detail="not even the first line verifies")
    return _Kept(head.seq + 1, head, fences, wal_seq)


def _segment_lines(path: Path) -> bytes:
    """At most a segment's number of lines: what goes beyond is not the ledger's."""
    lines = path.read_bytes().splitlines(keepends=True)
    return b"".join(lines[:SEGMENT_ENTRIES])


def _head_before(paths: StorePaths, ledger: str, seq: int) -> Head:
    head = Head()
    for first in range(0, seq, SEGMENT_ENTRIES):
        lines = paths.segment(first).read_bytes().split(b"\n")[: min(SEGMENT_ENTRIES, seq - first)]
        head = walk(b"".join(line + b"\n" for line in lines), head, ledger).head
    return head


def _cut_ledger(files: Files, paths: StorePaths, kept: _Kept) -> None:
    """Copy away what does not verify, then take it out: the later segments last to first, then the bad one's rest."""
    last = (kept.entries - 1) // SEGMENT_ENTRIES * SEGMENT_ENTRIES
    for first in reversed([start for start in paths.segment_starts() if start > last]):
        path = paths.segment(first)
        quarantine(files, paths.quarantine, f"{kept.entries:016d}-segment-{first:016d}", path.read_bytes())
        remove_durably(files, path)
    path = paths.segment(last)
    content = path.read_bytes()
    lines = content.split(b"\n")[: kept.entries - last]
    good = b"".join(line + b"\n" for line in lines)
    if content != good:
        quarantine(files, paths.quarantine, f"{kept.entries:016d}-ledger", content[len(good) :])
    replace_durably(files, path, good)


def _mend_leases(files: Files, paths: StorePaths, ledger: str, kept: _Kept) -> None:
    """Write the lease log anew: its book if it verifies and knows all fences, else the ledger's fences."""
    leases = LeaseLog(files, LogPlace(paths.leases, paths.quarantine, ledger))
    with contextlib.closing(leases):
        try:
            leases.catch_up(recorded_at=kept.entries)
            leases.require_fences(kept.fences)
            if leases.book.wal_seq >= kept.wal_seq:
                # Whole: the next transaction repeats on the ledger what it lacks. Written anew, as after a failed sync.
                replace_durably(files, paths.leases, paths.leases.read_bytes())
                return
        except IntegrityError:
            pass
        if paths.leases.exists():
            content = paths.leases.read_bytes()
            quarantine(files, paths.quarantine, f"{kept.entries:016d}-leases", content)
        make_dir_durably(files, paths.leases.parent)
        # Numbering goes on above whatever the ledger repeats, and above what the lost log may have reached.
        fences = {task: max(fence, leases.book.fence_high(task)) for task, fence in kept.fences.items()}
        for task in leases.book.tasks:
            fences[task] = max(fences.get(task, 0), leases.book.fence_high(task))
        leases.restart(fences_from_ledger(fences, max(kept.wal_seq, leases.book.wal_seq)))


def _recovered(caller: Caller, reason: str, cause: str, dropped: list[Torn], lost: int) -> Draft:
    data = {
        "log": "ledger",
        "cause": cause,
        "reason": reason,
        "dropped": [{"name": torn.name, "bytes": torn.bytes, "sha256": torn.sha256} for torn in dropped],
        "dropped_entries": lost,
    }
    return Draft(kind="ledger.recovered", caller=caller, data=data)


def _put_on_record(parts: StoreParts, ledger: str, draft: Draft) -> int:
    """Append the line of the repair. The store is still poisoned for everyone else until that is done."""
    store = FileStore(parts, ledger)
    with contextlib.closing(store):
        return store.append_recovery(draft).seq
