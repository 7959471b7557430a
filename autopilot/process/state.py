"""What is true now, as values: the tasks with their evidence, prompts, approvals and holds, the flags, the counters.

They are made by the fold (`process/fold.py`) from the ledger and from nothing else. A task's value is frozen and
replaced, so a reader that holds one keeps a consistent picture while the ledger moves on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from autopilot.kernel.phases import Phase, Stage, parse_stage


@dataclass(frozen=True, slots=True)
class Evidence:
    """One sealed artifact of the current epoch, with what it is bound to.

    `tree` is the git tree it speaks of (observed and executed), `inputs` the digest of everything else its production
    depended on (command, environment, base inventory), `isolation` the driver that ran it.
    """

    phase: str
    name: str
    sha256: str
    bytes: int
    media_type: str
    origin: str
    epoch: int
    fence: int
    seq: int
    actor: str
    session: str
    tree: str = ""
    inputs: str = ""
    isolation: str = ""


@dataclass(frozen=True, slots=True)
class PromptRecord:
    """The prompts seen in one phase of a task: baseline, the last one, and whether it drifted."""

    baseline: str
    last: str
    drifted: bool = False
    version: int = 1


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """What waits for a person: the subject digest and what it stands for."""

    subject: str
    kind: str
    move: str
    digest: str
    why: str
    requester: str
    session: str
    epoch: int


@dataclass(frozen=True, slots=True)
class ApprovalGrant:
    """A person's approval, not yet consumed: the fields of `approvals.Grant`, and who had asked for it."""

    request: ApprovalRequest
    approver: str
    session: str
    reason: str
    granted_at: str
    expires_at: str
    nonce: str
    advisory: bool
    seq: int
    evidence: str = ""
    key: str = ""
    signature: str = ""


@dataclass(frozen=True)
class TaskState:
    """One task as the ledger has it. Dictionaries in it are never changed in place."""

    id: str
    title: str
    profile: str
    stage: str
    epoch: int
    opened_seq: int
    last_seq: int
    base_tree: str = ""
    base_commit: str = ""
    branch: str = ""
    worktree: str = ""
    config: str = ""
    interpreter: str = ""
    compiled: str = ""
    judged_tree: str = ""
    entered_epoch: dict[str, int] = field(default_factory=dict)
    evidence: dict[str, Evidence] = field(default_factory=dict)
    retired: dict[str, str] = field(default_factory=dict)
    # Digests of all that the engine made in this epoch, failed runs too: such files may lie in the evidence folder
    # for people to read, and are worth nothing.
    shown: dict[str, tuple[str, ...]] = field(default_factory=dict)
    prompts: dict[str, PromptRecord] = field(default_factory=dict)
    requests: dict[str, ApprovalRequest] = field(default_factory=dict)
    grants: dict[str, ApprovalGrant] = field(default_factory=dict)
    # The nonces of all grants ever recorded: none is recorded a second time, used, withdrawn or retired.
    spent: tuple[str, ...] = ()
    violations: dict[str, int] = field(default_factory=dict)
    implementers: tuple[tuple[str, str], ...] = ()
    fence: int = 0
    forced_fences: tuple[int, ...] = ()
    backtracks: int = 0
    held: str = ""
    escalated_violations: dict[str, int] = field(default_factory=dict)
    # The watchdog's clock: microseconds a lease was held since the last progress, and since when one is held now
    # (microseconds since 1970, -1 for not held).
    held_us: int = 0
    holding_since_us: int = -1
    progress_seq: int = 0
    # The line of the last move that names a journal entry, -1 before the first.
    journal_seq: int = -1

    @property
    def phase(self) -> Stage:
        """The stage as a value."""
        return parse_stage(self.stage)

    def live(self, phase: Phase, name: str) -> Evidence | None:
        """The sealed artifact `name` of `phase` in the current epoch, or None."""
        return self.evidence.get(f"{phase}/{name}")


@dataclass(slots=True)
class EngineState:
    """All that the ledger says. `tasks` is in opening order; ended tasks keep only their outline."""

    ledger: str = ""
    config: str = ""
    # The line that put `config` in force, and the latest time that any line has: the past does not come back.
    config_seq: int = -1
    latest: str = ""
    tasks: dict[str, TaskState] = field(default_factory=dict)
    folded_ids: dict[str, str] = field(default_factory=dict)
    flags: dict[str, str] = field(default_factory=dict)
    flag_requests: dict[str, str] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)

    def count(self, name: str, by: int = 1) -> None:
        """Add to a counter of the fold (the authoritative figures behind the metrics file)."""
        self.counters[name] = self.counters.get(name, 0) + by
