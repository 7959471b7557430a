"""Grants: who approved what, until when, and whether it may be used here and now.

Rules kept:
- Only a person grants, with a reason, and never one who asked for the move or did the work: the same actor or the
  same session is the same party, however the name is spelt.
- A grant is for one subject, used once, in the line of the move that consumes it. Its id is a digest over all its
  fields; only ids that the ledger issued and has not consumed are good, so that a changed field is another grant.
- It is for the evidence that was sealed when it was given: `evidence` is the digest of that set.
- It ends by the time that it is judged at, which never goes back (`Engine.wall`); before its own time it is unusable.
- In trust mode 0 the engine cannot prove who sat at the terminal; the grant is marked `advisory`, and so is all that
  rests on it. One that is signed (`approvals/signatures.py`) is not: the key proves who gave it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from autopilot.approvals.subjects import Subject
from autopilot.kernel.callers import Caller, folded_name
from autopilot.kernel.canonical import digest_of
from autopilot.kernel.errors import ApprovalRefusedError, ContractError
from autopilot.kernel.reasons import Reason, refused
from autopilot.kernel.stamps import stamp

DEFAULT_LIFETIME = timedelta(hours=24)
MAX_LIFETIME = timedelta(days=7)
# Clocks are set back by fractions of a second as a matter of course.
CLOCK_TOLERANCE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A person's approval of one subject. `advisory`: given where the engine cannot tell the person from the agent.

    `evidence` is the digest of the evidence it was given on; `key` the id of the key that signed, and `signature` its
    signature in base64, both empty where nobody signed.
    """

    subject: Subject
    approver: Caller
    reason: str
    granted_at: datetime
    expires_at: datetime
    nonce: str
    advisory: bool
    evidence: str = ""
    key: str = ""
    signature: str = ""

    def as_data(self) -> dict[str, Any]:
        """The `data` of `approval.granted`."""
        return {
            "subject": self.subject.as_dict(),
            "subject_sha256": self.subject.sha256,
            "approver": self.approver.as_dict(),
            "reason": self.reason,
            "granted_at": stamp(self.granted_at),
            "expires_at": stamp(self.expires_at),
            "nonce": self.nonce,
            "advisory": self.advisory,
            "evidence": self.evidence,
            "key": self.key,
            "signature": self.signature,
        }

    @property
    def id(self) -> str:
        """The grant's name on the ledger: a digest over every field."""
        return digest_of({"autopilot": "approval-grant", "v": 1, **self.as_data()})


@dataclass(frozen=True, slots=True)
class Parties:
    """Who may not approve: the caller who asks for the move, and everyone who did the work of the phases before."""

    requester: Caller
    implementers: tuple[Caller, ...] = ()

    def all(self) -> tuple[Caller, ...]:
        """Requester and implementers."""
        return (self.requester, *self.implementers)


@dataclass(frozen=True, slots=True)
class Register:
    """The ids of grants the ledger issued, and those of them it consumed. Both fold from ledger lines."""

    issued: frozenset[str] = field(default=frozenset())
    consumed: frozenset[str] = field(default=frozenset())

    def with_issued(self, grant: Grant) -> Register:
        """After an `approval.granted` line."""
        return Register(self.issued | {grant.id}, self.consumed)

    def with_consumed(self, grant_ids: Iterable[str]) -> Register:
        """After a move that names these grants."""
        return Register(self.issued, self.consumed | frozenset(grant_ids))


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How a grant is given: the moment, how long it holds, a random nonce, on which evidence, and whether advisory."""

    now: datetime
    nonce: str
    lifetime: timedelta = DEFAULT_LIFETIME
    advisory: bool = True
    evidence: str = ""


def check_approver(approver: Caller, parties: Parties) -> tuple[Reason, ...]:
    """Why `approver` may not approve; empty if he may."""
    if approver.kind != "human":
        return (Reason("human_only", detail="approving", where=approver.actor),)
    for party in parties.all():
        if _same(approver.actor, party.actor) or _same(approver.session, party.session):
            return (Reason("self_approval", detail=f"{approver.actor} is {party.actor}", where=approver.actor),)
    return ()


def issue_grant(subject: Subject, approver: Caller, reason: str, parties: Parties, terms: Terms) -> Grant:
    """A new grant. ApprovalRefusedError for who may not; ContractError `reason_missing` and for a bad lifetime."""
    reasons = check_approver(approver, parties)
    if reasons:
        raise ApprovalRefusedError(refused(reasons))
    if not reason.strip():
        raise ContractError("reason_missing", where="--reason", detail="why is it approved?")
    if not timedelta() < terms.lifetime <= MAX_LIFETIME:
        raise ContractError("bad_config", where="approvals.lifetime", detail=f"{terms.lifetime} is not 0 to 7 days")
    return Grant(
        subject=subject,
        approver=approver,
        reason=reason.strip(),
        granted_at=terms.now,
        expires_at=terms.now + terms.lifetime,
        nonce=terms.nonce,
        advisory=terms.advisory,
        evidence=terms.evidence,
    )


def check_grant(
    grant: Grant, subject: Subject, parties: Parties, register: Register, now: datetime, evidence: str = ""
) -> tuple[Reason, ...]:
    """Why `grant` does not approve `subject` on this `evidence` now; empty if it does, and then the move consumes it.

    Whether its signature counts is asked of `signatures.check_signature`.
    """
    reasons: list[Reason] = []
    where = grant.id[:12]
    if grant.subject != subject:
        reasons.append(Reason("approval_mismatch", detail=_difference(grant.subject, subject), where=where))
    if grant.evidence != evidence:
        reasons.append(Reason("approval_mismatch", detail="given on other evidence", where=where))
    if grant.id not in register.issued:
        reasons.append(Reason("approval_mismatch", detail="the ledger issued no such grant", where=where))
    if grant.id in register.consumed:
        reasons.append(Reason("approval_used", where=where))
    if not grant.granted_at - CLOCK_TOLERANCE <= now < grant.expires_at:
        reasons.append(
            Reason("approval_expired", detail=f"{stamp(grant.granted_at)} to {stamp(grant.expires_at)}", where=where)
        )
    # Asked again at use: who approved may since have taken part in the work.
    reasons.extend(check_approver(grant.approver, parties))
    return tuple(reasons)


def usable_grant(
    grants: Iterable[Grant], subject: Subject, parties: Parties, register: Register, now: datetime
) -> Grant | None:
    """The first of `grants` that approves `subject` now; None means that a person is still due."""
    for grant in grants:
        if not check_grant(grant, subject, parties, register, now):
            return grant
    return None


def _same(one: str, other: str) -> bool:
    return folded_name(one) == folded_name(other)


def _difference(granted: Subject, asked: Subject) -> str:
    mine, theirs = granted.as_dict(), asked.as_dict()
    return "another " + ", ".join(name for name in mine if mine[name] != theirs[name])
