"""What becomes of the lease when the task moves: it goes on to the next phase in the same session, or is left free.

The move's own ledger line is the record: its `lease` names what was held, `data.handover` the new lease (as
`handed_on_dict` gives it) or null. The lease log's records of it are written unsynced after that line, so a crash may
lose them; `rebuild_handover` makes them again from the line, as often as it is asked and only where they are missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.kernel.reasons import Verdict
from autopilot.leases.book import LeaseBook
from autopilot.leases.decisions import Decision, standing
from autopilot.leases.records import Grant, LeaseRecord, Release, lease_dict
from autopilot.leases.stored import parse_lease
from autopilot.leases.terms import NS_PER_SECOND, Claim, Lease, LeaseTimes, Moment, parse_resource, task_of


@dataclass(frozen=True, slots=True)
class Passing:
    """A move's wish: from the resource held to another of its task, or to None where the next phase is left free."""

    from_resource: str
    to_resource: str | None
    claim: Claim
    caller: Caller

    def __post_init__(self) -> None:
        parse_resource(self.from_resource)
        if self.to_resource is not None:
            parse_resource(self.to_resource)
            if task_of(self.to_resource) != task_of(self.from_resource):
                raise ContractError("malformed_task_id", where=self.to_resource, detail="a move stays in its task")


@dataclass(frozen=True, slots=True)
class MoveFacts:
    """What the ledger's last line of a move says about the lease: what it was made under, and what it handed on."""

    resource: str
    fence: int
    caller: Caller
    at: Moment
    handed_on: Mapping[str, Any] | None


def handover(book: LeaseBook, passing: Passing, now: Moment, times: LeaseTimes) -> Decision:
    """The records of the move's hand-over, to be written unsynced after its line; refused unless the claim stands.

    The new lease keeps holder and token under the next fence. Its hold counts anew: it is another phase.
    """
    now = book.not_before(now).cut()
    task = task_of(passing.from_resource)
    held = book.held(task)
    reasons = standing(book, passing.from_resource, passing.claim, now)
    if reasons or held is None:
        return Decision(Verdict(reasons))
    released = Release(held.resource, held.fence, passing.caller, now, "move")
    if passing.to_resource is None:
        return Decision(records=(released,))
    seconds = min(times.ttl_seconds, times.max_hold_seconds or times.ttl_seconds)
    lease = Lease(
        resource=passing.to_resource,
        fence=book.fence_high(task) + 1,
        holder=held.holder,
        token_sha256=held.token_sha256,
        boot=now.boot_id,
        granted_ns=now.boot_ns,
        since_ns=now.boot_ns,
        deadline_ns=now.boot_ns + seconds * NS_PER_SECOND,
        renewed_ns=now.boot_ns,
    )
    return Decision(records=(released, Grant(lease, "move")), lease=lease)


def handed_on_dict(decision: Decision) -> dict[str, Any] | None:
    """`data.handover` of the move's line: the lease handed on with all its terms, or None if the phase is left free."""
    return None if decision.lease is None else lease_dict(decision.lease)


def rebuild_handover(book: LeaseBook, facts: MoveFacts) -> tuple[LeaseRecord, ...]:
    """The records of a move's hand-over that `book` lacks; IntegrityError `lease_log_corrupt` if the line is unusable.

    A fence tells whether the book is behind: what it knows under a higher one came later and stays.
    """
    missing: list[LeaseRecord] = []
    task = task_of(facts.resource)
    held = book.held(task)
    if book.fence_high(task) < facts.fence or (held is not None and held.fence <= facts.fence):
        missing.append(Release(facts.resource, facts.fence, facts.caller, facts.at, "move"))
    if facts.handed_on is not None and not _is_known(book.fence_high(task), facts):
        lease = _parse_handed_on(facts)
        if lease.fence > book.fence_high(task):
            missing.append(Grant(lease, "move"))
    return tuple(missing)


def _is_known(fence_high: int, facts: MoveFacts) -> bool:
    """Whether the book has the fence that was handed on, as it has after every move but one cut short by a crash."""
    fence = (facts.handed_on or {}).get("fence")
    return type(fence) is int and facts.fence < fence <= fence_high


def _parse_handed_on(facts: MoveFacts) -> Lease:
    where = f"data.handover of {facts.resource}"
    try:
        lease = parse_lease(facts.handed_on or {})
    except (KeyError, TypeError, ValueError, ContractError) as error:
        raise IntegrityError("lease_log_corrupt", where=where, detail=str(error)) from None
    if lease.fence <= facts.fence or lease.task != task_of(facts.resource):
        raise IntegrityError("lease_log_corrupt", where=where, detail=f"{lease.resource} under fence {lease.fence}")
    return lease
