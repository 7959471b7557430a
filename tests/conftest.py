"""Where the tests write: in memory if there is room, because they make and remove some 100,000 small files.

Nothing is tested less for it: that a sync is made, and that one which fails is not passed over, is held by ports that
count and fail, never by the disk. On a disk are the benchmarks and the long runs, and everything if `TMPDIR` is set.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")
ROOM_BYTES = 1 << 30


def pytest_configure(config: pytest.Config) -> None:
    """Send all temporary folders there, those of started programs too; workers inherit it."""
    measured = config.getoption("benchmark_only", False) or config.getoption("markexpr", "") == "soak"
    if "TMPDIR" not in os.environ and not measured and has_room(MEMORY):
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None


def has_room(place: Path) -> bool:
    """Whether programs can be written to `place` and run there, and it has room for the tests."""
    try:
        found = os.statvfs(place)
    except OSError:
        return False
    forbidden = found.f_flag & (os.ST_NOEXEC | os.ST_RDONLY)
    return os.access(place, os.W_OK | os.X_OK) and not forbidden and found.f_bavail * found.f_frsize >= ROOM_BYTES
