"""A finding: what is wrong at one place of one artifact, before it becomes a reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec

from autopilot.kernel.errors import ContractError
from autopilot.kernel.reasons import Reason

MAX_REASONS = 50

P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault. `line` counts from 1 (0: the whole artifact), `item` names a section, an id or a JSON place."""

    code: str
    detail: str
    line: int = 0
    item: str = ""
    remedy: str = ""

    def reason(self, artifact: str) -> Reason:
        """The finding as a reason; its place reads `spec.md:14 AC-2`."""
        place = f"{artifact}:{self.line}" if self.line else artifact
        return Reason(self.code, detail=self.detail, where=f"{place} {self.item}".rstrip(), remedy=self.remedy)


def reasons_of(artifact: str, findings: Iterable[Finding]) -> tuple[Reason, ...]:
    """The findings as reasons without repetitions, the first MAX_REASONS of them: a reader acts on the first few."""
    unique = dict.fromkeys(findings)
    return tuple(finding.reason(artifact) for finding in list(unique)[:MAX_REASONS])


def contract_error(artifact: str, finding: Finding) -> ContractError:
    """The finding as the error a parser raises."""
    reason = finding.reason(artifact)
    return ContractError(reason.code, detail=reason.detail, where=reason.where, remedy=reason.remedy)


def refusing(
    check: Callable[P, tuple[Reason, ...]],
) -> Callable[P, tuple[Reason, ...]]:
    """A rule that answers with reasons where a parser raised ContractError: input from outside never crashes a gate."""

    @wraps(check)
    def checked(*args: P.args, **kwargs: P.kwargs) -> tuple[Reason, ...]:
        try:
            return check(*args, **kwargs)
        except ContractError as error:
            return error.reasons()

    return checked
