"""Each rule about who may hold, keep, give back or take away a lease, with the caller it stops."""

from __future__ import annotations

import pytest

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError
from autopilot.leases.book import EMPTY_BOOK, LeaseBook, apply_all, observed_digest
from autopilot.leases.decisions import (
    Asking,
    Decision,
    Forcing,
    expired,
    force,
    grant,
    is_due,
    release,
    renew,
    standing,
)
from autopilot.leases.records import Expire, Force, Grant, Release
from autopilot.leases.stored import parse_record
from autopilot.leases.terms import Claim, Holder, LeaseTimes, Moment, ProcessIdentity, token_digest

SECOND = 1_000_000_000
TIMES = LeaseTimes(ttl_seconds=120, renew_min_interval_seconds=1)
PLAN, THINK = "T-1/PLAN", "T-1/THINK"
AGENT, OTHER = Caller("agent-7", session="s-19"), Caller("agent-8", session="s-20")
PERSON = Caller("ada", "human")
PROCESS = ProcessIdentity("host", "pid:[4026531836]", 4711, "88")


def at(seconds: float, boot: str = "boot-a") -> Moment:
    return Moment(int(seconds * SECOND), boot)


def asking(caller: Caller = AGENT, resource: str = PLAN, process: ProcessIdentity | None = None) -> Asking:
    return Asking(resource, Holder(caller, process), token_digest(f"token of {caller.session}"))


def after(book: LeaseBook, decision: Decision) -> LeaseBook:
    assert decision.verdict.admitted, decision.verdict
    return apply_all(book, decision.records)


def codes(book: LeaseBook, claim: Claim, now: Moment, resource: str = PLAN) -> tuple[str, ...]:
    return tuple(reason.code for reason in standing(book, resource, claim, now))


@pytest.fixture
def held() -> LeaseBook:
    """T-1/PLAN, granted to s-19 at 100 s under fence 1 for 120 s."""
    return after(EMPTY_BOOK, grant(EMPTY_BOOK, asking(), at(100), TIMES))


def test_first_grant_has_fence_one_and_the_full_time() -> None:
    decision = grant(EMPTY_BOOK, asking(), at(100), TIMES)
    assert decision.lease is not None
    assert (decision.lease.fence, decision.lease.seconds_left(at(100))) == (1, 120)
    assert decision.lease.shown(at(160)) == {
        "resource": PLAN,
        "fence": 1,
        "actor": "agent-7",
        "expires_in_seconds": 60,
    }


def test_machine_up_for_a_year_can_store_its_times() -> None:
    moment = Moment(365 * 86_400 * SECOND + 7, "boot-a")
    (record,) = grant(EMPTY_BOOK, asking(), moment, TIMES).records
    assert record.as_dict()["deadline_us"] < 2**53
    assert grant(EMPTY_BOOK, asking(), moment, TIMES).lease == apply_all(EMPTY_BOOK, [record]).held("T-1")


def test_second_session_waits_and_is_counted(held: LeaseBook) -> None:
    decision = grant(held, asking(OTHER), at(219), TIMES)
    assert (decision.verdict.codes(), decision.contended, decision.records) == (("lease_held",), True, ())


def test_lease_on_one_phase_keeps_others_from_every_phase_of_the_task(held: LeaseBook) -> None:
    assert grant(held, asking(OTHER, THINK), at(110), TIMES).contended
    assert not grant(held, asking(OTHER, "T-2/PLAN"), at(110), TIMES).contended


@pytest.mark.parametrize(
    ("now", "proof"),
    [(at(220), "deadline"), (at(100 + 8 * 3600), "deadline"), (at(3, boot="boot-b"), "reboot")],
    ids=["at the deadline", "after a suspend", "after a reboot"],
)
def test_lease_that_is_over_is_taken_over(held: LeaseBook, now: Moment, proof: str) -> None:
    decision = grant(held, asking(OTHER), now, TIMES)
    ending, granted = decision.records
    assert isinstance(ending, Expire)
    assert isinstance(granted, Grant)
    assert (ending.proof, ending.fence, granted.lease.fence) == (proof, 1, 2)
    assert [record.proof for record in expired(held, now)] == [proof]


def test_expiry_is_dated_by_the_deadline_however_late_it_is_seen(held: LeaseBook) -> None:
    assert expired(held, at(219.999999)) == ()
    assert [record.at for record in expired(held, at(5000))] == [at(220)]


def test_dead_process_is_taken_over_at_once_and_a_living_one_is_not() -> None:
    book = after(EMPTY_BOOK, grant(EMPTY_BOOK, asking(process=PROCESS), at(100), TIMES))
    assert grant(book, asking(OTHER), at(101), TIMES, lambda _: False).contended
    decision = grant(book, asking(OTHER), at(101), TIMES, lambda holder: holder.process == PROCESS)
    assert [record.as_dict()["kind"] for record in decision.records] == ["expire", "grant"]
    assert decision.records[0].as_dict()["proof"] == "dead"


def test_session_is_never_proved_dead(held: LeaseBook) -> None:
    assert grant(held, asking(OTHER), at(101), TIMES, lambda _: True).contended
    assert expired(held, at(101), lambda _: True) == ()


def test_same_session_asking_again_fences_out_its_earlier_self(held: LeaseBook) -> None:
    decision = grant(held, asking(), at(150), TIMES)
    assert isinstance(decision.records[0], Release)
    book = after(held, decision)
    assert codes(book, Claim("s-19", fence=1), at(150)) == ("stale_fence",)
    assert codes(book, Claim("s-19", fence=2), at(150)) == ()


def test_process_does_not_share_its_lease_with_its_session() -> None:
    book = after(EMPTY_BOOK, grant(EMPTY_BOOK, asking(process=PROCESS), at(100), TIMES))
    assert grant(book, asking(), at(101), TIMES).contended
    assert not grant(book, asking(process=PROCESS), at(101), TIMES).contended


@pytest.mark.parametrize(
    ("claim", "now", "resource", "expected"),
    [
        (Claim("s-19"), at(219.9), PLAN, ()),
        (Claim("s-19", 1, "token of s-19"), at(150), PLAN, ()),
        (Claim("s-19", 1, "guessed"), at(150), PLAN, ("lease_token_mismatch",)),
        (Claim("s-19", 2, "token of s-19"), at(150), PLAN, ("lease_token_mismatch",)),
        (Claim("s-19"), at(150), THINK, ("lease_missing",)),
        (Claim("s-19"), at(220), PLAN, ("lease_expired",)),
        (Claim("s-19", 1), at(3, boot="boot-b"), PLAN, ("lease_expired",)),
        (Claim("s-20"), at(150), PLAN, ("lease_held",)),
        (Claim("s-20", 1, "token of s-19"), at(150), PLAN, ("lease_held",)),
        (Claim("s-20"), at(220), PLAN, ("lease_missing",)),
        (Claim("s-19"), at(150), "T-2/PLAN", ("lease_missing",)),
    ],
)
def test_standing(held: LeaseBook, claim: Claim, now: Moment, resource: str, expected: tuple[str, ...]) -> None:
    assert codes(held, claim, now, resource) == expected


def test_who_let_his_lease_run_out_is_told_so_before_and_after_another_takes_over(held: LeaseBook) -> None:
    noticed = apply_all(held, expired(held, at(230)))
    assert codes(noticed, Claim("s-19"), at(231)) == ("lease_expired",)
    assert codes(noticed, Claim("s-19", 1), at(231)) == ("lease_expired",)
    assert codes(noticed, Claim("s-20"), at(231)) == ("lease_missing",)
    taken = after(noticed, grant(noticed, asking(OTHER), at(231), TIMES))
    # His own lapse, not a violation; the same fence in another session's hands is one.
    assert codes(taken, Claim("s-19", 1), at(231)) == ("lease_expired",)
    assert codes(taken, Claim("s-21", 1), at(231)) == ("stale_fence",)
    assert codes(taken, Claim("s-19"), at(231)) == ("lease_held",)


def test_fence_given_back_is_stale_once_another_is_granted(held: LeaseBook) -> None:
    free = after(held, release(held, PLAN, Claim("s-19", 1), AGENT, at(110)))
    assert codes(free, Claim("s-19", 1), at(110)) == ("lease_missing",)
    taken = after(free, grant(free, asking(OTHER), at(111), TIMES))
    assert codes(taken, Claim("s-19", 1), at(112)) == ("stale_fence",)


def test_renewal_extends_from_now(held: LeaseBook) -> None:
    decision = renew(held, PLAN, Claim("s-19"), at(140), TIMES)
    assert decision.lease is not None
    assert decision.lease.seconds_left(at(140)) == 120
    assert after(held, decision).held("T-1") == decision.lease


@pytest.mark.parametrize(
    ("claim", "now", "expected"),
    [
        (Claim("s-19"), at(220), "lease_expired"),  # nobody took over, and still: anyone could have
        (Claim("s-19"), at(3, boot="boot-b"), "lease_expired"),
        (Claim("s-19"), at(100.5), "renewed_too_often"),
        (Claim("s-20"), at(150), "lease_held"),
        (Claim("s-19", 1, "guessed"), at(150), "lease_token_mismatch"),
        (Claim("s-19", 0), at(150), "stale_fence"),
    ],
)
def test_renewal_refused(held: LeaseBook, claim: Claim, now: Moment, expected: str) -> None:
    decision = renew(held, PLAN, claim, now, TIMES)
    assert (decision.verdict.codes(), decision.records) == ((expected,), ())


def test_longest_hold_bounds_renewals_and_asking_again() -> None:
    times = LeaseTimes(ttl_seconds=120, renew_min_interval_seconds=1, max_hold_seconds=200)
    book = after(EMPTY_BOOK, grant(EMPTY_BOOK, asking(), at(100), times))
    book = after(book, renew(book, PLAN, Claim("s-19"), at(190), times))
    assert [lease.seconds_left(at(190)) for lease in book.leases()] == [110]
    assert renew(book, PLAN, Claim("s-19"), at(250), times).verdict.codes() == ("lease_max_hold",)
    again = after(book, grant(book, asking(), at(250), times))
    assert [lease.seconds_left(at(250)) for lease in again.leases()] == [50]
    assert not grant(again, asking(OTHER), at(300), times).contended


def test_times_have_sharp_edges(held: LeaseBook) -> None:
    assert renew(held, PLAN, Claim("s-19"), at(101), TIMES).verdict.admitted
    exhausted = LeaseTimes(ttl_seconds=120, max_hold_seconds=50)
    for decision in (
        grant(held, asking(), at(150), exhausted),
        renew(held, PLAN, Claim("s-19"), at(150), LeaseTimes(ttl_seconds=10, max_hold_seconds=50)),
    ):
        assert decision.verdict.codes() == ("lease_max_hold",)
    Forcing(PERSON, "x" * 2_000, "0" * 64)
    LeaseTimes(1, 0, 0)


def test_records_hold_whole_microseconds_as_decided(held: LeaseBook) -> None:
    between = Moment(150 * SECOND + 1_999, "boot-a")
    forcing = Forcing(PERSON, "x", observed_digest(held, "T-1"))
    for decision in (
        renew(held, PLAN, Claim("s-19"), between, TIMES),
        release(held, PLAN, Claim("s-19"), AGENT, between),
        grant(held, asking(), between, TIMES),
        force(held, PLAN, forcing, between),
    ):
        assert [parse_record(record.as_dict()) for record in decision.records] == list(decision.records)


def test_shortened_longest_hold_counts_for_leases_that_stand(held: LeaseBook) -> None:
    short = LeaseTimes(ttl_seconds=120, max_hold_seconds=20)
    assert renew(held, PLAN, Claim("s-19"), at(150), short).verdict.codes() == ("lease_max_hold",)
    assert grant(held, asking(), at(150), short).verdict.codes() == ("lease_max_hold",)


def test_engine_renews_after_a_third_of_the_time(held: LeaseBook) -> None:
    (lease,) = held.leases()
    assert [is_due(lease, at(now), TIMES) for now in (139.9, 140)] == [False, True]


@pytest.mark.parametrize(
    ("claim", "now", "expected"),
    [(Claim("s-20"), at(110), "lease_held"), (Claim("s-19"), at(220), "lease_expired")],
)
def test_release_refused(held: LeaseBook, claim: Claim, now: Moment, expected: str) -> None:
    assert release(held, PLAN, claim, AGENT, now).verdict.codes() == (expected,)


def test_forced_release_raises_the_fence_and_no_earlier_holder_returns(held: LeaseBook) -> None:
    decision = force(held, PLAN, Forcing(PERSON, "hangs in a loop", observed_digest(held, "T-1")), at(110))
    (record,) = decision.records
    assert isinstance(record, Force)
    assert (record.fence, record.ended) == (2, 1)
    book = after(held, decision)
    assert codes(book, Claim("s-19", 1), at(111)) == ("stale_fence",)
    assert codes(book, Claim("s-19"), at(111)) == ("lease_missing",)
    granted = grant(book, asking(), at(112), TIMES).lease
    assert granted is not None
    assert granted.fence == 3


def test_forcing_where_nobody_holds_raises_the_fence_too() -> None:
    book = after(EMPTY_BOOK, force(EMPTY_BOOK, PLAN, Forcing(PERSON, "x", observed_digest(EMPTY_BOOK, "T-1")), at(1)))
    assert (book.fence_high("T-1"), book.held("T-1")) == (1, None)


def test_forcing_asks_for_the_state_that_was_looked_at(held: LeaseBook) -> None:
    seen = observed_digest(held, "T-1")
    renewed = after(held, renew(held, PLAN, Claim("s-19"), at(140), TIMES))
    assert observed_digest(renewed, "T-1") == seen, "a renewal changes nothing the person decided about"
    moved_on = after(held, grant(held, asking(), at(140), TIMES))
    assert force(moved_on, PLAN, Forcing(PERSON, "x", seen), at(141)).verdict.codes() == ("lease_changed",)


def test_agents_do_not_force(held: LeaseBook) -> None:
    order = Forcing(OTHER, "I want it", observed_digest(held, "T-1"))
    assert force(held, PLAN, order, at(110)).verdict.codes() == ("human_only",)


@pytest.mark.parametrize("reason", ["", "  \n", "x" * 2_001])
def test_forcing_needs_a_reason(reason: str) -> None:
    with pytest.raises(ContractError, match="reason_missing"):
        Forcing(PERSON, reason, "0" * 64)


@pytest.mark.parametrize("resource", ["T-1", "T-1/plan", "T-1/NOPE", "../x/PLAN", "T-1/PLAN/x", ""])
def test_resources_name_a_task_and_a_phase(resource: str) -> None:
    with pytest.raises(ContractError):
        Asking(resource, Holder(AGENT), "0" * 64)


@pytest.mark.parametrize("times", [(0, 1, 0), (120, -1, 0), (120, 1, -5)])
def test_impossible_times_are_refused(times: tuple[int, int, int]) -> None:
    with pytest.raises(ContractError, match="bad_config"):
        LeaseTimes(*times)
