"""The counters' sums over `metrics.jsonl`, for dashboards. The ledger fold is the authority, this file what was sent.

Any process may append to the file and an agent may edit it, so a line that does not read is counted, not believed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from autopilot.telemetry.instruments import COUNTERS
from autopilot.telemetry.lines import MAX_LINE_BYTES

_DELTA = 1


@dataclass(frozen=True, slots=True)
class Totals:
    """Sum of each counter (all of them, 0 where nothing was counted), lines read, and lines that did not read."""

    counters: dict[str, int]
    lines: int
    unreadable: int


def totals(path: Path) -> Totals:
    """The sums over the file at `path`; zeros if it is not there. OSError if it cannot be read."""
    sums = dict.fromkeys(COUNTERS, 0)
    lines = unreadable = 0
    for line in whole_lines(path):
        lines += 1
        try:
            for name, value in _deltas(orjson.loads(line)):
                sums[name] += value
        except (ValueError, KeyError, TypeError, AttributeError):
            unreadable += 1
    return Totals(sums, lines, unreadable)


def whole_lines(path: Path) -> Iterator[bytes]:
    """The lines of a telemetry file but the one being written; an overlong one comes as an empty one."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    overlong = False
    with file:
        while part := file.readline(MAX_LINE_BYTES):
            if part.endswith(b"\n"):
                # A line longer than any of ours is not kept in memory; as an empty one it counts as unreadable.
                if part != b"\n":
                    yield b"" if overlong else part
                overlong = False
            else:
                # Or it is the last one, which is being written.
                overlong = True


def _deltas(request: dict[str, Any]) -> list[tuple[str, int]]:
    # A list, so that a line counts as a whole or not at all.
    found: list[tuple[str, int]] = []
    for resource in request["resourceMetrics"]:
        for scope in resource["scopeMetrics"]:
            for metric in scope["metrics"]:
                if metric["name"] not in COUNTERS or metric["sum"]["aggregationTemporality"] != _DELTA:
                    raise ValueError(metric["name"])
                found += [(metric["name"], _natural(point["asInt"])) for point in metric["sum"]["dataPoints"]]
    return found


def _natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value
