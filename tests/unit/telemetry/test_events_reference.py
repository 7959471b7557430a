"""docs/reference/events.md is what the tables say."""

from __future__ import annotations

from pathlib import Path

from autopilot.telemetry.names import ATTRIBUTES, SPANS
from autopilot.telemetry.reference import render

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "events.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == render(), "run: python -m autopilot.telemetry.reference > docs/reference/events.md"


def test_names_are_distinct() -> None:
    assert len({*SPANS, *ATTRIBUTES}) == len(SPANS) + len(ATTRIBUTES)
