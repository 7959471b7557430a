"""The server's clock, by which the leases of a shared ledger are judged.

The machines that share a ledger have clocks of their own; the database has one. It is asked with `clock_timestamp()`,
at the moment of the question: `now()` is the time at which the transaction began, before it waited for its turn, and
would call a lease valid that ran out meanwhile. The server's clock is a wall clock and may be set; what a stale holder
may write is the fence's to say.

A *boot* here is the database cluster: moments of all machines that use it compare, those of another cluster do not.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

NOW_US = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
CLUSTER = "SELECT system_identifier::text FROM pg_control_system()"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NS_PER_US = 1_000


def moment_of(us: int) -> datetime:
    """The time of day, `us` microseconds after 1970."""
    return _EPOCH + timedelta(microseconds=us)


class ServerClock:
    """Implements `kernel.clock.Clock` over a store."""

    def __init__(self, now_us: Callable[[], int], boot: Callable[[], str]) -> None:
        self._now_us = now_us
        self._boot = boot

    def wall(self) -> datetime:
        """The server's time of day."""
        return moment_of(self._now_us())

    def boot_ns(self) -> int:
        """Nanoseconds since 1970 by the server's clock."""
        return self._now_us() * _NS_PER_US

    def boot_id(self) -> str:
        """Names the database cluster."""
        return self._boot()
