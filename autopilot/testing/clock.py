"""A clock that stands still until it is told to move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class FakeClock:
    """Implements `kernel.clock.Clock`; `advance` moves boot clock and wall clock together."""

    def __init__(self, start: datetime | None = None, boot: str = "boot-1") -> None:
        self._wall = start or datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
        self._boot_ns = 1_000_000_000_000
        self._boot = boot

    def wall(self) -> datetime:
        """The time of day."""
        return self._wall

    def boot_ns(self) -> int:
        """Nanoseconds since boot."""
        return self._boot_ns

    def boot_id(self) -> str:
        """The boot's name."""
        return self._boot

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._boot_ns += round(seconds * 1_000_000_000)
        self._wall += timedelta(seconds=seconds)

    def copy(self) -> FakeClock:
        """Another clock that shows the same and goes its own way."""
        other = FakeClock(self._wall, self._boot)
        other._boot_ns = self._boot_ns
        return other

    def reboot(self, boot: str) -> None:
        """Start another boot: the boot clock begins again."""
        self._boot, self._boot_ns = boot, 1_000_000_000
