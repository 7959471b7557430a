"""A lock for threads that is given to who waits longest.

Python's own lock goes to whoever asks at the right moment. A thread that writes line after line would mostly be that
one: others would wait for long, and hardly two would ever wait for the same sync. Here a thread that gives the turn
back hands it to the first in the queue, and who comes then stands at its end. Where nobody waits it is a plain lock.
"""

from __future__ import annotations

from collections import deque
from threading import Lock


class Turn:
    """The lock. Not to be taken twice by one thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._queue: deque[Lock] = deque()

    def acquire(self, seconds: float = -1) -> bool:
        """Wait for the turn, at most `seconds` if that is not negative; whether it was had."""
        if not self._queue and self._lock.acquire(False):
            return True
        place = Lock()
        place.acquire()
        self._queue.append(place)
        if self._lock.acquire(False):
            # It was given back before we stood in the queue. Nobody else takes places out of it now.
            self._queue.remove(place)
            return True
        try:
            had = place.acquire(timeout=seconds)
        except BaseException:
            if not self._leave(place):
                self.release()  # it was handed to us, and we do not want it any more
            raise
        return had or not self._leave(place)

    def retake(self) -> None:
        """`acquire` for who may not go on without it: an interruption of the wait is raised when the turn is had."""
        interruption: BaseException | None = None
        while True:
            try:
                self.acquire()
                break
            except BaseException as error:  # noqa: BLE001 - raised below
                interruption = error
        if interruption is not None:
            raise interruption

    def _leave(self, place: Lock) -> bool:
        """Give up a place in the queue; False if the turn was handed to it already."""
        try:
            self._queue.remove(place)
        except ValueError:
            return False
        return True

    def release(self) -> None:
        """Hand the turn on, or give it back."""
        while True:
            if self._queue and self._hand_on():
                return
            self._lock.release()
            # Somebody may have stood in the queue since we looked, and found the lock taken.
            if not self._queue or not self._lock.acquire(False):
                return

    def _hand_on(self) -> bool:
        try:
            self._queue.popleft().release()
        except IndexError:
            return False  # the last one gave up waiting
        return True

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()
