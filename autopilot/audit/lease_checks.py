"""The lease log against the ledger: each record is repeated as it stands, none is made up, none is left of an end.

The lease log is the authority for who holds what, the ledger for fences; what the two owe each other after a crash is
in docs/reference/wal.md. What the next writer mends by itself is a minor finding here, and nothing else is.
"""

from __future__ import annotations

from collections.abc import Iterator

from autopilot.audit.facts import Facts
from autopilot.audit.findings import Finding, Result
from autopilot.audit.ledger_checks import LEASE_LOG
from autopilot.audit.trail import Trail
from autopilot.kernel.errors import IntegrityError
from autopilot.kernel.phases import Terminal
from autopilot.leases.book import EMPTY_BOOK, LeaseBook, apply
from autopilot.leases.records import Grant, LeaseRecord, MirrorLine, Snapshot, mirror_of
from autopilot.leases.stored import parse_record
from autopilot.ledger.entry import LedgerEntry

Numbered = tuple[int, LeaseRecord]


def check_leases(facts: Facts, trail: Trail, on_ledger: tuple[Finding, ...]) -> Result:
    """The whole of it; `on_ledger` is what the lines alone showed (fences, grants after an end)."""
    report = facts.report
    fault = facts.leases.fault or (report.detail if report.where.endswith(LEASE_LOG) else "")
    book, records = EMPTY_BOOK, list[Numbered]()
    if not fault:
        try:
            book, records = _read(facts)
        except IntegrityError as error:
            fault = f"{error.where}: {error.detail}"
    counts = {"records": len(records), "repeated": len(trail.mirrors)}
    if fault:
        found = Finding(code="lease_log_corrupt", where=LEASE_LOG, detail=fault)
        return Result(name="leases", counts=counts, findings=(found, *on_ledger))
    findings = (*on_ledger, *_mirrors(trail, records), *_behind(trail, book), *_fences(trail, book, records))
    return Result(name="leases", counts=counts, findings=(*findings, *_left_over(trail, book)))


def _read(facts: Facts) -> tuple[LeaseBook, list[Numbered]]:
    book, records = EMPTY_BOOK, list[Numbered]()
    for number, stored in enumerate(facts.leases.records):
        record = parse_record(stored, where=f"{LEASE_LOG} line {number}")
        book = apply(book, record)
        records.append((book.wal_seq, record))
    return book, records


def _mirrors(trail: Trail, records: list[Numbered]) -> Iterator[Finding]:
    repeated = max(trail.mirrors, default=0)
    pending: list[int] = []
    for number, record in records:
        due = mirror_of(record, number)
        if due is None:
            yield from _handed_on(trail, number, record)
            continue
        line = trail.mirrors.get(number)
        where = f"{LEASE_LOG} record {number}"
        if line is not None and not _is_same(due, line):
            detail = f"{due.kind} of {due.resource} under fence {due.fence}"
            yield Finding(
                code="mirror_unlike_record",
                where=where,
                seq=line.seq,
                task=due.task,
                detail=detail,
                evidence=line.hash,
            )
        elif line is None and number > repeated:
            pending.append(number)
        elif line is None:
            detail = f"{due.kind} of {due.resource}"
            yield Finding(code="mirror_missing", where=where, task=due.task, detail=detail)
    if pending:
        detail = f"{len(pending)} records"
        yield Finding(code="mirror_pending", where=f"{LEASE_LOG} record {pending[0]}", detail=detail)


def _handed_on(trail: Trail, number: int, record: LeaseRecord) -> Iterator[Finding]:
    """A grant of a move needs the move: it is the one record that no line of its own repeats."""
    if not isinstance(record, Grant) or record.how != "move" or trail.repaired:
        return
    lease = record.lease
    if trail.handed_on.get((lease.task, lease.fence)) != lease.resource:
        detail = f"{lease.resource} under fence {lease.fence}"
        where = f"{LEASE_LOG} record {number}"
        yield Finding(code="handover_unrecorded", where=where, task=lease.task, detail=detail)


def _is_same(due: MirrorLine, line: LedgerEntry) -> bool:
    lease = line.lease
    if lease is None or (line.kind, line.task) != (due.kind, due.task):
        return False
    same_caller = line.actor == due.caller.as_dict()
    return (lease.resource, lease.fence) == (due.resource, due.fence) and same_caller and line.data == due.data


def _behind(trail: Trail, book: LeaseBook) -> Iterator[Finding]:
    beyond = sorted(number for number in trail.mirrors if number > book.wal_seq)
    if beyond:
        line = trail.mirrors[beyond[0]]
        detail = f"the log ends with record {book.wal_seq}, the ledger repeats {beyond[-1]}"
        yield Finding(code="lease_log_behind", where=LEASE_LOG, seq=line.seq, detail=detail, evidence=line.hash)


def _fences(trail: Trail, book: LeaseBook, records: list[Numbered]) -> Iterator[Finding]:
    if any(number > book.wal_seq for number in trail.mirrors):
        return  # behind as a whole, which was said
    for task in trail.tasks.values():
        high = book.fence_high(task.id)
        if high < task.fence:
            # The last fence came with a move: the log's records of that ride unsynced, and are made again from it.
            code = "handover_pending" if task.fence_seq >= 0 else "lease_log_corrupt"
            detail = f"fence {task.fence} on the ledger, {high} in the log"
            yield Finding(code=code, where=LEASE_LOG, task=task.id, detail=detail)
    if records and not trail.repaired and not isinstance(records[0][1], Snapshot):
        for task_id in book.tasks:
            if task_id not in trail.tasks:
                yield Finding(code="mirror_missing", where=LEASE_LOG, task=task_id, detail="no such task on the ledger")


def _left_over(trail: Trail, book: LeaseBook) -> Iterator[Finding]:
    """Leases of tasks that have ended. One held when a person abandoned the task runs out by itself."""
    for lease in book.leases():
        task = trail.tasks.get(lease.task)
        if task is None or not task.ended:
            continue
        detail = f"{lease.resource} under fence {lease.fence}; the task ended with line {task.ended_seq}"
        if lease.fence > task.fence:
            # Not on the ledger yet: a grant that is there is a finding of its line.
            yield Finding(code="lease_of_ended_task", where=LEASE_LOG, task=task.id, detail=detail)
        elif lease.fence <= task.end_fence and task.stage == Terminal.CLOSED:
            yield Finding(code="handover_pending", where=LEASE_LOG, task=task.id, detail=detail)
