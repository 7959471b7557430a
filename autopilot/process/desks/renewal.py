"""Renewal in the background: while the engine works for a session, it renews that session's lease for it.

One thread does it for all calls of a process. It is started by the first of them, sleeps until a renewal is due, and
ends once there has been nothing to renew for a while: to start a thread for each call costs more than the call's own
lease checks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

IDLE_SECONDS = 30.0


@dataclass(slots=True, eq=False)
class _Task:
    """One renewal: what to call, how often, and when next (monotonic seconds)."""

    renew: Callable[[], bool]
    every_seconds: float
    due: float


class Renewing(Protocol):
    """Whoever renews while a call works."""

    def every(self, seconds: float, renew: Callable[[], bool]) -> AbstractContextManager[None]:
        """Call `renew` every `seconds` while the block runs, until it answers False."""
        ...


class Renewals:
    """The renewals under way in this process."""

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._changed = threading.Condition()
        self._tasks: list[_Task] = []
        self._running: _Task | None = None
        self._thread: threading.Thread | None = None
        self._wakes = 0.0

    @contextmanager
    def every(self, seconds: float, renew: Callable[[], bool]) -> Iterator[None]:
        """Call `renew` every `seconds` while the block runs, until it answers False. None is under way afterwards."""
        task = _Task(renew, seconds, time.monotonic() + seconds)
        with self._changed:
            self._tasks.append(task)
            if self._thread is None or not self._thread.is_alive():
                # Also after a fork: the child has the list, but not the thread.
                self._thread = threading.Thread(target=self._work, name="autopilot-renew", daemon=True)
                self._thread.start()
            elif task.due < self._wakes:
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                if task in self._tasks:
                    self._tasks.remove(task)
                while self._running is task:
                    self._changed.wait()

    def _work(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                task = min(self._tasks, key=lambda one: one.due, default=None)
                if task is not None and task.due <= now:
                    self._renew(task)
                    continue
                self._wakes = now + self._idle_seconds if task is None else task.due
                woken = self._changed.wait(self._wakes - now)
                if task is None and not woken and not self._tasks:
                    self._thread = None
                    return

    def _renew(self, task: _Task) -> None:
        """One renewal, with the list free meanwhile: calls come and go while it waits for the store."""
        self._running = task
        self._changed.release()
        try:
            goes_on = task.renew()
        except Exception:  # noqa: BLE001 - one call's fault must not end the others' renewals; its append will tell
            goes_on = False
        finally:
            self._changed.acquire()
            self._running = None
            self._changed.notify_all()
        task.due = time.monotonic() + task.every_seconds
        if not goes_on and task in self._tasks:
            self._tasks.remove(task)
