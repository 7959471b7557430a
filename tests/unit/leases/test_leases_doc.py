"""docs/reference/leases.md is true: its records parse and follow one another, its codes and defaults are the code's."""

from __future__ import annotations

import re
from pathlib import Path

from autopilot.kernel.canonical import loads
from autopilot.kernel.reason_codes import REASON_CODES
from autopilot.leases.book import EMPTY_BOOK, LAPSES_KEPT, apply_all, observed_digest, snapshot
from autopilot.leases.records import Force, Grant, Snapshot
from autopilot.leases.stored import parse_record
from autopilot.leases.terms import LeaseTimes

DOC = (Path(__file__).parents[3] / "docs/reference/leases.md").read_text()


def test_examples_are_one_log() -> None:
    examples = [example.encode() for example in re.findall(r"```json\n(.*?)\n```", DOC, re.DOTALL)]
    records = [parse_record(loads(example)) for example in examples]
    *before, last = records
    assert {record.as_dict()["kind"] for record in records} == {
        "grant",
        "renew",
        "release",
        "expire",
        "force",
        "snapshot",
    }
    assert [loads(example) for example in examples] == [record.as_dict() for record in records]
    granted, forced = records[0], before[-1]
    assert isinstance(granted, Grant)
    assert granted.lease.has_token(re.findall(r"with the token `(\w+)`", DOC)[0])
    assert isinstance(forced, Force)
    assert forced.observed == observed_digest(apply_all(EMPTY_BOOK, before[:-1]), "T-1")
    assert isinstance(last, Snapshot)
    assert snapshot(apply_all(EMPTY_BOOK, before)) == (last,)


def test_codes_are_known() -> None:
    named = set(re.findall(r"`(lease_\w+|stale_fence|renewed_\w+)`", DOC))
    assert named >= {"lease_held", "stale_fence"}
    assert named <= REASON_CODES.keys()


def test_figures_are_the_defaults() -> None:
    times = LeaseTimes()
    assert f"`ttl_seconds` ({times.ttl_seconds})" in DOC
    assert f"`renew_min_interval_seconds` ({times.renew_min_interval_seconds})" in DOC
    assert f"`max_hold_seconds` ({times.max_hold_seconds}, no limit)" in DOC.replace("\n", " ")
    assert f"the last {LAPSES_KEPT} of a task" in DOC
