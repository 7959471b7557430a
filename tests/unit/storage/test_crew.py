"""Kept threads: every task is done once, errors come back, and a fork starts anew."""

from __future__ import annotations

import multiprocessing
import os
import threading
from functools import partial

import pytest

from autopilot.storage.crew import THREADS, Crew


def test_every_task_is_done_once() -> None:
    crew, done = Crew(), list[int]()
    for count in range(8):
        done.clear()
        crew.run([partial(done.append, number) for number in range(count)])
        assert sorted(done) == list(range(count))


def test_tasks_run_at_the_same_time() -> None:
    meeting = threading.Barrier(THREADS + 1)
    Crew().run([partial(meeting.wait, 20)] * (THREADS + 1))


def test_the_first_error_comes_back_after_all_have_ended() -> None:
    done: list[int] = []

    def fail(number: int) -> None:
        done.append(number)
        raise ValueError(number)

    with pytest.raises(ValueError, match="0"):
        Crew().run([partial(fail, number) for number in range(6)])
    assert sorted(done) == list(range(6))


def test_the_caller_does_all_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    seen: list[int] = []
    Crew().run([lambda: seen.append(threading.get_ident())] * 4)
    assert seen == [threading.get_ident()] * 4


def test_several_calls_share_a_crew() -> None:
    crew, total = Crew(), list[int]()
    callers = [
        threading.Thread(target=lambda: crew.run([partial(total.append, 1) for _ in range(50)])) for _ in range(5)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=30)
    assert len(total) == 250


def test_a_forked_child_has_threads_of_its_own() -> None:
    crew = Crew()
    crew.run([os.getpid] * 4)
    context = multiprocessing.get_context("fork")
    child = context.Process(target=crew.run, args=([os.getpid] * 4,))
    child.start()
    child.join(timeout=30)
    assert child.exitcode == 0
