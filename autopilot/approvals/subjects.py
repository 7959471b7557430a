"""What an approval is about, as one digest over every part of it.

Two subjects that differ in any part have different digests, so that a grant for one is nothing for the other: not
for another ledger, task, epoch or move, not for another kind of question, not after a byte of the evidence changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autopilot.kernel.canonical import digest_of

# What can wait for a person, and what its digest is taken over.
KINDS: dict[str, str] = {
    "accept_unisolated": "the set of accept blocks that would run without isolation",
    "config_changed": "the difference between sealed and present commands",
    "criterion_human": "the acceptance criterion and the evidence set it is judged by",
    "environment_changed": "the interpreter's installed packages and start-up files",
    "flag_loosening": "the flag, its sealed and its requested mode",
    "high_impact": "the evidence set of the move",
    "outside_plan": "the difference of the files outside the plan",
    "tests_changed": "the difference of the pinned files",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One thing to approve: `digest` (SHA-256, hex) fixes the bytes in question, the rest fixes where and what for.

    `move` is the transition as `FROM->TO`; it is empty for what is no move, such as a flag.
    """

    ledger: str
    task: str
    epoch: int
    move: str
    kind: str
    digest: str

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.kind!r} is not a kind of approval")

    def as_dict(self) -> dict[str, Any]:
        """The parts as plain data."""
        return {
            "ledger": self.ledger,
            "task": self.task,
            "epoch": self.epoch,
            "move": self.move,
            "kind": self.kind,
            "digest": self.digest,
        }

    @property
    def sha256(self) -> str:
        """The digest that `approve --subject` names. It is taken over named parts, so that none runs into the next."""
        return digest_of({"autopilot": "approval-subject", "v": 1, **self.as_dict()})


def evidence_set(artifacts: Mapping[str, str]) -> str:
    """One digest over sealed artifacts, `PHASE/name` to SHA-256: what an approval was given on."""
    return digest_of({"autopilot": "evidence-set", "v": 1, "artifacts": dict(artifacts)})
