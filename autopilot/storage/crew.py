"""Threads that wait for the disk together.

A disk that is asked for several syncs at once answers them in little more time than for one, and one after the other
takes the sum. So syncs of which none waits for another (those of several new objects) are given out here; only the
syncs, because threads that do more than wait are in each other's way. The threads are kept: to start one costs as much
as what it saves. There are few, they sleep between calls, and no process waits for them at its end.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

Task = Callable[[], object]

THREADS = 3


class Crew:
    """A few kept threads, started when first needed. A forked child starts its own."""

    def __init__(self, threads: int = THREADS) -> None:
        self._size = threads
        self._forget()

    def run(self, tasks: Sequence[Task]) -> None:
        """Do all of `tasks`, at the same time where there are threads for it, and return when every one has ended.

        Raises what the first of the tasks that failed raised, after the others have ended.
        """
        shares = self._shares(tasks)
        ended: SimpleQueue[None] = SimpleQueue()
        errors: dict[int, BaseException] = {}
        for share in shares[1:]:
            self._work.put((share, errors, ended))
        _do(shares[0], errors)
        for _ in shares[1:]:
            ended.get()
        if errors:
            raise errors[min(errors)]

    def _shares(self, tasks: Sequence[Task]) -> list[list[tuple[int, Task]]]:
        """The tasks with their numbers, one share for the caller and one for each thread. Always the same division."""
        numbered = list(enumerate(tasks))
        count = 1 + min(self._started(len(numbered) - 1), max(0, len(numbered) - 1))
        return [numbered[first::count] for first in range(count)]

    def _started(self, wanted: int) -> int:
        """How many threads there are, after starting what is missing of `wanted`."""
        if self._process != os.getpid():
            self._forget()
        with self._starting:
            while self._alive < min(wanted, self._size):
                try:
                    threading.Thread(target=_serve, args=(self._work,), name="autopilot-sync", daemon=True).start()
                except RuntimeError:
                    break  # No more threads to be had: the caller does it all.
                self._alive += 1
            return self._alive

    def _forget(self) -> None:
        self._process = os.getpid()
        self._starting = threading.Lock()
        self._work: SimpleQueue[_Share] = SimpleQueue()
        self._alive = 0


_Share = tuple[list[tuple[int, Task]], dict[int, BaseException], "SimpleQueue[None]"]


def _serve(work: SimpleQueue[_Share]) -> None:
    while True:
        share, errors, ended = work.get()
        _do(share, errors)
        ended.put(None)
        # Nothing of the call may live on here while the thread sleeps.
        del share, errors, ended


def _do(share: list[tuple[int, Task]], errors: dict[int, BaseException]) -> None:
    for number, task in share:
        try:
            task()
        except BaseException as error:  # noqa: BLE001 - raised again by the caller of `run`
            errors[number] = error


CREW = Crew()
"""The crew of this process."""
