"""The one lock over ledger and lease log.

`flock` on a kept descriptor where the system has it: it costs half a microsecond, and the kernel gives it back when a
process dies. The lock is the descriptor's, though, and outlives the process in whoever else has that descriptor open: a
child that was forked. So the descriptors are closed in a forked child and in a program that is started, and no lock is
stale; a child that was forked past Python's own `os.fork` keeps them, and with them a dead parent's lock until it ends.

The kernel does not hand the lock to who waits longest: whoever has just given it back would mostly be the next to have
it. So one takes a place in a queue first, a second lock beside the first, and keeps it until the first is had. A call
that would wait longer than the limit is refused: the holder may be stopped.
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

_opened: set[int] = set()
"""The descriptors that this process has open for locks."""


def _close(descriptor: int) -> None:
    # In this order: a child that is forked in between must not close what has the number by then.
    _opened.discard(descriptor)
    os.close(descriptor)


def _close_inherited() -> None:
    """In a forked child: have no part in the parent's locks, which would last as long as the child otherwise."""
    while _opened:
        with contextlib.suppress(OSError):
            os.close(_opened.pop())


if hasattr(os, "register_at_fork"):  # pragma: no branch - Windows
    os.register_at_fork(after_in_child=_close_inherited)


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
        except BaseException:
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # interrupted: it may be had
            raise
        return descriptor

    def release(self, hold: int) -> None:
        """Give back what `acquire` took. What a parent process took is not given back by a forked child."""
        if fcntl is None:  # pragma: no cover - Windows
            self._portable.release()
        elif self._process != os.getpid():
            return
        elif hold == self._descriptor:
            fcntl.flock(hold, fcntl.LOCK_UN)
        else:
            _close(hold)

    def close(self) -> None:
        """Give the descriptors back."""
        for descriptor in (self._descriptor, self._queue_descriptor):
            if descriptor >= 0 and self._process == os.getpid():
                _close(descriptor)
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
            descriptor = os.open(path, _OPEN, 0o644)
        except OSError as error:
            raise storage_error(error, path) from error
        _opened.add(descriptor)
        return descriptor

    def _waited(self, mode: int) -> int:
        """A descriptor of its own that holds the lock, after waiting for a place in the queue and then for the lock.

        flock has no time limit, so a thread waits. If the limit passes first, or the caller is interrupted, that thread
        gives the lock back as soon as it gets it.
        """
        descriptor, place = self._open(self._path), self._open(self._queue)
        turn = _Turn()

        def wait() -> None:
            try:
                fcntl.flock(place, fcntl.LOCK_EX)
                fcntl.flock(descriptor, mode)
            except OSError as error:
                turn.error = error
            _close(place)
            if not turn.come():
                _close(descriptor)

        # Not a `Thread`: to start one costs three times as much, and several times as long, as this whole wait.
        _thread.start_new_thread(wait, ())
        try:
            arrived = turn.wait(self._wait_seconds)
        except BaseException:
            if not turn.give_up():
                _close(descriptor)
            raise
        if not arrived and turn.give_up():
            raise StorageError(
                "lock_timeout",
                where=str(self._path),
                detail=f"held by another process for {self._wait_seconds:g} s",
                retryable=True,
            )
        if turn.error is not None:
            _close(descriptor)
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
        """Whether the lock is had within that time. It may come in the very moment after: `give_up` tells."""
        return self._arrived.acquire(timeout=seconds)

    def give_up(self) -> bool:
        """Whether the lock never comes: it is given back when it is had. If False it came before that."""
        return self._decided.acquire(False)
