"""The machine's two clocks: the boot clock that only goes forward, and the wall clock that people set."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

LONG_SECONDS = 300


class SimClock:
    """Implements `kernel.clock.Clock`."""

    def __init__(self) -> None:
        self.jumps = 0
        """How often the wall clock was set, or the machine slept: what was judged before may look odd after."""
        self._wall = datetime(2026, 3, 1, 9, tzinfo=UTC)
        self._boot_ns = 60_000_000_000
        self._boots = 1

    def wall(self) -> datetime:
        """The time of day."""
        return self._wall

    def boot_ns(self) -> int:
        """Nanoseconds since boot, suspend included."""
        return self._boot_ns

    def boot_id(self) -> str:
        """The boot's name, a UUID as Linux makes them."""
        return f"00000000-0000-4000-8000-{self._boots:012x}"

    def tick(self, seconds: float) -> None:
        """Time passes; a suspended machine's too."""
        self.jumps += seconds >= LONG_SECONDS
        self._boot_ns += round(seconds * 1_000_000_000)
        self._wall += timedelta(seconds=seconds)

    def set_wall(self, seconds: float) -> None:
        """Somebody sets the time of day, forward or back."""
        self.jumps += 1
        self._wall += timedelta(seconds=seconds)

    def reboot(self) -> None:
        """Another boot: its clock begins anew, and its name is another."""
        self._boots += 1
        self._boot_ns = 5_000_000_000
        self._wall += timedelta(seconds=40)
