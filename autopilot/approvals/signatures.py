"""Signed grants: what an approver signs, byte by byte, and whether a signature is one that counts.

    grant = sign_grant(issue_grant(subject, approver, reason, parties, terms), key)
    data = as_note(grant)                       # the file that is handed on
    check_signature(read_grant(data), signers)  # empty where it counts

What is signed is the text of a C2SP note: one line for each field, in one order. Its first line is said by no other
text that autopilot signs, so that no signature can serve for another. The approver is the key's name: who has the key
is who approved, whatever name the call was made under.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from autopilot.approvals.grants import MAX_LIFETIME, Grant
from autopilot.approvals.subjects import Subject
from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import encode, parse
from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.kernel.reasons import Reason
from autopilot.kernel.stamps import stamp
from autopilot.signing.note import Note, Signature, SigningKey, VerifierKey, verify

FIRST_LINE = "autopilot/approval-grant/v1"
MAX_GRANT_BYTES = 8192
_FIELDS = (
    *("ledger", "task", "epoch", "move", "kind", "digest", "subject", "evidence"),
    *("approver", "reason", "granted_at", "expires_at", "nonce"),
)


@dataclass(frozen=True, slots=True)
class Signers:
    """Whose signatures count, and whether a grant without one does."""

    keys: tuple[VerifierKey, ...] = ()
    required: bool = False

    @classmethod
    def of(cls, approvers: Iterable[str], signed: str) -> Signers:
        """From the words of `[approvals]`; any other word than `optional` requires. ContractError `malformed_key`."""
        return cls(tuple(VerifierKey.parse(text) for text in approvers), signed != "optional")

    def named(self, name: str, key_id: str) -> VerifierKey | None:
        """The registered key of this name and id, or None."""
        return next((key for key in self.keys if (key.name, key.id) == (name, key_id)), None)

    def shown(self) -> str:
        """Who may sign, for people."""
        return ", ".join(f"{key.name} ({key.id})" for key in self.keys) or "nobody: no approver is registered"


def text_of(grant: Grant) -> str:
    """What is signed: fourteen lines."""
    values = (
        grant.subject.ledger,
        grant.subject.task,
        str(grant.subject.epoch),
        grant.subject.move,
        grant.subject.kind,
        grant.subject.digest,
        grant.subject.sha256,
        grant.evidence,
        grant.approver.actor,
        # As a JSON string: a reason may hold what would begin another line.
        encode(grant.reason).decode(),
        stamp(grant.granted_at),
        stamp(grant.expires_at),
        grant.nonce,
    )
    lines = (f"{name} {value}\n" for name, value in zip(_FIELDS, values, strict=True))
    return f"{FIRST_LINE}\n{''.join(lines)}"


def signer(name: str) -> Caller:
    """The approver that a key of this name stands for."""
    return Caller(name, "human", name)


def sign_grant(grant: Grant, key: SigningKey) -> Grant:
    """The grant under the key's name, signed by it; it is advisory no longer."""
    named = replace(grant, approver=signer(key.verifier.name), advisory=False)
    signature = base64.b64encode(key.sign(text_of(named)).data).decode()
    return replace(named, key=key.id, signature=signature)


def as_note(grant: Grant) -> bytes:
    """The signed grant as it is stored in a file and sent: a C2SP signed note."""
    return _note(grant).encode().encode()


def read_grant(data: bytes) -> Grant:
    """The grant that `as_note` wrote, its signature not verified yet; ContractError `malformed_grant`."""
    if len(data) > MAX_GRANT_BYTES:
        raise _malformed(f"more than {MAX_GRANT_BYTES} bytes")
    try:
        note = Note.parse(data)
    except IntegrityError as error:
        raise _malformed(error.detail) from None
    first, *lines = note.text.removesuffix("\n").split("\n")
    if first != FIRST_LINE or len(lines) != len(_FIELDS) or len(note.signatures) != 1:
        raise _malformed(f"not {FIRST_LINE}, {len(_FIELDS)} fields and one signature")
    found = dict(zip(_FIELDS, (line.partition(" ")[2] for line in lines), strict=True))
    signature = note.signatures[0]
    try:
        grant = Grant(
            subject=Subject(
                **{name: found[name] for name in ("ledger", "task", "move", "kind", "digest")},
                epoch=int(found["epoch"]),
            ),
            approver=signer(signature.name),
            reason=str(parse(found["reason"].encode())),
            granted_at=datetime.fromisoformat(found["granted_at"]),
            expires_at=datetime.fromisoformat(found["expires_at"]),
            nonce=found["nonce"],
            advisory=False,
            evidence=found["evidence"],
            key=signature.key_id,
            signature=base64.b64encode(signature.data).decode(),
        )
        same = text_of(grant) == note.text
    except (ValueError, OverflowError, ContractError) as error:
        raise _malformed(str(error)) from None
    if not same:
        # One form only: what reads otherwise than it was written could be understood in two ways.
        raise _malformed("its fields are not in the one form that is signed")
    return grant


def check_signature(grant: Grant, signers: Signers) -> tuple[Reason, ...]:
    """Why the grant's signature, or its lack of one, does not count; empty if it does."""
    where = grant.id[:12]
    if not grant.signature and not grant.key:
        if not signers.required:
            return ()
        return (Reason("signature_needed", where=where, detail=f"may sign: {signers.shown()}"),)
    key = signers.named(grant.approver.actor, grant.key)
    if key is None:
        detail = f"{grant.approver.actor} ({grant.key}); may sign: {signers.shown()}"
        return (Reason("signer_unknown", where=where, detail=detail),)
    if grant.advisory or not timely(grant):
        return (Reason("signature_bad", where=where, detail="no signed grant is advisory or longer than 7 days"),)
    return () if holds(grant, key) else (Reason("signature_bad", where=where, detail=f"key {key.id}"),)


def holds(grant: Grant, key: VerifierKey) -> bool:
    """Whether `key` signed exactly this grant."""
    try:
        verify(_note(grant), (key,))
    except (IntegrityError, ContractError):
        return False
    return True


def timely(grant: Grant) -> bool:
    """Whether the grant's time is one that a grant can have."""
    return grant.granted_at < grant.expires_at <= grant.granted_at + MAX_LIFETIME


def _note(grant: Grant) -> Note:
    try:
        data, key_id = base64.b64decode(grant.signature, validate=True), bytes.fromhex(grant.key).hex()
    except (binascii.Error, ValueError):
        data, key_id = b"", "00000000"
    return Note(text_of(grant), (Signature(grant.approver.actor, key_id, data),))


def _malformed(detail: str) -> ContractError:
    return ContractError("malformed_grant", detail=detail[:200])
