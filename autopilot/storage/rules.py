"""What every store asks of a line before it writes it, and what it makes of lease records.

The fence is the safety of the lease: a holder whose grant was followed by another cannot write, whatever its clock
says. A store asks under its own lock, last thing before the write.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autopilot.kernel.errors import ContractError, LeaseRefusedError
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.leases.book import LeaseBook
from autopilot.leases.handover import MoveFacts
from autopilot.leases.records import MirrorLine
from autopilot.leases.terms import NS_PER_US, Moment, task_of
from autopilot.ledger.entry import Draft, LeaseRef, LedgerEntry
from autopilot.ledger.kinds import KINDS, MOVES


def require_open_kind(draft: Draft) -> None:
    """ContractError `unknown_kind` or `reserved_kind`: only the store opens segments and repeats lease records."""
    kind = KINDS.get(draft.kind)
    if kind is None:
        raise ContractError("unknown_kind", where=draft.kind, detail=f"{draft.kind!r} is not a kind of line")
    if kind.by_store:
        raise ContractError("reserved_kind", where=draft.kind, detail=f"{draft.kind} is written by the store alone")


def require_fence(book: LeaseBook, draft: Draft) -> None:
    """LeaseRefusedError `stale_fence` if a newer lease of the task was granted since the one of `draft`.

    A fence higher than any granted is made up, and refused as such. A line without a lease claims nothing.
    """
    if draft.lease is None:
        return
    task = task_of(draft.lease.resource)
    if draft.task is not None and draft.task != task:
        raise ContractError(
            "malformed_task_id", where=draft.lease.resource, detail=f"a lease of {task}, not {draft.task}"
        )
    high, fence = book.fence_high(task), draft.lease.fence
    if fence < high:
        detail = f"fence {fence}, the current one is {high}"
        raise LeaseRefusedError(Verdict((Reason("stale_fence", where=draft.lease.resource, detail=detail),)))
    if fence > high:
        detail = f"fence {fence} was never granted"
        raise LeaseRefusedError(Verdict((Reason("lease_token_mismatch", where=draft.lease.resource, detail=detail),)))


def draft_of(line: MirrorLine) -> Draft:
    """The ledger line that repeats a lease record."""
    return Draft(
        kind=line.kind,
        caller=line.caller,
        task=line.task,
        lease=LeaseRef(line.resource, line.fence),
        data=line.data,
    )


def move_facts(entry: LedgerEntry) -> MoveFacts | None:
    """What a move's line says about its lease, so that a hand-over lost in a crash can be made again."""
    if entry.kind not in MOVES or entry.lease is None:
        return None
    handed_on: Mapping[str, Any] | None = entry.data.get("handover")
    at = entry.data.get("mono") or {}
    if handed_on is not None:
        at = {"us": handed_on.get("granted_us", 0), "boot": handed_on.get("boot", "")}
    moment = Moment(int(at.get("us", 0)) * NS_PER_US, str(at.get("boot", "")))
    return MoveFacts(entry.lease.resource, entry.lease.fence, entry.caller, moment, handed_on)
