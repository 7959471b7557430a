"""The book trusts no record, survives compaction byte for byte, and is never behind the ledger's fences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from autopilot.kernel.callers import ENGINE, Caller
from autopilot.kernel.canonical import dumps, loads
from autopilot.kernel.errors import IntegrityError
from autopilot.leases.book import (
    EMPTY_BOOK,
    LeaseBook,
    apply,
    apply_all,
    fences_from_ledger,
    observed_digest,
    snapshot,
    verify_fences,
)
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
    mirror_of,
    must_sync,
)
from autopilot.leases.stored import parse_record
from autopilot.leases.terms import Holder, Lease, Moment, ProcessIdentity, token_digest

SECOND = 1_000_000_000
AGENT, PERSON = Caller("agent-7", session="s-19"), Caller("ada", "human")
NOW = Moment(150 * SECOND, "boot-a")
LEASE = Lease(
    resource="T-1/PLAN",
    fence=3,
    holder=Holder(AGENT, ProcessIdentity("host", "pid:[1]", 4711, "88")),
    token_sha256=token_digest("t"),
    boot="boot-a",
    granted_ns=100 * SECOND,
    since_ns=100 * SECOND,
    deadline_ns=220 * SECOND,
    renewed_ns=100 * SECOND,
)
RENEW = Renew("T-1/PLAN", 3, 150 * SECOND, 270 * SECOND)
RELEASE = Release("T-1/PLAN", 3, AGENT, NOW)
EXPIRE = Expire("T-1/PLAN", 3, NOW, "deadline")
FORCE = Force("T-1/PLAN", 4, 3, NOW, PERSON, "hangs", "0" * 64)
RECORDS: list[LeaseRecord] = [Grant(LEASE), RENEW, RELEASE, EXPIRE, FORCE]
HELD = apply(EMPTY_BOOK, Grant(LEASE))


@pytest.mark.parametrize("record", [*RECORDS, *snapshot(apply(HELD, RENEW))], ids=lambda r: r.as_dict()["kind"])
def test_stored_form_comes_back(record: LeaseRecord) -> None:
    assert parse_record(loads(dumps(record.as_dict()))) == record


@pytest.mark.parametrize("record", [*RECORDS, *snapshot(HELD)], ids=lambda r: r.as_dict()["kind"])
def test_any_other_form_is_refused(record: LeaseRecord) -> None:
    stored = record.as_dict()
    broken: list[dict[str, Any]] = [{**stored, "surplus": 1}, {**stored, "kind": "grab"}]
    for name in stored:
        broken.append({key: value for key, value in stored.items() if key != name})
        broken.extend({**stored, name: value} for value in (1.5, True, [[1]], {"x": 1}, -1))
    for form in broken:
        with pytest.raises(IntegrityError, match="lease_log_corrupt"):
            parse_record(form)


@pytest.mark.parametrize(
    "change", [{"held": {}}, {"fence_high": 9}, {"task": "T-2"}, {"task": "../T-1", "held": None}, {"lapses": [[1]]}]
)
def test_snapshot_of_an_impossible_task_is_refused(change: dict[str, Any]) -> None:
    (part,) = snapshot(HELD)
    stored = part.as_dict()
    with pytest.raises(IntegrityError, match="lease_log_corrupt"):
        parse_record({**stored, "tasks": [{**stored["tasks"][0], **change}]})


@pytest.mark.parametrize("name", ["how", "proof"])
def test_unknown_words_are_refused(name: str) -> None:
    for record in RECORDS:
        if name in record.as_dict():
            with pytest.raises(IntegrityError):
                parse_record({**record.as_dict(), name: "somehow"})


@pytest.mark.parametrize(
    ("book", "record"),
    [
        (HELD, Grant(replace(LEASE, fence=4))),
        (apply(HELD, RELEASE), Grant(LEASE)),
        (apply(HELD, RELEASE), Grant(replace(LEASE, fence=2, resource="T-1/THINK"))),
        (EMPTY_BOOK, RENEW),
        (HELD, replace(RENEW, fence=2)),
        (HELD, replace(RENEW, resource="T-1/THINK")),
        (HELD, replace(RENEW, at_ns=220 * SECOND)),
        (EMPTY_BOOK, RELEASE),
        (HELD, replace(RELEASE, fence=4)),
        (HELD, replace(RELEASE, how="move", fence=2)),
        (apply(HELD, RELEASE), EXPIRE),
        (HELD, replace(FORCE, fence=5)),
        (HELD, replace(FORCE, fence=3)),
        (HELD, replace(FORCE, ended=None)),
        (apply(HELD, RELEASE), FORCE),
        (HELD, snapshot(HELD)[0]),
        (EMPTY_BOOK, Snapshot(1, 2, 5, ())),
        (EMPTY_BOOK, Snapshot(0, 0, 5, ())),
        (LeaseBook({}, 5, 1), Grant(LEASE)),
        (LeaseBook({}, 5, 1), Snapshot(1, 2, 6, ())),
        (LeaseBook({"T-1": TaskLeases(1)}, 5, 1), Snapshot(1, 2, 5, (("T-1", TaskLeases(0)),))),
    ],
)
def test_record_that_cannot_follow_is_corrupt(book: LeaseBook, record: LeaseRecord) -> None:
    with pytest.raises(IntegrityError, match="lease_log_corrupt"):
        apply(book, record)


def test_records_are_numbered_from_one() -> None:
    assert [apply_all(EMPTY_BOOK, records).wal_seq for records in ([], [Grant(LEASE)], [Grant(LEASE), RENEW])] == [
        0,
        1,
        2,
    ]


def test_compaction_keeps_the_book_in_parts_that_fit_a_line() -> None:
    longest = Caller("\\\U0001f511" * 64, session='"\U0001f511' * 64)
    book = LeaseBook(
        {
            f"{n:064}": TaskLeases(
                9,
                replace(LEASE, resource=f"{n:064}/STRATEGIZE", fence=9, holder=Holder(longest), renewals=4),
                tuple(Lapse(fence, longest.session) for fence in range(1, 9)),
            )
            for n in range(200)
        },
        wal_seq=12_345,
    )
    parts = snapshot(book)
    assert 1 < len(parts) < 60
    assert max(len(dumps(part.as_dict())) for part in parts) <= 60_000
    assert apply_all(EMPTY_BOOK, parts) == book
    with pytest.raises(IntegrityError):
        apply_all(EMPTY_BOOK, [*parts[:-1], Grant(LEASE)])


def test_empty_book_compacts_to_one_part() -> None:
    assert apply_all(EMPTY_BOOK, snapshot(EMPTY_BOOK)) == EMPTY_BOOK


def test_lease_log_behind_the_ledger_is_corrupt() -> None:
    verify_fences(HELD, {"T-1": 3})
    for fences in ({"T-1": 4}, {"T-2": 1}):
        with pytest.raises(IntegrityError, match="lease_log_corrupt"):
            verify_fences(HELD, fences)
    verify_fences(fences_from_ledger({"T-1": 4}, 7), {"T-1": 4})


def test_looking_at_a_lease_names_fence_and_holder() -> None:
    digests = {observed_digest(book, "T-1") for book in (EMPTY_BOOK, HELD, apply(HELD, RELEASE), apply(HELD, FORCE))}
    assert len(digests) == 4


@pytest.mark.parametrize(
    ("record", "kind", "caller", "more"),
    [
        (Grant(LEASE), "lease.granted", AGENT, {"holder": "process"}),
        (RELEASE, "lease.released", AGENT, {"how": "caller"}),
        (replace(RELEASE, how="regrant"), "lease.released", AGENT, {"how": "regrant"}),
        (EXPIRE, "lease.expired", ENGINE, {"proof": "deadline"}),
        (FORCE, "lease.forced", PERSON, {"ended": 3, "reason": "hangs", "observed": "0" * 64}),
    ],
)
def test_ledger_line_of_a_record(record: LeaseRecord, kind: str, caller: Caller, more: dict[str, Any]) -> None:
    line = mirror_of(record, 7)
    assert line is not None
    assert (line.kind, line.task, line.resource, line.caller) == (kind, "T-1", "T-1/PLAN", caller)
    assert line.fence == record.as_dict()["fence"]
    assert {name: value for name, value in line.data.items() if name not in ("wal_seq", "mono")} == more
    assert line.data["wal_seq"] == 7
    assert line.data["mono"]["boot"] == "boot-a"
    assert must_sync(record)


@pytest.mark.parametrize("record", [RENEW, Grant(LEASE, "move"), replace(RELEASE, how="move")])
def test_renewals_and_hand_overs_have_no_line_of_their_own(record: LeaseRecord) -> None:
    assert mirror_of(record, 7) is None
    assert not must_sync(record)
