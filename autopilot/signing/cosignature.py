"""A witness's signature below a checkpoint, with the time: https://c2sp.org/tlog-cosignature, Ed25519 (type 0x04).

    cosigned = cosign(note, key, seconds)
    verify_cosignatures(cosigned, [cosigner_of(key)])

What it says: at that time this was the longest history of this origin that the witness had seen, and it continued all
that the witness had seen before. It says nothing of the lines' content. The signed bytes begin with a header of their
own, so that a cosignature can never pass for the ledger's signature, nor the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.signing.checkpoint import checkpoint_of
from autopilot.signing.note import Note, Signature, SigningKey, VerifierKey

ED25519_COSIGNATURE = b"\x04"

_HEADER = "cosignature/v1"
_TIME_BYTES = 8
_SIGNATURE_BYTES = 64
_MAX_SECONDS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class CosignerKey(VerifierKey):
    """A witness's public half. Its id differs from that of the same key as a note's signer."""

    KIND: ClassVar[bytes] = ED25519_COSIGNATURE


@dataclass(frozen=True, slots=True)
class Cosigned:
    """Which witness signed, and when: seconds since 1970."""

    key: CosignerKey
    seconds: int


def cosigner_of(key: SigningKey) -> CosignerKey:
    """The public half of a witness's key, for those who demand its signature."""
    return CosignerKey(key.verifier.name, key.verifier.public)


def cosign(note: Note, key: SigningKey, seconds: int) -> Note:
    """The checkpoint `note` with the witness's signature as its last line, in the place of an earlier one of that key.

    IntegrityError `unsigned` for a note that is no checkpoint; ContractError `malformed_key` where the witness bears
    the ledger's own name: nobody is his own witness.
    """
    if checkpoint_of(note).origin == key.verifier.name:
        raise ContractError("malformed_key", where=key.verifier.name[:80], detail="a ledger cannot be its own witness")
    if not 0 <= seconds <= _MAX_SECONDS:
        raise ContractError("not_plain_data", where="time", detail=f"{seconds} is no time")
    cosigner = cosigner_of(key)
    made = seconds.to_bytes(_TIME_BYTES, "big") + key.sign_bytes(_message(note, seconds))
    others = tuple(one for one in note.signatures if (one.name, one.key_id) != (cosigner.name, cosigner.id))
    return Note(note.text, (*others, Signature(cosigner.name, cosigner.id, made)))


def verify_cosignatures(note: Note, keys: Sequence[CosignerKey]) -> tuple[Cosigned, ...]:
    """When each of `keys` cosigned; IntegrityError `unwitnessed` unless all of them did, and every line holds.

    Of several signatures of one witness the latest counts.
    """
    signed: list[Cosigned] = []
    for key in dict.fromkeys(keys):
        lines = [one.data for one in note.signatures if (one.name, one.key_id) == (key.name, key.id)]
        if not lines:
            raise _unwitnessed(f"no signature of {key.name} ({key.id})")
        signed.append(Cosigned(key, max(_time_of(note, key, line) for line in lines)))
    return tuple(signed)


def _time_of(note: Note, key: CosignerKey, data: bytes) -> int:
    seconds = int.from_bytes(data[:_TIME_BYTES], "big")
    if len(data) != _TIME_BYTES + _SIGNATURE_BYTES or seconds > _MAX_SECONDS:
        raise _unwitnessed(f"the line of {key.name} is no time and signature")
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(data[_TIME_BYTES:], _message(note, seconds))
    except (InvalidSignature, ValueError):
        raise _unwitnessed(f"the signature of {key.name} does not hold for this checkpoint") from None
    return seconds


def _message(note: Note, seconds: int) -> bytes:
    """What is signed: the header, the time, and the note's whole text, lines behind the third among it."""
    return f"{_HEADER}\ntime {seconds}\n{note.text}".encode()


def _unwitnessed(detail: str) -> IntegrityError:
    return IntegrityError("unwitnessed", where="checkpoint", detail=detail)
