"""What grows: a ledger of a million entries opened, appended to, verified and proved, and many callers at once.

What is done to the large ledger is done in a process of its own, so that its peak memory is its own as well.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autopilot.bench.floors import UnsyncedFiles
from autopilot.bench.measure import Figures, Step, figures_of, measure
from autopilot.bench.workplace import AGENT
from autopilot.kernel.callers import ENGINE
from autopilot.kernel.files import DiskFiles
from autopilot.kernel.stamps import stamp
from autopilot.ledger.chain import Head, compose
from autopilot.ledger.entry import Draft
from autopilot.ledger.merkle import CompactRange
from autopilot.process.fold import ProcessFold
from autopilot.storage.files.creation import Genesis, create_store
from autopilot.storage.files.layout import SEGMENT_ENTRIES, StorePaths
from autopilot.storage.files.store import FileStore, StoreParts
from autopilot.storage.files.verify import verify_files
from autopilot.version import VERSION
from autopilot.wiring.checkpoints import prove

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

PROCESSES = 8
_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Verified:
    """One verification: what it found, and how fast."""

    entries: int
    intact: bool
    seconds: float

    @property
    def per_second(self) -> float:
        """Entries checked in a second."""
        return self.entries / self.seconds


@dataclass(frozen=True, slots=True)
class Crowd:
    """Several processes on one ledger: the figures of each, and whether one whole chain came out."""

    each: tuple[Figures, ...]
    expected: int
    entries: int
    intact: bool

    @property
    def whole(self) -> bool:
        """One chain, none lost."""
        return self.intact and self.entries == self.expected


def write_ledger(folder: Path, entries: int) -> StoreParts:
    """A ledger of `entries` lines below `folder`, written with the chain's own code but without syncs."""
    parts = StoreParts(folder, ProcessFold(), files=UnsyncedFiles())
    with closing(create_store(parts, _genesis())) as store:
        head, ledger = store.view().head, store.ledger_id
        leaves = [bytes.fromhex(head.hash)]
        dump = parts.fold.dump(store.view().state)
        state = {"sha256": store.objects.put(dump), "bytes": len(dump)}
        before = CompactRange()
        paths = StorePaths(folder)
        for first in range(0, entries, SEGMENT_ENTRIES):
            lines: list[bytes] = []
            if first:
                before, leaves = before.extended(leaves), []
                data = {"range": before.as_dict(), "state": state, "wal_seq": 0}
                head = _add(head, ledger, Draft(kind="segment.opened", caller=ENGINE, data=data), lines, leaves)
            while head.seq + 1 < min(first + SEGMENT_ENTRIES, entries):
                head = _add(head, ledger, _draft(head.seq + 1), lines, leaves)
            with paths.segment(first).open("ab") as file:
                file.write(b"".join(lines))
    return StoreParts(folder, ProcessFold())


def _genesis() -> Genesis:
    return Genesis(AGENT, f"autopilot {VERSION}")


def _draft(number: int) -> Draft:
    data = {"decision": f"D-{number}", "why": "a line of the usual length, as an engine writes many of them"}
    return Draft(kind="decision", caller=AGENT, data=data)


def _add(head: Head, ledger: str, draft: Draft, lines: list[bytes], leaves: list[bytes]) -> Head:
    entry, line = compose(head, ledger, draft, stamp(_BEGIN + timedelta(seconds=head.seq)))
    lines.append(line)
    leaves.append(bytes.fromhex(entry.hash))
    return Head(entry.seq, entry.hash)


@dataclass(frozen=True, slots=True)
class Alone:
    """What one call took in a process of its own: seconds, and the peak of the process's memory in bytes."""

    seconds: float
    peak_bytes: int
    result: Any


def alone(call: Callable[..., Any], *given: Any) -> Alone:
    """Make `call`, a function of a module, in a fresh process, with its code loaded before the clock starts."""
    context = multiprocessing.get_context("spawn")
    answer = context.SimpleQueue()
    process = context.Process(target=_answer, args=(answer, call, given))
    process.start()
    found: Alone | str = answer.get()
    process.join()
    if isinstance(found, Alone):
        return found
    raise RuntimeError(found)


def _answer(answer: Any, call: Callable[..., Any], given: tuple[Any, ...]) -> None:
    try:
        begin = time.perf_counter()
        result = call(*given)
        seconds = time.perf_counter() - begin
        usage = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        # Linux counts in KiB, macOS in bytes.
        answer.put(Alone(seconds, usage * (1 if sys.platform == "darwin" else 1024), result))
    except Exception as error:  # noqa: BLE001 - raised where it was asked for
        answer.put(f"{type(error).__name__}: {error}")


def open_and_append(folder: Path) -> int:
    """Open the ledger and append one line; the line's number."""
    with closing(FileStore.open(StoreParts(folder, ProcessFold()))) as store, store.transaction() as tx:
        return tx.append(_draft(0)).seq


def prove_line(folder: Path, seq: int) -> int:
    """Verify the ledger and prove the line `seq`; the length of its path."""
    return len(prove(folder, 0, seq)["path"])


def verification(folder: Path, *, processors: int = 0) -> Verified:
    """Verify the whole ledger, once; on so many processors, if not 0."""
    if processors and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:processors])
    begin = time.perf_counter()
    report = verify_files(folder)
    return Verified(report.entries, report.intact, time.perf_counter() - begin)


def opening(ledgers: dict[str, StoreParts], rounds: int) -> dict[str, Figures]:
    """Open and close each ledger in turn, in a process that has its code loaded."""

    def open_once(parts: StoreParts) -> Callable[[int], object]:
        return lambda _: FileStore.open(parts).close()

    return measure([Step(open_once(parts), name) for name, parts in ledgers.items()], rounds, warm_up=3)


def threads(folder: Path, rounds: int, callers: int) -> tuple[Figures, float, int]:
    """So many threads of one process append at once; the figures of a call, lines a second, and how many syncs."""
    files = _CountedFiles()
    taken: list[int] = []

    def work(share: int) -> None:
        for number in range(share):
            begin = time.perf_counter_ns()
            with store.transaction() as tx:
                tx.append(_draft(number))
            taken.append(time.perf_counter_ns() - begin)

    with closing(create_store(StoreParts(folder, ProcessFold(), files=files), _genesis())) as store:
        before, share = files.syncs, -(-rounds // callers)
        members = [threading.Thread(target=work, args=(share,)) for _ in range(callers)]
        begin = time.perf_counter()
        for member in members:
            member.start()
        for member in members:
            member.join()
        seconds = time.perf_counter() - begin
        return figures_of(taken), len(taken) / seconds, files.syncs - before


class _CountedFiles(DiskFiles):
    def __init__(self) -> None:
        self.syncs = 0

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        self.syncs += 1


def crowd(folder: Path, rounds: int) -> Crowd:
    """Eight processes append at once, each a quarter of `rounds` lines, so that a 99th percentile means something."""
    share = -(-rounds // 4)
    with closing(create_store(StoreParts(folder, ProcessFold()), _genesis())) as store:
        context = multiprocessing.get_context("spawn")
        start, results = context.Barrier(PROCESSES), context.Queue()
        members = [
            context.Process(target=_append_many, args=(str(folder), share, start, results)) for _ in range(PROCESSES)
        ]
        for member in members:
            member.start()
        durations = [results.get(timeout=600) for _ in members]
        for member in members:
            member.join()
        report = store.verify()
    expected = 1 + PROCESSES * share
    return Crowd(tuple(figures_of(taken) for taken in durations), expected, report.entries, report.intact)


def _append_many(folder: str, count: int, start: Barrier, results: multiprocessing.Queue[list[int]]) -> None:
    with closing(FileStore.open(StoreParts(Path(folder), ProcessFold()))) as store:
        start.wait(timeout=300)
        taken: list[int] = []
        for number in range(count):
            begin = time.perf_counter_ns()
            with store.transaction() as tx:
                tx.append(_draft(number))
            taken.append(time.perf_counter_ns() - begin)
    results.put(taken)
