"""Time, as the engine is allowed to see it.

Decisions use the boot clock (it counts suspend) together with the boot id; the wall clock is for people. The
clock is passed in everywhere, so that tests and simulators own it.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """What the engine may ask about time."""

    def wall(self) -> datetime:
        """The time of day in UTC, for people."""
        ...

    def boot_ns(self) -> int:
        """Nanoseconds since this machine booted, suspend included."""
        ...

    def boot_id(self) -> str:
        """Names this boot of this machine; boot times of different boots do not compare."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def __init__(self) -> None:
        self._clock_id = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
        self._boot_id = _read_boot_id()

    def wall(self) -> datetime:
        return datetime.now(UTC)

    def boot_ns(self) -> int:
        return time.clock_gettime_ns(self._clock_id)

    def boot_id(self) -> str:
        return self._boot_id


def _read_boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        # No boot id here: derive one from the moment of boot, good to ten seconds. Two boots that would share it
        # are ten seconds apart, less than a boot takes.
        booted = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
        return f"since-{int(booted) // 10 * 10}"
