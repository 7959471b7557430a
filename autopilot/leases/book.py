"""The lease book: who holds what, folded from the lease log.

`apply` is the one way a record changes the book, on the way in and on replay alike. It trusts no record: a fence
that does not rise, a grant over a lease that still stands, a record about a lease that is not the current one, all
are `lease_log_corrupt`. Highest fences never fall, across snapshots too: `apply` over `snapshot(book)` from the
empty book gives the same book.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from autopilot.kernel.canonical import digest_of, encode
from autopilot.kernel.errors import IntegrityError
from autopilot.leases.records import (
    Expire,
    Force,
    Grant,
    Lapse,
    LeaseRecord,
    Release,
    Renew,
    Snapshot,
    TaskLeases,
    task_dict,
)
from autopilot.leases.terms import Lease, Moment, task_of

LAPSES_KEPT = 8
"""Fences that ran out are remembered per task, this many: enough to tell a slow caller from a forger."""

SNAPSHOT_PART_BYTES = 48_000
"""A snapshot's parts stay under this, well below the 65,535 bytes that a line can hold."""

_UNKNOWN_TASK = TaskLeases()


@dataclass(frozen=True, slots=True)
class LeaseBook:
    """A value: `apply` returns the next one. `wal_seq` is the number of the last record in it, 0 for none.

    `parts_due` is not 0 only between the parts of a snapshot. `latest` is the latest time of any record of the present
    boot; what a compaction left out of the log it left out of this too, so it is no part of what makes two books equal.
    """

    tasks: Mapping[str, TaskLeases] = field(default_factory=dict)
    wal_seq: int = 0
    parts_due: int = 0
    latest: Moment | None = field(default=None, compare=False)

    def not_before(self, now: Moment) -> Moment:
        """`now`, or the latest time on record where the clock of this boot went back: what ran out stays over."""
        latest = self.latest
        if latest is None or latest.boot_id != now.boot_id or latest.boot_ns <= now.boot_ns:
            return now
        return latest

    def of_task(self, task: str) -> TaskLeases:
        """All that is known of `task`; fence 0 and nothing held if it never had a lease."""
        return self.tasks.get(task, _UNKNOWN_TASK)

    def fence_high(self, task: str) -> int:
        """The highest fence of `task`, 0 before the first. Whoever acts under a lower one is stale."""
        return self.of_task(task).fence_high

    def held(self, task: str) -> Lease | None:
        """The lease on record for `task`. It may have run out: ask `Lease.ran_out` or `decisions.standing`."""
        return self.of_task(task).held

    def leases(self) -> Iterator[Lease]:
        """Every lease on record, run out or not, by task id."""
        for task in sorted(self.tasks):
            held = self.tasks[task].held
            if held is not None:
                yield held


EMPTY_BOOK = LeaseBook()


def apply(book: LeaseBook, record: LeaseRecord) -> LeaseBook:
    """The book after `record`; IntegrityError `lease_log_corrupt` if the record cannot follow it."""
    if isinstance(record, Snapshot):
        return _apply_snapshot(book, record)
    if book.parts_due:
        raise _corrupt(book, f"{book.parts_due} parts of the snapshot are missing")
    resource = record.lease.resource if isinstance(record, Grant) else record.resource
    task = task_of(resource)
    after = _STEPS[type(record)](book, book.of_task(task), record)
    latest = _later(book.latest, _time_of(record, after))
    return LeaseBook({**book.tasks, task: after}, book.wal_seq + 1, latest=latest)


def apply_all(book: LeaseBook, records: Iterable[LeaseRecord]) -> LeaseBook:
    """`apply`, record after record."""
    for record in records:
        book = apply(book, record)
    return book


def snapshot(book: LeaseBook) -> tuple[Snapshot, ...]:
    """The book as the first records of a compacted log, in as many parts as the line limit asks for."""
    groups: list[list[tuple[str, TaskLeases]]] = [[]]
    room = SNAPSHOT_PART_BYTES
    for task, leases in sorted(book.tasks.items()):
        size = len(encode(task_dict(task, leases))) + 1
        if size > room and groups[-1]:
            groups.append([])
            room = SNAPSHOT_PART_BYTES
        groups[-1].append((task, leases))
        room -= size
    return tuple(Snapshot(part, len(groups), book.wal_seq, tuple(group)) for part, group in enumerate(groups))


def fences_from_ledger(fences: Mapping[str, int], wal_seq: int) -> LeaseBook:
    """The book that a repair starts a lost log with: the ledger's fences, nothing held."""
    return LeaseBook({task: TaskLeases(fence) for task, fence in fences.items()}, wal_seq)


def verify_fences(book: LeaseBook, fences: Mapping[str, int]) -> None:
    """IntegrityError `lease_log_corrupt` if the ledger knows a higher fence of any task than the book does.

    Grants are synced in the lease log before the ledger hears of them, and hand-overs have been rebuilt when this is
    asked; a log that is still behind has lost acknowledged records, and would give a fence out twice.
    """
    for task, fence in fences.items():
        if book.fence_high(task) < fence:
            raise _corrupt(book, f"{task} has fence {fence} on the ledger and {book.fence_high(task)} in the lease log")


def observed_digest(book: LeaseBook, task: str) -> str:
    """Names what a person looked at before forcing: the task's fence and holder. Renewals do not change it."""
    held = book.held(task)
    shown = held and {"resource": held.resource, "fence": held.fence, "session": held.holder.session}
    return digest_of({"task": task, "fence_high": book.fence_high(task), "held": shown})


def _time_of(record: Grant | Renew | Release | Expire | Force, after: TaskLeases) -> Moment | None:
    if isinstance(record, (Grant, Renew)):
        return None if after.held is None else Moment(after.held.renewed_ns, after.held.boot)
    return record.at


def _later(known: Moment | None, found: Moment | None) -> Moment | None:
    """The later of two times; one of another boot is of a later boot, for records are in order."""
    if known is None or found is None:
        return known or found
    return known if known.boot_id == found.boot_id and known.boot_ns >= found.boot_ns else found


def _corrupt(book: LeaseBook, detail: str) -> IntegrityError:
    return IntegrityError("lease_log_corrupt", where=f"leases.wal record {book.wal_seq + 1}", detail=detail)


def _current(book: LeaseBook, before: TaskLeases, resource: str, fence: int) -> Lease:
    held = before.held
    if held is None or (held.resource, held.fence) != (resource, fence):
        raise _corrupt(book, f"{resource} under fence {fence} is not the current lease")
    return held


def _granted(book: LeaseBook, before: TaskLeases, record: Grant) -> TaskLeases:
    lease = record.lease
    if lease.fence <= before.fence_high:
        raise _corrupt(book, f"fence {lease.fence} of {lease.resource} does not rise over {before.fence_high}")
    if before.held is not None:
        raise _corrupt(book, f"{lease.resource} granted while {before.held.resource} is held")
    return TaskLeases(lease.fence, lease, before.lapses)


def _renewed(book: LeaseBook, before: TaskLeases, record: Renew) -> TaskLeases:
    held = _current(book, before, record.resource, record.fence)
    if record.at_ns >= held.deadline_ns:
        raise _corrupt(book, f"{record.resource} renewed after its deadline")
    after = replace(held, deadline_ns=record.deadline_ns, renewed_ns=record.at_ns, renewals=held.renewals + 1)
    return replace(before, held=after)


def _released(book: LeaseBook, before: TaskLeases, record: Release) -> TaskLeases:
    if record.how != "move":
        _current(book, before, record.resource, record.fence)
        return replace(before, held=None)
    # Rebuilt from the ledger, a hand-over may end a lease whose own grant was lost with an earlier hand-over: the
    # ledger knows the fence, and the book takes it over.
    if before.held is not None and before.held.fence > record.fence:
        raise _corrupt(book, f"a move released fence {record.fence} while {before.held.fence} is held")
    return TaskLeases(max(before.fence_high, record.fence), None, before.lapses)


def _expired(book: LeaseBook, before: TaskLeases, record: Expire) -> TaskLeases:
    held = _current(book, before, record.resource, record.fence)
    lapses = (*before.lapses, Lapse(held.fence, held.holder.session))[-LAPSES_KEPT:]
    return TaskLeases(before.fence_high, None, lapses)


def _forced(book: LeaseBook, before: TaskLeases, record: Force) -> TaskLeases:
    ended = None if before.held is None else before.held.fence
    if record.fence != before.fence_high + 1 or record.ended != ended:
        raise _corrupt(book, f"forced from fence {before.fence_high}, holder {ended}, to {record.fence}")
    return TaskLeases(record.fence, None, before.lapses)


_STEPS: Mapping[type, Callable[[LeaseBook, TaskLeases, Any], TaskLeases]] = {
    Grant: _granted,
    Renew: _renewed,
    Release: _released,
    Expire: _expired,
    Force: _forced,
}


def _apply_snapshot(book: LeaseBook, record: Snapshot) -> LeaseBook:
    first = record.part == 0 and book == EMPTY_BOOK
    following = book.parts_due > 0 and record.parts - record.part == book.parts_due and record.wal_seq == book.wal_seq
    if not (first or following) or record.part >= record.parts:
        raise _corrupt(book, f"part {record.part} of a snapshot of {record.parts} out of its place")
    if any(task in book.tasks for task, _ in record.tasks):
        raise _corrupt(book, "a task stands twice in the snapshot")
    latest = book.latest
    for _, leases in record.tasks:
        if leases.held is not None:
            latest = _later(latest, Moment(leases.held.renewed_ns, leases.held.boot))
    return LeaseBook({**book.tasks, **dict(record.tasks)}, record.wal_seq, record.parts - record.part - 1, latest)
