"""The one lock over ledger and lease log.

`flock` on a kept descriptor where the system has it: it costs half a microsecond, and the kernel gives it back when a
process dies, so that no lock is ever stale. The kernel does not hand it to who waits longest: whoever has just given it
back would mostly be the next to have it. So one takes a place in a queue first, a second lock beside the first, and
keeps it until the first is had. A call that would wait longer than the limit is refused: the holder may be stopped.
Elsewhere filelock stands in, with its soft fallback off (a soft lock may be held twice).

A lock belongs to the process that opened it: after a fork the child opens the file anew, because both would share
the one lock otherwise.
"""

from __future__ import annotations

import _thread
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

from autopilot.kernel.errors import StorageError
from autopilot.kernel.files import storage_error

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None  # type: ignore[assignment]

QUEUE_NAME = "queue"

_OPEN = os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC


class StoreLock:
    """The lock file of one store."""

    def __init__(self, path: Path, wait_seconds: float) -> None:
        self._path = path
        self._wait_seconds = wait_seconds
        self._queue = path.with_name(QUEUE_NAME)
        self._descriptor = -1
        self._queue_descriptor = -1
        self._process = 0
        self._portable: Any = None

    @contextlib.contextmanager
    def held(self, *, shared: bool = False) -> Iterator[None]:
        """`acquire` and `release` around a block."""
        hold = self.acquire(shared=shared)
        try:
            yield
        finally:
            self.release(hold)

    def acquire(self, *, shared: bool = False) -> int:
        """Take the lock; what `release` wants back. StorageError `lock_timeout` if it is not to be had in time."""
        if fcntl is None:  # pragma: no cover - Windows
            return self._acquire_portably()
        mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        descriptor = self._own_descriptor()
        try:
            fcntl.flock(self._queue_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            try:
                fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
            finally:
                fcntl.flock(self._queue_descriptor, fcntl.LOCK_UN)
        except BlockingIOError:
            return self._waited(mode)
        except OSError as error:
            raise storage_error(error, self._path) from error
        return descriptor

    def release(self, hold: int) -> None:
        """Give back what `acquire` took."""
        if fcntl is None:  # pragma: no cover - Windows
            self._portable.release()
        elif hold == self._descriptor:
            fcntl.flock(hold, fcntl.LOCK_UN)
        else:
            os.close(hold)

    def close(self) -> None:
        """Give the descriptors back."""
        for descriptor in (self._descriptor, self._queue_descriptor):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._queue_descriptor = -1

    def _acquire_portably(self) -> int:  # pragma: no cover - Windows
        import filelock  # only where flock is missing

        self._portable = filelock.FileLock(self._path, timeout=self._wait_seconds, fallback_to_soft=False)
        try:
            self._portable.acquire()
        except filelock.Timeout:
            raise StorageError("lock_timeout", where=str(self._path), retryable=True) from None
        return -1

    def _own_descriptor(self) -> int:
        if self._descriptor < 0 or self._process != os.getpid():
            self._descriptor = self._open(self._path)
            self._queue_descriptor = self._open(self._queue)
            self._process = os.getpid()
        return self._descriptor

    def _open(self, path: Path) -> int:
        try:
            return os.open(path, _OPEN, 0o644)
        except OSError as error:
            raise storage_error(error, path) from error

    def _waited(self, mode: int) -> int:
        """A descriptor of its own that holds the lock, after waiting for a place in the queue and then for the lock.

        flock has no time limit, so a thread waits. If the limit passes first, that thread gives the lock back as
        soon as it gets it.
        """
        descriptor, place = self._open(self._path), self._open(self._queue)
        turn = _Turn()

        def wait() -> None:
            try:
                fcntl.flock(place, fcntl.LOCK_EX)
                fcntl.flock(descriptor, mode)
            except OSError as error:
                turn.error = error
            os.close(place)
            if not turn.come():
                os.close(descriptor)

        # Not a `Thread`: to start one costs three times as much, and several times as long, as this whole wait.
        _thread.start_new_thread(wait, ())
        if not turn.wait(self._wait_seconds):
            raise StorageError(
                "lock_timeout",
                where=str(self._path),
                detail=f"held by another process for {self._wait_seconds:g} s",
                retryable=True,
            )
        if turn.error is not None:
            os.close(descriptor)
            raise storage_error(turn.error, self._path) from turn.error
        return descriptor


class _Turn:
    """Which came first, the lock or the end of patience."""

    def __init__(self) -> None:
        self.error: OSError | None = None
        self._arrived = Lock()
        self._arrived.acquire()
        self._decided = Lock()

    def come(self) -> bool:
        """The lock is had, says who waited for it; whether it is still wanted."""
        wanted = self._decided.acquire(False)
        if wanted:
            self._arrived.release()
        return wanted

    def wait(self, seconds: float) -> bool:
        """Whether the lock is had within that time. If not it never will be: it is given back when it comes."""
        if self._arrived.acquire(timeout=seconds):
            return True
        # It may come in this very moment.
        return not self._decided.acquire(False)
