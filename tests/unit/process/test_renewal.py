"""Renewal in the background: as often as asked, never after the block, one thread for all, none once idle."""

from __future__ import annotations

import threading
import time

from autopilot.process.desks.renewal import Renewals

LONG_SECONDS = 5.0


def until(condition, seconds: float = LONG_SECONDS) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def renewing_threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "autopilot-renew"}


def test_it_renews_again_and_again_while_the_block_runs():
    calls = []
    with Renewals(0.01).every(0.01, lambda: calls.append(1) or True):
        assert until(lambda: len(calls) >= 3)


def test_it_stops_when_told_that_the_lease_is_lost():
    calls = []
    with Renewals(0.01).every(0.01, lambda: calls.append(1) is not None):
        assert until(lambda: len(calls) == 1)
        time.sleep(0.05)
    assert len(calls) == 1


def test_a_short_block_renews_nothing():
    calls = []
    with Renewals(0.01).every(60, lambda: calls.append(1) or True):
        pass
    assert calls == []


def test_no_renewal_is_under_way_once_the_block_has_ended():
    begun, ended = threading.Event(), threading.Event()

    def slow() -> bool:
        begun.set()
        time.sleep(0.1)
        ended.set()
        return True

    with Renewals(0.01).every(0.01, slow):
        assert begun.wait(LONG_SECONDS)
    assert ended.is_set()


def test_a_lease_that_is_due_soon_does_not_wait_for_one_that_is_due_late():
    renewals, calls = Renewals(0.01), []
    with renewals.every(60, lambda: True):
        assert until(lambda: renewals._wakes > time.monotonic() + 30)
        with renewals.every(0.01, lambda: calls.append(1) or True):
            assert until(lambda: bool(calls))


def test_one_thread_serves_all_and_ends_when_there_is_nothing_to_renew():
    others = renewing_threads()  # of workspaces that other tests of this process opened
    renewals, calls = Renewals(0.05), []
    with (
        renewals.every(0.01, lambda: calls.append("a") or True),
        renewals.every(0.01, lambda: calls.append("b") or True),
    ):
        assert until(lambda: {"a", "b"} <= set(calls))
        assert len(renewing_threads() - others) == 1
    assert until(lambda: not renewing_threads() - others)
    with renewals.every(0.01, lambda: calls.append("c") or True):
        assert until(lambda: "c" in calls)


def test_a_renewal_that_fails_does_not_end_the_others():
    renewals, calls = Renewals(0.01), []

    def fails() -> bool:
        calls.append("failed")
        raise RuntimeError("a fault")

    with renewals.every(0.01, fails):
        assert until(lambda: calls == ["failed"])
        with renewals.every(0.01, lambda: calls.append("again") or True):
            assert until(lambda: "again" in calls)
    assert calls.count("failed") == 1
