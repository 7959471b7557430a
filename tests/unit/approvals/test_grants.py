"""Approvals: bound in every field, used once, given by another person, in time."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot.approvals.grants import (
    CLOCK_TOLERANCE,
    MAX_LIFETIME,
    Grant,
    Parties,
    Register,
    Terms,
    check_approver,
    check_grant,
    issue_grant,
    usable_grant,
)
from autopilot.approvals.subjects import KINDS, Subject
from autopilot.kernel.callers import ENGINE, Caller
from autopilot.kernel.errors import ApprovalRefusedError, ContractError

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SUBJECT = Subject(ledger="a" * 32, task="T-1", epoch=0, move="IMPLEMENT->VERIFY", kind="tests_changed", digest="b" * 64)
ADA = Caller("ada", "human", "desk")
AGENT = Caller("bot", "agent", "run-1")
PARTIES = Parties(AGENT, (Caller("coder", "agent", "run-0"),))
TERMS = Terms(now=NOW, nonce="n" * 32)


def codes(reasons):
    return [reason.code for reason in reasons]


def granted(**changes):
    """A good grant and the register that knows it; `changes` are made after it was issued."""
    grant = issue_grant(SUBJECT, ADA, "looked at it", PARTIES, TERMS)
    return replace(grant, **changes), Register().with_issued(grant)


def test_a_good_grant():
    grant, register = granted()
    assert check_grant(grant, SUBJECT, PARTIES, register, NOW) == ()
    assert usable_grant([grant], SUBJECT, PARTIES, register, NOW) is grant
    assert grant.advisory
    assert grant.as_data()["subject_sha256"] == SUBJECT.sha256
    assert len(grant.id) == 64


def test_used_once():
    grant, register = granted()
    register = register.with_consumed([grant.id])
    assert codes(check_grant(grant, SUBJECT, PARTIES, register, NOW)) == ["approval_used"]
    assert usable_grant([grant], SUBJECT, PARTIES, register, NOW) is None


OTHER_SUBJECT = {
    "ledger": "c" * 32,
    "task": "T-2",
    "epoch": 1,
    "move": "VERIFY->REVIEW",
    "kind": "config_changed",
    "digest": "d" * 64,
}


def test_every_field_of_the_subject_is_tried():
    assert set(OTHER_SUBJECT) == {field.name for field in fields(Subject)}


@pytest.mark.parametrize("name", OTHER_SUBJECT)
def test_bound_in_every_field_of_the_subject(name):
    grant, register = granted()
    other = replace(SUBJECT, **{name: OTHER_SUBJECT[name]})
    assert other.sha256 != SUBJECT.sha256
    found = check_grant(grant, other, PARTIES, register, NOW)
    assert codes(found) == ["approval_mismatch"]
    assert name in found[0].detail
    # And a grant rewritten to fit is one that nobody issued.
    rewritten = replace(grant, subject=other)
    assert codes(check_grant(rewritten, other, PARTIES, register, NOW)) == ["approval_mismatch"]


REWRITTEN = {
    "subject": replace(SUBJECT, epoch=7),
    "approver": Caller("eve", "human", "elsewhere"),
    "reason": "another",
    "granted_at": NOW - timedelta(hours=1),
    "expires_at": NOW + timedelta(days=300),
    "nonce": "m" * 32,
    "advisory": False,
    "evidence": "e" * 64,
    "key": "0" * 8,
    "signature": "c2ln",
}


def test_every_field_of_the_grant_is_tried():
    assert set(REWRITTEN) == {field.name for field in fields(Grant)}


@pytest.mark.parametrize("name", REWRITTEN)
def test_a_rewritten_grant_is_another(name):
    original, register = granted()
    grant = replace(original, **{name: REWRITTEN[name]})
    assert grant.id != original.id
    assert "approval_mismatch" in codes(check_grant(grant, grant.subject, PARTIES, register, NOW))


def test_time():
    grant, register = granted()
    end = NOW + timedelta(hours=24)
    for moment, usable in (
        (NOW, True),
        (end - timedelta(microseconds=1), True),
        (end, False),
        (end + timedelta(days=9), False),
        (NOW - CLOCK_TOLERANCE, True),
        (NOW - CLOCK_TOLERANCE - timedelta(microseconds=1), False),
        (NOW - timedelta(days=400), False),
    ):
        found = check_grant(grant, SUBJECT, PARTIES, register, moment)
        assert codes(found) == ([] if usable else ["approval_expired"]), moment


@pytest.mark.parametrize("lifetime", [timedelta(), timedelta(seconds=-1), MAX_LIFETIME + timedelta(seconds=1)])
def test_lifetimes_have_bounds(lifetime):
    with pytest.raises(ContractError):
        issue_grant(SUBJECT, ADA, "x", PARTIES, replace(TERMS, lifetime=lifetime))


def test_a_reason_is_due():
    with pytest.raises(ContractError) as caught:
        issue_grant(SUBJECT, ADA, " \n", PARTIES, TERMS)
    assert caught.value.code == "reason_missing"


@pytest.mark.parametrize(
    "approver",
    [
        Caller("bot", "human", "desk"),
        Caller("coder", "human", "desk"),
        Caller("BOT", "human", "desk"),
        Caller(" bot ", "human", "desk"),
        Caller("ｂｏｔ", "human", "desk"),
        Caller("ada", "human", "run-1"),
        Caller("ada", "human", "Run-0"),
    ],
)
def test_nobody_approves_their_own(approver):
    assert codes(check_approver(approver, PARTIES)) == ["self_approval"]
    with pytest.raises(ApprovalRefusedError) as caught:
        issue_grant(SUBJECT, approver, "x", PARTIES, TERMS)
    assert caught.value.code == "self_approval"


@pytest.mark.parametrize("approver", [Caller("eve", "agent"), ENGINE])
def test_only_a_person_approves(approver):
    with pytest.raises(ApprovalRefusedError) as caught:
        issue_grant(SUBJECT, approver, "x", PARTIES, TERMS)
    assert caught.value.code == "human_only"


def test_who_joined_the_work_after_approving_may_not_have_approved():
    grant, register = granted()
    later = Parties(AGENT, (ADA,))
    assert codes(check_grant(grant, SUBJECT, later, register, NOW)) == ["self_approval"]


def test_kinds_are_a_table():
    with pytest.raises(ValueError, match="not a kind"):
        replace(SUBJECT, kind="whatever")
    assert all(text for text in KINDS.values())


def test_names_do_not_run_into_each_other():
    one = replace(SUBJECT, task="T-1", move="2->3")
    other = replace(SUBJECT, task="T-12", move="->3")
    assert one.sha256 != other.sha256


PARTS = st.text(alphabet='ab\x00"\\,:', max_size=3)
SUBJECTS = st.builds(
    Subject,
    ledger=PARTS,
    task=PARTS,
    epoch=st.integers(0, 3),
    move=PARTS,
    kind=st.sampled_from(sorted(KINDS)),
    digest=PARTS,
)


@given(mine=SUBJECTS, asked=SUBJECTS)
def test_a_grant_serves_its_subject_and_no_other(mine, asked):
    grant = issue_grant(mine, ADA, "x", PARTIES, TERMS)
    register = Register().with_issued(grant)
    assert (mine.sha256 == asked.sha256) is (mine == asked)
    assert (check_grant(grant, asked, PARTIES, register, NOW) == ()) is (mine == asked)


@given(uses=st.lists(st.sampled_from([0, 1, 2]), max_size=8))
def test_each_grant_is_good_for_one_use(uses):
    grants = [issue_grant(SUBJECT, ADA, "x", PARTIES, replace(TERMS, nonce=str(index))) for index in range(3)]
    register = Register()
    for grant in grants:
        register = register.with_issued(grant)
    spent = set()
    for index in uses:
        good = not check_grant(grants[index], SUBJECT, PARTIES, register, NOW)
        assert good is (index not in spent)
        if good:
            register = register.with_consumed([grants[index].id])
            spent.add(index)
