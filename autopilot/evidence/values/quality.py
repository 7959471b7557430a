"""code_quality_score.json: the configured linter's findings, and the one formula that makes a score of them.

    score = 100 - 10 × (findings per 100 lines), not under 0, kept in hundredths and rounded down

`lines` are the lines of the files that were linted. Ten findings in a thousand lines give 90.00.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from autopilot.evidence.values.records import Count, Hundredths, Value
from autopilot.evidence.values.runs import CommandEvidence

FULL_HUNDREDTHS = 10_000
LOSS_PER_FINDING_PER_LINE = 10 * 100 * 100


class RuleCount(Value):
    """How often the linter reported one of its rules."""

    rule: Annotated[str, Field(min_length=1, max_length=200)]
    findings: Annotated[int, Field(ge=1, lt=2**53)]


class CodeQualityScore(CommandEvidence):
    """code_quality_score.json."""

    artifact = "code_quality_score.json"

    report: Literal["read", "missing", "unreadable"]
    lines: Count = 0
    findings: Count = 0
    by_rule: Annotated[tuple[RuleCount, ...], Field(max_length=5_000)] = ()
    score_hundredths: Hundredths = 0


def quality_hundredths(findings: int, lines: int) -> int:
    """The score in hundredths. No line linted scores 0: nothing was looked at."""
    if lines <= 0:
        return 0
    loss = -(-findings * LOSS_PER_FINDING_PER_LINE // lines)
    return max(0, FULL_HUNDREDTHS - loss)
