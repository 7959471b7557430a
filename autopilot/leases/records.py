"""The lease log's records: values, their stored form, and the ledger lines that mirror them.

Six kinds: grant, renew, release, expire, force, snapshot. `as_dict` gives the stored form with its keys in a fixed
order, `stored.parse_record` takes it back; what a record does to the book is `book.apply`. `must_sync` says which
must be on disk before they are acknowledged. A renewal need not be: a power loss ends every local lease anyway. The
records of a move's hand-over may ride unsynced as well: the move's own ledger line carries them.

docs/reference/leases.md holds the format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from autopilot.kernel.callers import ENGINE, Caller
from autopilot.leases.terms import NS_PER_US, Lease, Moment, task_of

GrantedHow = Literal["caller", "move"]
ReleasedHow = Literal["caller", "move", "regrant"]
Proof = Literal["deadline", "reboot", "dead"]


@dataclass(frozen=True, slots=True)
class Grant:
    """A lease was granted; `how` is `move` where a move handed it on and its ledger line is the record of it."""

    lease: Lease
    how: GrantedHow = "caller"

    def as_dict(self) -> dict[str, Any]:
        """The stored form."""
        return {"kind": "grant", **lease_dict(self.lease), "how": self.how}


@dataclass(frozen=True, slots=True)
class Renew:
    """The lease's time was extended."""

    resource: str
    fence: int
    at_ns: int
    deadline_ns: int

    def as_dict(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "kind": "renew",
            "resource": self.resource,
            "fence": self.fence,
            "at_us": self.at_ns // NS_PER_US,
            "deadline_us": self.deadline_ns // NS_PER_US,
        }


@dataclass(frozen=True, slots=True)
class Release:
    """The holder gave the lease back, moved on, or asked for it anew."""

    resource: str
    fence: int
    caller: Caller
    at: Moment
    how: ReleasedHow = "caller"

    def as_dict(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "kind": "release",
            "resource": self.resource,
            "fence": self.fence,
            "caller": self.caller.as_dict(),
            **_at_dict(self.at),
            "how": self.how,
        }


@dataclass(frozen=True, slots=True)
class Expire:
    """The lease is over without its holder's doing; `proof` says what shows it, `at` since when it is known to be."""

    resource: str
    fence: int
    at: Moment
    proof: Proof

    def as_dict(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "kind": "expire",
            "resource": self.resource,
            "fence": self.fence,
            **_at_dict(self.at),
            "proof": self.proof,
        }


@dataclass(frozen=True, slots=True)
class Force:
    """A person took the lease away. `fence` is the new highest; `ended` the fence taken away, None if none was held."""

    resource: str
    fence: int
    ended: int | None
    at: Moment
    by: Caller
    reason: str
    observed: str

    def as_dict(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "kind": "force",
            "resource": self.resource,
            "fence": self.fence,
            "ended": self.ended,
            **_at_dict(self.at),
            "by": self.by.as_dict(),
            "reason": self.reason,
            "observed": self.observed,
        }


@dataclass(frozen=True, slots=True)
class Lapse:
    """A fence that ran out, and whose it was: acting on it is contention, not a violation."""

    fence: int
    session: str


@dataclass(frozen=True, slots=True)
class TaskLeases:
    """All the book keeps of one task: its highest fence, its lease if it has one, the last fences that ran out."""

    fence_high: int = 0
    held: Lease | None = None
    lapses: tuple[Lapse, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One part of a book, the first records of a compacted log. `wal_seq` numbers the last record it stands for."""

    part: int
    parts: int
    wal_seq: int
    tasks: tuple[tuple[str, TaskLeases], ...]

    def as_dict(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "kind": "snapshot",
            "part": self.part,
            "parts": self.parts,
            "wal_seq": self.wal_seq,
            "tasks": [task_dict(task, leases) for task, leases in self.tasks],
        }


LeaseRecord = Grant | Renew | Release | Expire | Force | Snapshot


@dataclass(frozen=True, slots=True)
class MirrorLine:
    """The ledger line of a record: its kind, its lease (`resource`, `fence`), who, and `data`.

    It repeats what the lease log decided, perhaps after a crash and a newer grant, so the fence check of the append
    does not apply to it.
    """

    kind: str
    resource: str
    fence: int
    caller: Caller
    data: dict[str, Any]

    @property
    def task(self) -> str:
        """The task of the resource."""
        return task_of(self.resource)


def mirror_of(record: LeaseRecord, wal_seq: int) -> MirrorLine | None:
    """The ledger line for the record numbered `wal_seq`; None for what the ledger does not repeat.

    Renewals are not on the ledger, and a hand-over is on it already, in the line of its move.
    """
    match record:
        case Grant(lease=lease, how="caller"):
            at, caller = Moment(lease.granted_ns, lease.boot), lease.holder.caller
            kind, more = "lease.granted", {"holder": lease.holder.kind}
        case Release(at=at, caller=caller, how="caller" | "regrant"):
            kind, more = "lease.released", {"how": record.how}
        case Expire(at=at):
            kind, caller, more = "lease.expired", ENGINE, {"proof": record.proof}
        case Force(at=at, by=caller):
            kind, more = "lease.forced", _force_dict(record)
        case _:
            return None
    resource, fence = _named(record)
    mono = {"boot": at.boot_id, "us": at.us}
    return MirrorLine(kind, resource, fence, caller, {"wal_seq": wal_seq, "mono": mono, **more})


def _named(record: Grant | Release | Expire | Force) -> tuple[str, int]:
    named = record.lease if isinstance(record, Grant) else record
    return named.resource, named.fence


def _force_dict(record: Force) -> dict[str, Any]:
    return {"ended": record.ended, "reason": record.reason, "observed": record.observed}


def must_sync(record: LeaseRecord) -> bool:
    """Whether the record must be on disk before it is acknowledged."""
    match record:
        case Renew() | Grant(how="move") | Release(how="move"):
            return False
        case _:
            return True


# --- stored form


def _at_dict(at: Moment) -> dict[str, Any]:
    return {"boot": at.boot_id, "at_us": at.us}


def lease_dict(lease: Lease) -> dict[str, Any]:
    """The fields of a grant as stored."""
    process = lease.holder.process
    return {
        "resource": lease.resource,
        "fence": lease.fence,
        "holder": lease.holder.caller.as_dict(),
        "process": process
        and {"host": process.host, "namespaces": process.namespaces, "pid": process.pid, "start": process.start},
        "token_sha256": lease.token_sha256,
        "boot": lease.boot,
        "granted_us": lease.granted_ns // NS_PER_US,
        "since_us": lease.since_ns // NS_PER_US,
        "deadline_us": lease.deadline_ns // NS_PER_US,
    }


def task_dict(task: str, leases: TaskLeases) -> dict[str, Any]:
    """One task of a snapshot as stored."""
    held = leases.held
    return {
        "task": task,
        "fence_high": leases.fence_high,
        "held": held and {**lease_dict(held), "renewed_us": held.renewed_ns // NS_PER_US, "renewals": held.renewals},
        "lapses": [[lapse.fence, lapse.session] for lapse in leases.lapses],
    }
