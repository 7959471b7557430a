"""The baseline of a task's phase: which prompt bytes were attested, in numbered versions.

The first prompt of a phase sets version 1. A later version is made on purpose, by a person, with a reason, and is a
ledger line of its own (`prompt.baseline_changed`); the engine never moves a baseline to fit what it sees.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import sha256_hex
from autopilot.kernel.errors import ContractError, RefusedError
from autopilot.kernel.phases import Phase
from autopilot.kernel.reasons import Reason, refused

_DIGEST = re.compile(r"[0-9a-f]{64}")


def prompt_digest(prompt: bytes) -> str:
    """SHA-256 of the prompt's bytes as they are: no trimming, no other line ends, no other Unicode form."""
    return sha256_hex(prompt)


def checked_digest(text: str) -> str:
    """`text` if it is a SHA-256 in lower-case hex; ContractError `malformed_digest` otherwise."""
    if not _DIGEST.fullmatch(text):
        raise ContractError("malformed_digest", where="prompt", detail=f"{text[:80]!r}")
    return text


@dataclass(frozen=True, slots=True)
class Baseline:
    """The attested prompt of `task` in `phase`; `previous` is the digest it replaced, empty for version 1."""

    task: str
    phase: Phase
    prompt_sha256: str
    version: int = 1
    previous: str = ""
    reason: str = ""

    def as_data(self) -> dict[str, Any]:
        """The `data` of `prompt.baseline_changed`, and of the attestation that sets version 1."""
        return {
            "phase": self.phase.value,
            "sha256": self.prompt_sha256,
            "version": self.version,
            "previous": self.previous or None,
            "reason": self.reason,
        }


def changed_baseline(baseline: Baseline, prompt_sha256: str, *, reason: str, caller: Caller) -> Baseline:
    """The next version. RefusedError `human_only` for an agent; ContractError `reason_missing`, `malformed_digest`."""
    if caller.kind != "human":
        # Drift is what an agent does to its prompt; who drifts may not move the mark.
        raise RefusedError(refused([Reason("human_only", detail="changing a baseline", where=baseline.task)]))
    if not reason.strip():
        raise ContractError("reason_missing", where="--reason", detail="why does the baseline change?")
    return Baseline(
        baseline.task,
        baseline.phase,
        checked_digest(prompt_sha256),
        baseline.version + 1,
        baseline.prompt_sha256,
        reason.strip(),
    )
