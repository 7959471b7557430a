"""Time, as the engine is allowed to see it.

Decisions use the boot clock (it counts suspend) together with the boot id; the wall clock is for people. The
clock is passed in everywhere, so that tests and simulators own it.

Boot times compare within one boot only, so a boot must have a name that no other boot has. Linux makes one
(`/proc/sys/kernel/random/boot_id`), macOS too (`sysctl kern.bootsessionuuid`). Where neither can be read the name is
not guessed: one made from the time of day would change when that is set, which ends every lease at once, or stay the
same over a reboot, which lets a dead holder's lease stand. MissingComponentError `boot_unknown` is the answer there.

Linux counts suspend with CLOCK_BOOTTIME, macOS with CLOCK_MONOTONIC. Where a clock stops in suspend a lease lasts that
much longer; what its holder may write is the fence's to say, not the clock's.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from autopilot.kernel.errors import MissingComponentError

_LINUX_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MACOS_BOOT_ID = b"kern.bootsessionuuid"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


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
        # Read when it is first asked for: what only needs the time of day runs on every machine.
        self._boot_id = ""

    def wall(self) -> datetime:
        return datetime.now(UTC)

    def boot_ns(self) -> int:
        return time.clock_gettime_ns(self._clock_id)

    def boot_id(self) -> str:
        """See `Clock`. MissingComponentError `boot_unknown` where the machine does not name its boot."""
        if not self._boot_id:
            self._boot_id = read_boot_id()
        return self._boot_id


def read_boot_id(linux: Path = _LINUX_BOOT_ID) -> str:
    """The name that the kernel gave this boot, a UUID in lower case; MissingComponentError `boot_unknown`."""
    found = (_first_line(linux) or _from_sysctl()).lower()
    # Nothing but a UUID, and not the empty one: a constant would make all boots the same.
    if _UUID.fullmatch(found) and found.strip("0-"):
        return found
    raise MissingComponentError(
        "boot_unknown", where=str(linux), detail="neither /proc nor sysctl kern.bootsessionuuid names this boot"
    )


def _first_line(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _from_sysctl(name: bytes = _MACOS_BOOT_ID) -> str:
    """A text value of the BSD system control; empty where there is none."""
    import ctypes  # loaded only where /proc does not answer: it costs more than the rest of this module

    try:
        ask = ctypes.CDLL(None).sysctlbyname
    except (AttributeError, OSError):
        return ""
    value, size = ctypes.create_string_buffer(128), ctypes.c_size_t(128)
    failed = ask(name, value, ctypes.byref(size), None, ctypes.c_size_t(0))
    return "" if failed else value.value.decode("ascii", "replace")
