"""Facts the engine announces after they are on the ledger. Observers listen; they cannot change a verdict.

Each event is frozen and carries the task, the phase it concerns, and the ledger sequence that records it.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Common to all: the task (empty for workspace-wide facts), phase, and the ledger line behind it."""

    task: str = ""
    phase: str = ""
    seq: int | None = None
    actor: str = ""
    session: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOpened(Event):
    """A task entered STRATEGIZE."""

    profile: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEntered(Event):
    """A forward move; `phase` is the phase entered, `origin` the one left."""

    origin: str = ""
    epoch: int = 0
    prompt_sha256: str = ""
    persona_sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backtracked(Event):
    """The task went back to `phase` from `origin`; `epoch` is the new one."""

    origin: str = ""
    epoch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionRefused(Event):
    """A move to `target` was refused; `reasons` are the codes, `violation` whether it broke the process."""

    target: str = ""
    reasons: tuple[str, ...] = field(default=())
    violation: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ViolationRecorded(Event):
    """A `violation` line was written; `code` is its reason. Its task is empty where it is the caller's own affair."""

    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GateJudged(Event):
    """An evidence gate was judged: `passed`, and the codes if not."""

    passed: bool = False
    reasons: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceAdded(Event):
    """An artifact was sealed."""

    artifact: str = ""
    sha256: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptAttested(Event):
    """A prompt was held against its baseline; `drift` says whether it differed, `severity` what follows."""

    sha256: str = ""
    drift: bool = False
    severity: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseChanged(Event):
    """A lease was granted, released, forced, contended or found expired: `change` says which."""

    change: str = ""
    resource: str = ""
    fence: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallJudged(Event):
    """The guard answered a call: `decision` is allow or deny."""

    tool: str = ""
    capability: str = ""
    decision: str = ""
    rule: str = ""
    reasons: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalated(Event):
    """The watchdog held the task."""

    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEnded(Event):
    """The task was closed or abandoned."""

    outcome: str = ""
    rejected: bool = False
