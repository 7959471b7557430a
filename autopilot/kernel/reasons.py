"""Reasons and verdicts: why something may not happen, and what would make it happen.

A `Verdict` is the answer of a decision: admitted when it holds no reason. A `Reason` has a code from the one
table in `reason_codes`, a detail for this case, the place, and a remedy. A reason that a human's approval would
lift carries the `subject` digest that the approval must name.

The *standing* of a code fixes its exit code and its rank: integrity before usage before sequence before lease
before missing components before the rest; waiting counts only when nothing else is unmet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from autopilot.kernel.reason_codes import REASON_CODES, Standing


@dataclass(frozen=True, slots=True)
class Reason:
    """One unmet condition. Unknown codes raise KeyError: a code without a remedy is a bug here, not an input error."""

    code: str
    detail: str = ""
    where: str = ""
    remedy: str = ""
    subject: str = ""

    def __post_init__(self) -> None:
        if not self.remedy:
            object.__setattr__(self, "remedy", REASON_CODES[self.code].remedy)

    @property
    def standing(self) -> Standing:
        """Rank and exit code. A reason an approval would lift is a wait for a person, whatever its code."""
        if self.subject:
            return Standing.WAITING
        known = REASON_CODES.get(self.code)
        return known.standing if known else Standing.REFUSED

    def as_dict(self) -> dict[str, Any]:
        """The JSON form of `--json`: code, where, detail, remedy, and subject where an approval would lift it."""
        shown = {"code": self.code, "where": self.where, "detail": self.detail, "remedy": self.remedy}
        if self.subject:
            shown["subject"] = self.subject
        return shown


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer of a decision: no reasons means admitted.

    `observed` are reasons that would refuse if their enforcement were not set to observe; `consumed` the approval
    subjects that an admitted move uses up.
    """

    reasons: tuple[Reason, ...] = field(default=())
    observed: tuple[Reason, ...] = field(default=())
    consumed: tuple[str, ...] = field(default=())

    @property
    def admitted(self) -> bool:
        """True when nothing is unmet."""
        return not self.reasons

    @property
    def exit_code(self) -> int:
        """The process exit code of this verdict, by the order of judgement in `Standing`."""
        if not self.reasons:
            return 0
        return min(reason.standing for reason in self.reasons).exit_code

    def codes(self) -> tuple[str, ...]:
        """The codes in the order they were found."""
        return tuple(reason.code for reason in self.reasons)


ADMITTED = Verdict()


def refused(reasons: Iterable[Reason]) -> Verdict:
    """A verdict of these reasons, the gravest standing first; order within a standing is kept."""
    return Verdict(tuple(sorted(reasons, key=lambda reason: reason.standing)))
