"""The moves that a trace file tells of: those that were admitted, and the lines that do not read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from autopilot.telemetry import names
from autopilot.telemetry.recorded import recorded_moves


def span(name: str = names.TRANSITION, outcome: str = "admitted", seq: Any = "7") -> dict[str, Any]:
    told = {names.TASK: {"stringValue": "T-1"}, names.OUTCOME: {"stringValue": outcome}, names.SEQ: {"intValue": seq}}
    return {"name": name, "attributes": [{"key": key, "value": value} for key, value in told.items()]}


def line(*spans: dict[str, Any]) -> str:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}) + "\n"


def test_only_admitted_moves_count(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    assert recorded_moves(path).moves == {}
    refused, checked = span(outcome="refused", seq="8"), span(name=names.VERIFY, seq="9")
    path.write_text(line(span(), refused) + line(checked) + line(span(seq="12")))
    found = recorded_moves(path)
    assert (found.moves, found.unreadable) == ({7: "T-1", 12: "T-1"}, 0)


def test_a_line_that_does_not_read_is_counted_and_the_last_one_may_be_in_the_making(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_text("nothing\n" + line(span(seq="many")) + '{"resourceMetrics": []}\n' + line(span()) + '{"resou')
    found = recorded_moves(path)
    assert (found.moves, found.unreadable) == ({7: "T-1"}, 3)
