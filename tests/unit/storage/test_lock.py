"""The lock: exclusive across processes, shared for readers, bounded waiting, no inheritance by a fork."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from autopilot.kernel.errors import StorageError
from autopilot.storage.files.lock import StoreLock

_HOLD = """
import fcntl, os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[bytes]:
    """Another process that holds the lock until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_a_wait_ends_with_a_refusal_worth_another_try(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = StoreLock(path, 0.2)
    with holder(path) as process:
        with pytest.raises(StorageError) as caught, lock.held():
            pass
        assert (caught.value.code, caught.value.retryable) == ("lock_timeout", True)
        assert process.poll() is None, "it was not to be had, and the wait ended all the same"
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
    # The waiter that gave up has given the lock back, too.
    patient = StoreLock(path, 5)
    with patient.held():
        pass
    with lock.held():
        pass
    lock.close()
    patient.close()


def test_a_waiter_gets_the_lock_when_the_holder_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = StoreLock(path, 10)
    with holder(path) as process:
        killer = threading.Timer(0.1, process.kill)
        killer.start()
        with lock.held():
            assert process.wait() != 0
        killer.join()
    with lock.held():
        pass
    lock.close()


def test_readers_share_and_keep_writers_out(tmp_path: Path) -> None:
    one, two, writer = (StoreLock(tmp_path / "lock", 0.1) for _ in range(3))
    with one.held(shared=True), two.held(shared=True), pytest.raises(StorageError), writer.held():
        pass
    with writer.held(), pytest.raises(StorageError), one.held(shared=True):
        pass
    for lock in (one, two, writer):
        lock.close()


def _try_in_child(lock: StoreLock, answer: multiprocessing.Queue[str]) -> None:
    try:
        with lock.held():
            answer.put("held")
    except StorageError as error:
        answer.put(error.code)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_does_not_share_its_parents_hold(tmp_path: Path) -> None:
    lock = StoreLock(tmp_path / "lock", 0.2)
    context = multiprocessing.get_context("fork")
    answer: multiprocessing.Queue[str] = context.Queue()
    with lock.held():
        child = context.Process(target=_try_in_child, args=(lock, answer))
        child.start()
        assert answer.get(timeout=10) == "lock_timeout"
        child.join()
    lock.close()


def test_nobody_overtakes_who_is_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given back and wanted again at once: the one who waited has it first, every time."""
    busy, patient = StoreLock(tmp_path / "lock", 10), StoreLock(tmp_path / "lock", 10)
    placed = threading.Event()
    flock = fcntl.flock

    def watched(descriptor: int, operation: int) -> None:
        flock(descriptor, operation)
        if operation == fcntl.LOCK_EX:
            # The first that waits and comes back has a place in the queue, and waits for the lock from now on.
            placed.set()

    monkeypatch.setattr(fcntl, "flock", watched)
    for _ in range(20):
        order: list[str] = []

        def wait(order: list[str] = order) -> None:
            with patient.held():
                order.append("patient")

        hold = busy.acquire()
        placed.clear()
        waiter = threading.Thread(target=wait)
        waiter.start()
        assert placed.wait(10)
        busy.release(hold)
        with busy.held():
            order.append("busy")
        waiter.join()
        assert order == ["patient", "busy"]
    busy.close()
    patient.close()
