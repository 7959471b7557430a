"""coverage_report.json: what the coverage tool measured, in whole hundredths of a percent."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from autopilot.evidence.values.records import Count, Hundredths, Value
from autopilot.evidence.values.runs import CommandEvidence

MAX_FILES = 50_000


class FileCoverage(Value):
    """One measured file, counted in statements."""

    path: Annotated[str, Field(min_length=1, max_length=1_024)]
    statements: Count
    covered: Count


class CoverageReport(CommandEvidence):
    """coverage_report.json. `percent_hundredths` is the tool's own total (with branches, where it counts them)."""

    artifact = "coverage_report.json"

    report: Literal["read", "missing", "unreadable"]
    percent_hundredths: Hundredths = 0
    files: Annotated[tuple[FileCoverage, ...], Field(max_length=MAX_FILES)] = ()
