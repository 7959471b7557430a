"""Is this the attested prompt? A pure decision over digests.

Drift is WARN (recorded, the move goes on) in every phase but VERIFY, REVIEW and MONITOR, where it is ERROR (the move
is refused): there a changed prompt can turn a judgement. A configuration may be stricter at once; a milder one waits
for a person, as with flags. A move without a prompt is recorded as `unattested` and goes on, unless the profile
demands one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from autopilot.attestation.baselines import Baseline, checked_digest
from autopilot.kernel.phases import PHASES, Phase
from autopilot.kernel.reasons import Reason


class Severity(IntEnum):
    """What drift does, mildest first."""

    WARN = 0
    ERROR = 1

    @property
    def word(self) -> str:
        """The name in profiles, files and on the ledger."""
        return self.name.lower()


DEFAULT_SEVERITIES: Mapping[Phase, Severity] = {
    phase: Severity.ERROR if phase in (Phase.VERIFY, Phase.REVIEW, Phase.MONITOR) else Severity.WARN for phase in PHASES
}


def effective_severity(phase: Phase, sealed: Severity | None, requested: Severity | None) -> Severity:
    """The severity in force: the stricter of the sealed one (None: the default) and the requested one."""
    base = DEFAULT_SEVERITIES[phase] if sealed is None else sealed
    return base if requested is None else max(base, requested)


class Outcome(StrEnum):
    """What was found."""

    UNATTESTED = "unattested"
    BASELINE_SET = "baseline_set"
    MATCHED = "matched"
    DRIFTED = "drifted"


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt (None: none was submitted) to be held against the baseline of `task` in `phase`."""

    task: str
    phase: Phase
    prompt_sha256: str | None
    severity: Severity
    demanded: bool = False


@dataclass(frozen=True, slots=True)
class Attestation:
    """The answer. `reasons` refuse the move; `warning` is for the record; `baseline` is the one now in force."""

    outcome: Outcome
    question: Question
    baseline: Baseline | None
    reasons: tuple[Reason, ...] = ()
    warning: Reason | None = None

    @property
    def drift(self) -> bool:
        """True if the prompt is not the attested one, whatever follows from it."""
        return self.outcome is Outcome.DRIFTED

    def as_data(self) -> dict[str, Any]:
        """The `data` of `prompt.attested` and `prompt.drift`."""
        return {
            "outcome": self.outcome.value,
            "phase": self.question.phase.value,
            "sha256": self.question.prompt_sha256,
            "baseline": self.baseline.prompt_sha256 if self.baseline else None,
            "version": self.baseline.version if self.baseline else None,
            "severity": self.question.severity.word,
        }


def attest(question: Question, baseline: Baseline | None) -> Attestation:
    """Hold the prompt against its baseline. ContractError `malformed_digest`; ValueError if it is another phase's."""
    if baseline is not None and (baseline.task, baseline.phase) != (question.task, question.phase):
        raise ValueError(f"a baseline of {baseline.task}/{baseline.phase} for {question.task}/{question.phase}")
    if question.prompt_sha256 is None:
        if not question.demanded:
            return Attestation(Outcome.UNATTESTED, question, baseline)
        reason = Reason("prompt_unattested", where=question.task)
        return Attestation(Outcome.UNATTESTED, question, baseline, (reason,))
    digest = checked_digest(question.prompt_sha256)
    if baseline is None:
        return Attestation(Outcome.BASELINE_SET, question, Baseline(question.task, question.phase, digest))
    if digest == baseline.prompt_sha256:
        return Attestation(Outcome.MATCHED, question, baseline)
    detail = f"{digest[:12]} instead of {baseline.prompt_sha256[:12]} (version {baseline.version})"
    found = Reason("prompt_drift", detail=detail, where=f"{question.task}/{question.phase}")
    if question.severity is Severity.WARN:
        return Attestation(Outcome.DRIFTED, question, baseline, warning=found)
    return Attestation(Outcome.DRIFTED, question, baseline, (found,))
