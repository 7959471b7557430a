"""The one form in which times are written for people: RFC 3339, UTC, microseconds."""

from __future__ import annotations

from datetime import UTC, datetime


def stamp(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds: `2026-11-21T03:22:55.000001Z`."""
    # Every line has one, and a clock's time is in UTC already: no conversion then.
    universal = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return universal.isoformat(timespec="microseconds")[: -len("+00:00")] + "Z"
