"""An artifact as the ledger knows it, and whether it may still be believed.

*Live* is evidence whose epoch is at least the one in which its phase was last entered, whose tree is the judged
one (observed and executed evidence), and whose fence is at most the current one; asserted evidence under a fence
that was forced away must be added again. *Rank* is the origin and isolation its contract asks for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from autopilot.evidence.origins import Origin
from autopilot.kernel.phases import Phase
from autopilot.kernel.reasons import Reason

Isolation = Literal["none", "bwrap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """Sealed bytes under a name. `tree` is the git tree the engine looked at; asserted evidence has none."""

    name: str
    phase: Phase
    task: str
    epoch: int
    fence: int
    sha256: str
    bytes: int
    media_type: str
    origin: Origin
    tree: str | None = None
    isolation: Isolation = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standpoint:
    """What an artifact is held against: the task, the epoch its phase was last entered in, the tree, the fences."""

    task: str
    entered_epoch: int
    tree: str | None
    fence: int
    forced_fences: frozenset[int] = frozenset()


def check_live(artifact: Artifact, now: Standpoint) -> tuple[Reason, ...]:
    """`evidence_stale` for each way in which `artifact` belongs to another task, epoch, tree or lease."""
    faults = []
    if artifact.task != now.task:
        faults.append(f"it was sealed for task {artifact.task}, not {now.task}")
    if artifact.epoch < now.entered_epoch:
        faults.append(f"it is of epoch {artifact.epoch}; the phase was last entered in epoch {now.entered_epoch}")
    if artifact.origin > Origin.ASSERTED and artifact.tree != now.tree:
        # An engine-made artifact without a tree is refused too: it would be live for every tree.
        faults.append(f"it was made from tree {_short(artifact.tree)}, the tree to judge is {_short(now.tree)}")
    if artifact.fence > now.fence:
        faults.append(f"it carries fence {artifact.fence}, above the current {now.fence}")
    if artifact.origin is Origin.ASSERTED and artifact.fence in now.forced_fences:
        faults.append(f"its lease (fence {artifact.fence}) was forced away: add it again")
    return tuple(Reason("evidence_stale", detail=fault, where=artifact.name) for fault in faults)


def check_rank(artifact: Artifact, *, origin: Origin, isolation: Isolation) -> tuple[Reason, ...]:
    """`evidence_rank` when the origin is too low, `isolation_missing` when it ran less isolated than asked."""
    reasons = []
    if artifact.origin < origin:
        detail = f"it is {artifact.origin}, the contract asks for {origin}"
        reasons.append(Reason("evidence_rank", detail=detail, where=artifact.name))
    if isolation == "bwrap" and artifact.isolation != "bwrap":
        reasons.append(Reason("isolation_missing", detail="it was made without isolation", where=artifact.name))
    return tuple(reasons)


def _short(tree: str | None) -> str:
    return tree[:12] if tree else "none"
