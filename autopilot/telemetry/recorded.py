"""The moves that `traces.jsonl` tells of, for whoever holds the file against the ledger.

Like the sums of `totals`: what was sent, by any process, in a file that an agent may edit. A line that does not read is
counted, not believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from autopilot.telemetry import names
from autopilot.telemetry.totals import whole_lines


@dataclass(frozen=True, slots=True)
class RecordedMoves:
    """Moves that a span calls admitted, ledger line to task; and how many lines did not read."""

    moves: dict[int, str]
    unreadable: int


def recorded_moves(path: Path) -> RecordedMoves:
    """The moves in the file at `path`; none if it is not there. OSError if it cannot be read."""
    moves: dict[int, str] = {}
    unreadable = 0
    for line in whole_lines(path):
        try:
            moves.update(_moves(orjson.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError):
            unreadable += 1
    return RecordedMoves(moves, unreadable)


def _moves(request: dict[str, Any]) -> dict[int, str]:
    found: dict[int, str] = {}
    for resource in request["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            for span in scope["spans"]:
                told = {item["key"]: item["value"] for item in span["attributes"]}
                if span["name"] == names.TRANSITION and _text(told, names.OUTCOME) == "admitted":
                    found[int(told[names.SEQ]["intValue"])] = _text(told, names.TASK)
    return found


def _text(told: dict[str, Any], name: str) -> str:
    return str(told.get(name, {}).get("stringValue", ""))
