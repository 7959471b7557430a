"""A move hands the lease on in the same session, or leaves the next phase free; a crash between loses nothing."""

from __future__ import annotations

from typing import Any

import pytest

from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import dumps, loads
from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.leases.book import EMPTY_BOOK, LeaseBook, apply_all
from autopilot.leases.decisions import Asking, Decision, expired, grant, standing
from autopilot.leases.handover import MoveFacts, Passing, handed_on_dict, handover, rebuild_handover
from autopilot.leases.records import must_sync
from autopilot.leases.stored import parse_record
from autopilot.leases.terms import Claim, Holder, LeaseTimes, Moment, token_digest

SECOND = 1_000_000_000
TIMES = LeaseTimes()
AGENT = Caller("agent-7", session="s-19")
VERIFY, REVIEW, IMPLEMENT = "T-1/VERIFY", "T-1/REVIEW", "T-1/IMPLEMENT"


def at(seconds: int) -> Moment:
    return Moment(seconds * SECOND, "boot-a")


@pytest.fixture
def held() -> LeaseBook:
    """T-1/VERIFY, granted to s-19 at 100 s under fence 1."""
    return apply_all(
        EMPTY_BOOK, grant(EMPTY_BOOK, Asking(VERIFY, Holder(AGENT), token_digest("t")), at(100), TIMES).records
    )


def passing(to: str | None, claim: Claim | None = None) -> Passing:
    return Passing(VERIFY, to, claim or Claim("s-19"), AGENT)


def move_line(decision: Decision, fence: int = 1, resource: str = VERIFY) -> MoveFacts:
    """What the ledger keeps of the move: its `lease`, and `data.handover` as it comes back from the file."""
    line: dict[str, Any] | None = loads(dumps(handed_on_dict(decision)))
    return MoveFacts(resource, fence, AGENT, at(110), line)


def test_lease_goes_on_under_the_next_fence_with_the_same_token(held: LeaseBook) -> None:
    decision = handover(held, passing(IMPLEMENT), at(110), TIMES)
    book = apply_all(held, decision.records)
    assert standing(book, IMPLEMENT, Claim("s-19", 2, "t"), at(111)) == ()
    assert [reason.code for reason in standing(book, VERIFY, Claim("s-19", 1, "t"), at(111))] == ["stale_fence"]
    assert [lease.seconds_left(at(110)) for lease in book.leases()] == [120]


def test_into_review_the_lease_is_left_free(held: LeaseBook) -> None:
    decision = handover(held, passing(None), at(110), TIMES)
    book = apply_all(held, decision.records)
    assert (handed_on_dict(decision), book.held("T-1"), book.fence_high("T-1")) == (None, None, 1)
    reviewer = Asking(REVIEW, Holder(Caller("reviewer", session="s-20")), token_digest("r"))
    assert grant(book, reviewer, at(111), TIMES).verdict.admitted


@pytest.mark.parametrize(
    ("claim", "now", "expected"),
    [
        (Claim("s-20"), at(110), "lease_held"),
        (Claim("s-19"), at(220), "lease_expired"),
        (Claim("s-19", 1, "guessed"), at(110), "lease_token_mismatch"),
    ],
)
def test_only_the_holder_moves(held: LeaseBook, claim: Claim, now: Moment, expected: str) -> None:
    decision = handover(held, passing(IMPLEMENT, claim), now, TIMES)
    assert (decision.verdict.codes(), decision.records) == ((expected,), ())


def test_longest_hold_starts_anew_and_bounds_the_new_lease(held: LeaseBook) -> None:
    lease = handover(held, passing(IMPLEMENT), at(110), LeaseTimes(max_hold_seconds=30)).lease
    assert lease is not None
    assert lease.seconds_left(at(110)) == 30


def test_a_move_stays_in_its_task() -> None:
    with pytest.raises(ContractError):
        passing("T-2/REVIEW")


def test_records_hold_whole_microseconds_as_decided(held: LeaseBook) -> None:
    records = handover(held, passing(IMPLEMENT), Moment(110 * SECOND + 1_999, "boot-a"), TIMES).records
    assert [parse_record(record.as_dict()) for record in records] == list(records)


def test_handover_rides_unsynced(held: LeaseBook) -> None:
    assert not any(must_sync(record) for record in handover(held, passing(IMPLEMENT), at(110), TIMES).records)


@pytest.mark.parametrize("to", [IMPLEMENT, None])
def test_lost_handover_is_rebuilt_from_the_moves_line_once(held: LeaseBook, to: str | None) -> None:
    decision = handover(held, passing(to), at(110), TIMES)
    facts = move_line(decision)
    rebuilt = apply_all(held, rebuild_handover(held, facts))
    assert rebuilt == apply_all(held, decision.records)
    assert rebuild_handover(rebuilt, facts) == ()


def test_half_a_handover_is_completed(held: LeaseBook) -> None:
    decision = handover(held, passing(IMPLEMENT), at(110), TIMES)
    half = apply_all(held, decision.records[:1])
    assert apply_all(half, rebuild_handover(half, move_line(decision))) == apply_all(held, decision.records)


def test_two_lost_handovers_never_give_a_fence_out_twice(held: LeaseBook) -> None:
    first = handover(held, passing(IMPLEMENT), at(110), TIMES)
    between = apply_all(held, first.records)
    second = handover(between, Passing(IMPLEMENT, None, Claim("s-19"), AGENT), at(120), TIMES)
    rebuilt = apply_all(held, rebuild_handover(held, move_line(second, fence=2, resource=IMPLEMENT)))
    assert (rebuilt.held("T-1"), rebuilt.fence_high("T-1")) == (None, 2)
    granted = grant(rebuilt, Asking(VERIFY, Holder(AGENT), token_digest("n")), at(121), TIMES).lease
    assert granted is not None
    assert granted.fence == 3


def test_what_came_after_the_move_stays(held: LeaseBook) -> None:
    decision = handover(held, passing(IMPLEMENT), at(110), TIMES)
    book = apply_all(held, decision.records)
    over = apply_all(book, expired(book, at(300)))
    taken = apply_all(over, grant(over, Asking(IMPLEMENT, Holder(AGENT), token_digest("n")), at(301), TIMES).records)
    assert rebuild_handover(over, move_line(decision)) == rebuild_handover(taken, move_line(decision)) == ()


@pytest.mark.parametrize(
    "change", [{"fence": 1}, {"fence": "2"}, {"resource": "T-2/IMPLEMENT"}, {"boot": None}, {"surplus": 1}]
)
def test_unusable_line_is_refused(held: LeaseBook, change: dict[str, Any]) -> None:
    facts = move_line(handover(held, passing(IMPLEMENT), at(110), TIMES))
    broken = MoveFacts(VERIFY, 1, AGENT, at(110), {**(facts.handed_on or {}), **change})
    with pytest.raises(IntegrityError, match="lease_log_corrupt"):
        rebuild_handover(held, broken)
