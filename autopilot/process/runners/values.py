"""What a phase's runner is given and what it brings back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from autopilot.kernel.callers import Caller
from autopilot.kernel.configuration import Settings
from autopilot.kernel.phases import Phase
from autopilot.kernel.reasons import Reason
from autopilot.ledger.entry import ArtifactRef
from autopilot.process.admission import Finding
from autopilot.process.graph import Move
from autopilot.process.profiles import ProcessProfile
from autopilot.process.state import Evidence, TaskState


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """An admission to run a phase's runner: which task, in which phase and epoch, for whom, under which fence.

    `granted` are the subjects whose approval holds for this caller now; one that is expired is not among them.
    The runner does not trust it: it is held against the ledger before anything runs.
    """

    task: TaskState
    phase: Phase
    caller: Caller
    fence: int
    profile: ProcessProfile
    settings: Settings
    granted: frozenset[str] = frozenset()

    @property
    def move(self) -> Move:
        """The forward move out of the phase."""
        return Move("forward", self.phase, self.phase.following)


@dataclass(frozen=True, slots=True)
class ApprovalNeed:
    """Something only a person can lift: what kind, the digest of what it is about, and why, in one line."""

    subject: str
    kind: str
    move: str
    digest: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What the runner found: per artifact a finding, further checks, and what is to be sealed with the move.

    `sealed` are the artifacts produced or read by this run (their bytes are in the object store); `bindings` says
    per name what they are bound to, as the ledger line holds it.
    """

    findings: tuple[Finding, ...] = ()
    checks: tuple[Reason, ...] = ()
    needs: tuple[ApprovalNeed, ...] = ()
    sealed: tuple[ArtifactRef, ...] = ()
    bindings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    judged_tree: str = ""
    config: str = ""
    interpreter: str = ""


def evidence_of(ticket: Ticket, ref: ArtifactRef, binding: Mapping[str, str]) -> Evidence:
    """A freshly sealed artifact as evidence of this epoch, as it will be folded once its line is written."""
    return Evidence(
        phase=str(ticket.phase),
        name=ref.name,
        sha256=ref.sha256,
        bytes=ref.bytes,
        media_type=ref.media_type,
        origin=ref.origin,
        epoch=ticket.task.epoch,
        fence=ticket.fence,
        seq=-1,
        actor=ticket.caller.actor,
        session=ticket.caller.session,
        tree=binding.get("tree", ""),
        inputs=binding.get("inputs", ""),
        isolation=binding.get("isolation", ""),
    )
