"""Machine reports: what they say. Pure: bytes in, values out. Whether it is believed is `evidence.rules`' to say.

A report is project output, so it is hostile input: sizes and depths are capped, entities refused, and whatever does
not fit is ContractError `report_unreadable`, never a crash.
"""

from autopilot.sandbox.reports.coverage import CoverageReport, FileCoverage, parse_coverage
from autopilot.sandbox.reports.junit import Outcome, TestCase, TestReport, parse_junit
from autopilot.sandbox.reports.lint import LintFormat, LintReport, parse_lint

__all__ = [
    "CoverageReport",
    "FileCoverage",
    "LintFormat",
    "LintReport",
    "Outcome",
    "TestCase",
    "TestReport",
    "parse_coverage",
    "parse_junit",
    "parse_lint",
]
