"""What a lease is: who holds a task's phase, under which fence, until when.

The lease gives liveness, the fence gives safety. Times are nanoseconds of the boot clock (it counts suspend) and
compare only within one boot, so every lease names the boot it was granted in. Stored times are whole microseconds:
2^53 nanoseconds are 104 days of uptime, too few for the ledger's integers.

A resource is `<TASK>/<PHASE>`; a task has at most one lease at a time, and its fences count from 1 over all its
resources, so that a grant on one phase fences out whoever worked on another.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass

from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import sha256_hex
from autopilot.kernel.errors import ContractError
from autopilot.kernel.ids import parse_task_id
from autopilot.kernel.phases import Phase, parse_phase

NS_PER_SECOND = 1_000_000_000
NS_PER_US = 1_000


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, as decisions see it: nanoseconds since boot, and which boot."""

    boot_ns: int
    boot_id: str

    @property
    def us(self) -> int:
        """Whole microseconds since boot: what a record can hold."""
        return self.boot_ns // NS_PER_US

    def cut(self) -> Moment:
        """The moment at whole microseconds, so that a value made from it equals the one read back."""
        return Moment(self.us * NS_PER_US, self.boot_id)


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """Limits of a lease. `max_hold_seconds` bounds one uninterrupted hold of a resource; 0 means no bound."""

    ttl_seconds: int = 120
    renew_min_interval_seconds: int = 1
    max_hold_seconds: int = 0

    def __post_init__(self) -> None:
        if self.ttl_seconds < 1 or self.renew_min_interval_seconds < 0 or self.max_hold_seconds < 0:
            raise ContractError(
                "bad_config", where="leases", detail="lease times are whole seconds, the lease time at least 1"
            )


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """Names one process of one machine for as long as the machine runs. See `liveness` for what each part excludes."""

    host: str
    namespaces: str
    pid: int
    start: str


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease: the caller's session, or, where `process` is set, that one process of it.

    A session outlives the command that speaks for it, so only time ends its lease. A process can be proved dead.
    """

    caller: Caller
    process: ProcessIdentity | None = None

    @property
    def kind(self) -> str:
        """`session` or `process`."""
        return "process" if self.process else "session"

    @property
    def session(self) -> str:
        """The session that the lease belongs to."""
        return self.caller.session

    def is_same_as(self, other: Holder) -> bool:
        """Whether `other` need not wait for this holder: its own session and, for a process, itself."""
        return self.session == other.session and (self.process is None or self.process == other.process)


@dataclass(frozen=True, slots=True)
class Lease:
    """One grant. `since_ns` is where the uninterrupted hold began; `renewed_ns` the last renewal, or the grant."""

    resource: str
    fence: int
    holder: Holder
    token_sha256: str
    boot: str
    granted_ns: int
    since_ns: int
    deadline_ns: int
    renewed_ns: int
    renewals: int = 0

    @property
    def task(self) -> str:
        """The task of the resource."""
        return task_of(self.resource)

    def ran_out(self, now: Moment) -> bool:
        """Whether the lease's time is over. Boot times of another boot do not compare: its holders are gone."""
        return now.boot_id != self.boot or now.boot_ns >= self.deadline_ns

    def seconds_left(self, now: Moment) -> int:
        """Whole seconds until the deadline, 0 once it has run out."""
        return 0 if self.ran_out(now) else (self.deadline_ns - now.boot_ns) // NS_PER_SECOND

    def has_token(self, token: str) -> bool:
        """Whether `token` is the one given out with this lease."""
        return hmac.compare_digest(self.token_sha256, token_digest(token))

    def shown(self, now: Moment) -> dict[str, str | int]:
        """The lease as `--json` shows it."""
        return {
            "resource": self.resource,
            "fence": self.fence,
            "actor": self.holder.caller.actor,
            "expires_in_seconds": self.seconds_left(now),
        }


@dataclass(frozen=True, slots=True)
class Claim:
    """What a caller says to hold: its session and, where it was given them, the fence and the token of its lease."""

    session: str
    fence: int | None = None
    token: str | None = None


ProvedDead = Callable[[Holder], bool]
"""Whether a holder is proved dead. Anything short of proof is False: the lease stays held until its deadline."""


def nobody_proved_dead(holder: Holder) -> bool:
    """The `ProvedDead` that proves nothing: every lease is held until its deadline."""
    del holder
    return False


def resource_of(task: str, phase: Phase) -> str:
    """The resource of a task's phase: `T-1/PLAN`."""
    return f"{task}/{phase.value}"


def task_of(resource: str) -> str:
    """The task of a resource. Task ids hold no slash, so the first one ends the task."""
    return resource.partition("/")[0]


def parse_resource(text: str) -> str:
    """`text` if it is `<TASK>/<PHASE>` in the recorded form, ContractError of the part that is not otherwise."""
    task, _, phase = text.partition("/")
    parse_task_id(task)
    if parse_phase(phase).value != phase:
        raise ContractError("unknown_phase", where=text, detail="resources name the phase in upper case")
    return text


def token_digest(token: str) -> str:
    """What is kept of a lease's token: its SHA-256. The token itself is shown once and stored nowhere."""
    return sha256_hex(token.encode())
