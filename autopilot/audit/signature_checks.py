"""Signed approvals, held against the ledger alone: who signed, was the key registered then, and was it in time?

Everything that is needed stands on lines: `config.sealed`, and a move that seals a configuration, say who may sign from
there on; `approval.granted` holds what was signed, and the signature. The text is rebuilt and verified here, without
asking the engine that wrote the line. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from autopilot.approvals.grants import CLOCK_TOLERANCE, Grant
from autopilot.approvals.signatures import check_signature
from autopilot.approvals.subjects import Subject
from autopilot.audit.findings import Finding
from autopilot.audit.trail import TaskTrail, Trail, signers_of
from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError
from autopilot.ledger.entry import LedgerEntry


def check_signatures(trail: Trail, task: TaskTrail | None, entry: LedgerEntry) -> Iterator[Finding]:
    """Every approval that must be signed is, by a key registered at that time, and is used before it ends."""
    if entry.kind == "approval.granted":
        yield from _given(trail, entry)
    elif entry.kind == "config.sealed":
        yield from _sealed(trail, entry)
    elif task is not None and entry.data.get("approvals"):
        yield from _used(trail, task, entry)


def signed_grant(data: Mapping[str, Any]) -> Grant:
    """The grant that a line holds; KeyError, TypeError, ValueError or ContractError for what is none."""
    approver = data["approver"]
    return Grant(
        subject=Subject(**data["subject"]),
        approver=Caller(approver["id"], approver["kind"], approver["session"]),
        reason=str(data["reason"]),
        granted_at=datetime.fromisoformat(data["granted_at"]),
        expires_at=datetime.fromisoformat(data["expires_at"]),
        nonce=str(data["nonce"]),
        advisory=bool(data["advisory"]),
        evidence=str(data["evidence"]),
        key=str(data["key"]),
        signature=str(data["signature"]),
    )


def _given(trail: Trail, entry: LedgerEntry) -> Iterator[Finding]:
    where = str(entry.data.get("subject_sha256", ""))
    if not entry.data.get("key") and not entry.data.get("signature"):
        if trail.signers.required:
            yield _at(entry, "approval_unsigned", f"may sign: {trail.signers.shown()}", where)
        return
    try:
        grant = signed_grant(entry.data)
    except (KeyError, TypeError, ValueError, ContractError) as error:
        yield _at(entry, "approval_forged", f"not a grant: {error}", where)
        return
    yield from _faults(trail, grant, entry, where)
    if (grant.subject.ledger, grant.subject.task) != (entry.record["ledger"], entry.task):
        yield _at(entry, "approval_forged", "signed for another ledger or task", where)
    if grant.nonce in trail.nonces:
        yield _at(entry, "approval_used", f"line {trail.nonces[grant.nonce]} brought it before", where)


def _sealed(trail: Trail, entry: LedgerEntry) -> Iterator[Finding]:
    """Whoever is added to those who may sign, was added by one of them, once signatures are required."""
    if not trail.signers.required:
        return
    after = signers_of(entry.data.get("approvals"))
    if after.required and set(after.keys) <= set(trail.signers.keys):
        return
    record = entry.data.get("grant")
    if not record:
        yield _at(entry, "approval_unsigned", "who may sign was changed, and nobody signed it", "autopilot.toml")
        return
    try:
        grant = signed_grant(record)
    except (KeyError, TypeError, ValueError, ContractError) as error:
        yield _at(entry, "approval_forged", f"not a grant: {error}", "autopilot.toml")
        return
    yield from _faults(trail, grant, entry, "autopilot.toml")
    subject = grant.subject
    if (subject.ledger, subject.task, subject.digest) != (entry.record["ledger"], "", entry.data.get("sha256")):
        yield _at(entry, "approval_forged", "signed for another configuration", "autopilot.toml")


def _used(trail: Trail, task: TaskTrail, entry: LedgerEntry) -> Iterator[Finding]:
    for subject in map(str, entry.data["approvals"]):
        given = task.grants.get(subject)
        if given is None:
            continue  # found by `check_approvals`
        if given.expires_at and _moment(entry.ts) >= _moment(given.expires_at) + CLOCK_TOLERANCE:
            yield _at(entry, "approval_late", f"line {given.seq} granted it until {given.expires_at}", subject)
        if not given.key and trail.signers.required:
            yield _at(entry, "approval_unsigned", f"line {given.seq}; may sign: {trail.signers.shown()}", subject)
        elif given.key and trail.signers.named(given.approver, given.key) is None:
            detail = f"{given.approver} ({given.key}) was not registered any more"
            yield _at(entry, "approval_forged", detail, subject)


def _faults(trail: Trail, grant: Grant, entry: LedgerEntry, where: str) -> Iterator[Finding]:
    for reason in check_signature(grant, trail.signers):
        yield _at(entry, "approval_forged", f"{reason.code}: {reason.detail}", where)
    now = _moment(entry.ts)
    if not grant.granted_at - 2 * CLOCK_TOLERANCE <= now < grant.expires_at + CLOCK_TOLERANCE:
        yield _at(entry, "approval_late", f"{grant.granted_at} to {grant.expires_at}", where)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _at(entry: LedgerEntry, code: str, detail: str, where: str) -> Finding:
    return Finding(code=code, where=where, seq=entry.seq, task=entry.task or "", detail=detail, evidence=entry.hash)
