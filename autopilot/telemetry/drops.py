"""What telemetry could not record. Counted and shown by `doctor`; it never reaches a verdict."""

from __future__ import annotations

import threading
from types import TracebackType

from autopilot.telemetry.names import bounded_text


class Counting:
    """The `with` block of `Drops.counting`. A class: `contextmanager` would cost a tenth of a span's time."""

    __slots__ = ("_drops", "_signal")

    def __init__(self, drops: Drops, signal: str) -> None:
        self._drops = drops
        self._signal = signal

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> bool:
        # Whatever the SDK, the disk or a collector comes up with; an interrupt is not a failure and passes.
        if not isinstance(error, Exception):
            return False
        self._drops.add(self._signal, error)
        return True


class Drops:
    """Counts of what was lost, by signal, with the last cause of each."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._causes: dict[str, str] = {}

    def add(self, signal: str, cause: object, count: int = 1) -> None:
        """`count` records of `signal` ("traces", "metrics", "setup") were lost to `cause`."""
        text = f"{type(cause).__name__}: {cause}" if isinstance(cause, BaseException) else str(cause)
        with self._lock:
            self._counts[signal] = self._counts.get(signal, 0) + count
            self._causes[signal] = bounded_text(text, 300)

    def counting(self, signal: str) -> Counting:
        """Swallow and count any failure inside: recording must not change what is recorded."""
        return Counting(self, signal)

    @property
    def total(self) -> int:
        """All records lost since this process opened its telemetry."""
        with self._lock:
            return sum(self._counts.values())

    def report(self) -> dict[str, tuple[int, str]]:
        """Signal to (count, last cause)."""
        with self._lock:
            return {signal: (count, self._causes[signal]) for signal, count in self._counts.items()}
