"""Who may have a lease, keep it, give it back or take it away. Pure: a book and now in, records and a verdict out.

The rules:

- A task has at most one lease. A second session waits until the first releases, runs out, or is proved dead.
- Running out is decided by the boot clock, and no time on record comes back: a clock that was set back is taken to
  stand at the latest time of any record. A renewal after the deadline is refused even if nobody took over: between
  the two anyone could have, so the holder has to look at the state again.
- Another boot id means that every holder of this machine is gone.
- The same session asking again gets a new fence; what it did under the old one is over. Its hold goes on counting.
- Only a person takes a lease away, with a reason, and only from the state that person looked at.

The shell applies a decision's records in order (`book.apply`, the lease log, the ledger) or none of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError
from autopilot.kernel.reasons import ADMITTED, Reason, Verdict
from autopilot.leases.book import LeaseBook, observed_digest
from autopilot.leases.records import Expire, Force, Grant, Lapse, LeaseRecord, Proof, Release, Renew
from autopilot.leases.terms import (
    NS_PER_SECOND,
    NS_PER_US,
    Claim,
    Holder,
    Lease,
    LeaseTimes,
    Moment,
    ProvedDead,
    nobody_proved_dead,
    parse_resource,
    task_of,
)

RENEWALS_PER_TTL = 3
"""The engine renews when a third of the lease time has passed, so that two renewals may fail before it runs out."""

REASON_CHARACTERS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided: a verdict and, where admitted, the records to write and the lease that then stands.

    `contended` marks a refusal because another holder has the lease: the shell records and counts it.
    """

    verdict: Verdict = ADMITTED
    records: tuple[LeaseRecord, ...] = ()
    lease: Lease | None = None
    contended: bool = False


@dataclass(frozen=True, slots=True)
class Asking:
    """A wish for a lease: the resource, who would hold it, and the digest of the token it will be given."""

    resource: str
    holder: Holder
    token_sha256: str

    def __post_init__(self) -> None:
        parse_resource(self.resource)


@dataclass(frozen=True, slots=True)
class Forcing:
    """A person's order to take a lease away: who, why, and the `observed_digest` of what that person looked at."""

    by: Caller
    reason: str
    observed: str

    def __post_init__(self) -> None:
        if not self.reason.strip() or len(self.reason) > REASON_CHARACTERS_MAX:
            raise ContractError(
                "reason_missing",
                where="reason",
                detail=f"a forced release is recorded with its reason, 1 to {REASON_CHARACTERS_MAX} characters",
                remedy="say why: --reason TEXT",
            )


def standing(book: LeaseBook, resource: str, claim: Claim, now: Moment) -> tuple[Reason, ...]:
    """Why `claim` does not hold `resource` now; empty if it does."""
    leases = book.of_task(task_of(resource))
    now = book.not_before(now)
    if claim.fence is not None and claim.fence != leases.fence_high:
        return (_wrong_fence(book, resource, claim),)
    held = leases.held
    if held is not None and held.holder.session != claim.session and not held.ran_out(now):
        return (_held_by_another(held, now),)
    if held is None or held.holder.session != claim.session:
        # Free, or another's that has run out. It was the caller's own if the highest fence lapsed in its session.
        code = "lease_expired" if Lapse(leases.fence_high, claim.session) in leases.lapses else "lease_missing"
        return (Reason(code, where=resource),)
    if held.ran_out(now):
        return (Reason("lease_expired", where=resource, detail=f"fence {held.fence} ran out"),)
    if held.resource != resource:
        return (Reason("lease_missing", where=resource, detail=f"the session holds {held.resource}"),)
    if claim.token is not None and not held.has_token(claim.token):
        return (Reason("lease_token_mismatch", where=resource),)
    return ()


def _wrong_fence(book: LeaseBook, resource: str, claim: Claim) -> Reason:
    leases = book.of_task(task_of(resource))
    high = leases.fence_high
    if claim.fence is not None and claim.fence > high:
        # Nobody was ever granted it: made up, like a wrong token.
        return Reason("lease_token_mismatch", where=resource, detail=f"fence {claim.fence} was never granted")
    if claim.fence is not None and Lapse(claim.fence, claim.session) in leases.lapses:
        # Its own grant ran out and another followed: contention, not a violation as a stale fence is.
        detail = f"fence {claim.fence} ran out, and fence {high} was granted since"
        return Reason("lease_expired", where=resource, detail=detail)
    return Reason("stale_fence", where=resource, detail=f"fence {claim.fence}, the current one is {high}")


def _held_by_another(held: Lease, now: Moment) -> Reason:
    detail = f"{held.holder.caller.actor} holds {held.resource} for {held.seconds_left(now)} s more"
    return Reason("lease_held", where=held.resource, detail=detail)


def end_proof(lease: Lease, now: Moment, proved_dead: ProvedDead) -> Proof | None:
    """What shows that `lease` is over; None while it stands."""
    if now.boot_id != lease.boot:
        return "reboot"
    if lease.ran_out(now):
        return "deadline"
    return "dead" if lease.holder.process is not None and proved_dead(lease.holder) else None


def expired(book: LeaseBook, now: Moment, proved_dead: ProvedDead = nobody_proved_dead) -> tuple[Expire, ...]:
    """A record for every lease of the book that is over."""
    now = book.not_before(now)
    found = ((lease, end_proof(lease, now, proved_dead)) for lease in book.leases())
    return tuple(_expire(lease, now, proof) for lease, proof in found if proof is not None)


def _expire(lease: Lease, now: Moment, proof: Proof) -> Expire:
    # What ran out was over at its deadline, however late that is noticed.
    at = Moment(lease.deadline_ns, lease.boot) if proof == "deadline" else now.cut()
    return Expire(lease.resource, lease.fence, at, proof)


def grant(
    book: LeaseBook, asking: Asking, now: Moment, times: LeaseTimes, proved_dead: ProvedDead = nobody_proved_dead
) -> Decision:
    """A lease for the asking holder, after ending one that is over or its own; `lease_held` if another's stands."""
    now = book.not_before(now).cut()
    leases = book.of_task(task_of(asking.resource))
    held, since_ns = leases.held, now.boot_ns
    ending: tuple[LeaseRecord, ...] = ()
    if held is not None:
        proof = end_proof(held, now, proved_dead)
        if proof is not None:
            ending = (_expire(held, now, proof),)
        elif held.holder.is_same_as(asking.holder):
            ending = (Release(held.resource, held.fence, asking.holder.caller, now, "regrant"),)
            since_ns = held.since_ns if held.resource == asking.resource else now.boot_ns
        else:
            return Decision(Verdict((_held_by_another(held, now),)), contended=True)
    deadline_ns = _deadline(since_ns, now, times)
    if deadline_ns <= now.boot_ns:
        return _held_too_long(asking.resource, times)
    lease = Lease(
        resource=asking.resource,
        fence=leases.fence_high + 1,
        holder=asking.holder,
        token_sha256=asking.token_sha256,
        boot=now.boot_id,
        granted_ns=now.boot_ns,
        since_ns=since_ns,
        deadline_ns=deadline_ns,
        renewed_ns=now.boot_ns,
    )
    return Decision(records=(*ending, Grant(lease)), lease=lease)


def renew(book: LeaseBook, resource: str, claim: Claim, now: Moment, times: LeaseTimes) -> Decision:
    """More time for a lease that still stands, at most up to the longest hold and not more often than the limit."""
    now = book.not_before(now).cut()
    held = book.held(task_of(resource))
    reasons = standing(book, resource, claim, now)
    if reasons or held is None:
        return Decision(Verdict(reasons))
    if now.boot_ns - held.renewed_ns < times.renew_min_interval_seconds * NS_PER_SECOND:
        detail = f"at most once in {times.renew_min_interval_seconds} s"
        return Decision(Verdict((Reason("renewed_too_often", where=resource, detail=detail),)))
    deadline_ns = _deadline(held.since_ns, now, times)
    if times.max_hold_seconds and deadline_ns <= held.deadline_ns:
        return _held_too_long(resource, times)
    lease = replace(held, deadline_ns=deadline_ns, renewed_ns=now.boot_ns, renewals=held.renewals + 1)
    return Decision(records=(Renew(resource, held.fence, now.boot_ns, deadline_ns),), lease=lease)


def is_due(lease: Lease, now: Moment, times: LeaseTimes) -> bool:
    """Whether the engine should renew `lease` now, on behalf of the session that is calling."""
    return (now.boot_ns - lease.renewed_ns) * RENEWALS_PER_TTL >= times.ttl_seconds * NS_PER_SECOND


def release(book: LeaseBook, resource: str, claim: Claim, caller: Caller, now: Moment) -> Decision:
    """The lease given back by the session that holds it."""
    held = book.held(task_of(resource))
    reasons = standing(book, resource, claim, now)
    if reasons or held is None:
        return Decision(Verdict(reasons))
    return Decision(records=(Release(resource, held.fence, caller, book.not_before(now).cut()),))


def force(book: LeaseBook, resource: str, forcing: Forcing, now: Moment) -> Decision:
    """The lease taken away by a person, the fence raised by one even where nobody holds: no earlier holder returns."""
    parse_resource(resource)
    task = task_of(resource)
    if forcing.by.kind != "human":
        return Decision(Verdict((Reason("human_only", where=resource, detail="only a person forces a lease"),)))
    if forcing.observed != observed_digest(book, task):
        # Compare and force: whoever is there now is not the one the person decided about.
        return Decision(Verdict((Reason("lease_changed", where=resource),)))
    held = book.held(task)
    record = Force(
        resource=resource,
        fence=book.fence_high(task) + 1,
        ended=None if held is None else held.fence,
        at=book.not_before(now).cut(),
        by=forcing.by,
        reason=forcing.reason,
        observed=forcing.observed,
    )
    return Decision(records=(record,))


def _deadline(since_ns: int, now: Moment, times: LeaseTimes) -> int:
    deadline_ns = now.boot_ns + times.ttl_seconds * NS_PER_SECOND
    if times.max_hold_seconds:
        deadline_ns = min(deadline_ns, since_ns + times.max_hold_seconds * NS_PER_SECOND)
    return deadline_ns // NS_PER_US * NS_PER_US


def _held_too_long(resource: str, times: LeaseTimes) -> Decision:
    detail = f"the longest hold is {times.max_hold_seconds} s"
    return Decision(Verdict((Reason("lease_max_hold", where=resource, detail=detail),)))
