"""Two processes on one lease log, across a compaction: neither may miss what the other wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import IntegrityError
from autopilot.kernel.files import DiskFiles
from autopilot.leases.records import Grant, Release
from autopilot.leases.terms import Holder, Lease, Moment
from autopilot.storage.files.leases import LeaseLog
from autopilot.storage.files.record_log import LogPlace, RecordLog

WHO = Caller("agent-1")


def granted(fence: int) -> Grant:
    """The lease T-1/PLAN under this fence."""
    return Grant(Lease("T-1/PLAN", fence, Holder(WHO), "0" * 64, "boot-1", 1000, 1000, 9000, 1000))


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[], LeaseLog]:
    """Another process's view of one log."""
    place = LogPlace(tmp_path / "leases.wal", tmp_path / "quarantine", "0" * 32)
    RecordLog.create(DiskFiles(), place)
    return lambda: LeaseLog(DiskFiles(), place)


def test_who_compacted_reads_what_another_adds(opened: Callable[[], LeaseLog]) -> None:
    """The summary of one's own counts as the log's beginning: the next record of another is no log without one."""
    mine, other = opened(), opened()
    mine.catch_up()
    mine.append(granted(1), sync=False)
    mine.compact()
    other.catch_up()
    other.append(Release("T-1/PLAN", 1, WHO, Moment(2000, "boot-1")), sync=False)
    other.append(granted(2), sync=False)
    mine.catch_up()
    assert mine.book == other.book
    assert mine.book.fence_high("T-1") == 2


def test_a_record_that_cannot_be_taken_in_is_not_passed_over(opened: Callable[[], LeaseLog]) -> None:
    """Asked again, the log is read again: a book that lacks a record must never be decided on."""
    mine, other = opened(), opened()
    mine.catch_up()
    other.catch_up()
    # Two grants of one fence: the chain holds, the book cannot follow.
    other.append(granted(1), sync=False)
    other._log.append(granted(1).as_dict(), sync=False)
    for _ in range(2):
        with pytest.raises(IntegrityError, match="lease_log_corrupt"):
            mine.catch_up()
