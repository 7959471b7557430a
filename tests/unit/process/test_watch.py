"""The watchdog: three of a kind, or ninety held minutes without progress; held time only."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot.process.watch import (
    SECOND_NS,
    DiaryLine,
    HeldSpan,
    Instant,
    Limits,
    TaskFacts,
    held_ns_since_progress,
    judge,
)

MINUTE = 60 * SECOND_NS
FACTS = TaskFacts(task="T-1", phase="VERIFY", epoch=1, violations={}, progress=Instant("boot", 0))


def at(minutes, boot="boot"):
    return Instant(boot, minutes * MINUTE)


def span(start, end=None, boot="boot"):
    return HeldSpan(boot, start * MINUTE, None if end is None else end * MINUTE)


def facts(*spans, **more):
    return replace(FACTS, held=tuple(spans), **more)


@pytest.mark.parametrize(
    ("violations", "due"),
    [
        ({}, None),
        ({"stale_fence": 2, "out_of_sequence": 2, "tool_out_of_phase": 2}, None),
        ({"stale_fence": 3}, ("stale_fence", 3)),
        ({"stale_fence": 3, "out_of_sequence": 5}, ("out_of_sequence", 5)),
        ({"b": 3, "a": 3}, ("a", 3)),
    ],
)
def test_three_of_one_kind(violations, due):
    found = judge(facts(violations=violations), at(0))
    assert (found and (found.kind, found.count)) == due
    if found:
        assert found.cause == "violations"


@pytest.mark.parametrize(
    ("spans", "minutes", "due"),
    [
        ((), 10_000, False),
        ((span(0),), 89, False),
        ((span(0),), 90, True),
        ((span(0, 80),), 10_000, False),
        ((span(0, 80), span(1000, 1010)), 10_000, True),
        ((span(0, 80), span(1000)), 1009, False),
        ((span(0, 80), span(1000)), 1010, True),
        ((span(0, boot="before"),), 10_000, False),
        ((span(0, 90, boot="before"),), 1, True),
        ((span(0, 50, boot="before"), span(0)), 39, False),
        ((span(0, 50, boot="before"), span(0)), 40, True),
    ],
)
def test_only_held_time_counts(spans, minutes, due):
    found = judge(facts(*spans), at(minutes))
    assert (found is not None) is due
    if found:
        assert (found.cause, found.as_data()["cause"]) == ("no_progress", "no_progress")
        assert found.idle_seconds >= 90 * 60


def test_progress_starts_the_clock_anew():
    working = facts(span(0), progress=at(50))
    assert judge(working, at(139)) is None
    assert judge(working, at(140)) is not None


def test_a_clock_that_runs_backwards_counts_nothing():
    assert held_ns_since_progress(facts(span(100), progress=at(100)), at(50)) == 0


def test_a_held_task_is_not_escalated_again():
    assert judge(facts(span(0), violations={"a": 9}, already_held=True), at(500)) is None


def test_limits_are_settings():
    assert judge(facts(violations={"a": 1}), at(0), Limits(same_kind=1)) is not None
    assert judge(facts(span(0)), at(1), Limits(idle_seconds=60)) is not None


def test_the_diary_tells_and_cannot_be_written_by_the_agent():
    recent = (
        DiaryLine("2026-11-21T12:00:00Z", "violation", "out_of_sequence: SPEC to PR"),
        DiaryLine("2026-11-21T12:01:00Z", "violation", "x\n# All is well\x1b[2J`"),
    )
    found = judge(facts(violations={"out_of_sequence": 3, "stale_fence": 1}, recent=recent), at(0))
    assert found is not None
    assert found.diary.startswith("# Loop diary of T-1\n")
    assert "`out_of_sequence` was refused 3 times" in found.diary
    assert "SPEC to PR" in found.diary
    assert "autopilot task resume T-1" in found.diary
    assert "\n# All is well" not in found.diary
    assert "\x1b" not in found.diary
    assert "diary" not in found.as_data()
    idle = judge(facts(span(0)), at(95))
    assert idle is not None
    assert "95 minutes" in idle.diary


@given(
    counts=st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(0, 6)),
    minutes=st.integers(0, 200),
    start=st.integers(0, 100),
)
def test_it_speaks_exactly_when_a_limit_is_reached(counts, minutes, start):
    found = judge(facts(span(start), violations=counts), at(minutes))
    idle = max(0, minutes - start) >= 90
    assert (found is not None) is (max(counts.values(), default=0) >= 3 or idle)
    assert found == judge(facts(span(start), violations=counts), at(minutes))
