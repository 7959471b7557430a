"""DSSE envelopes, version 1: https://github.com/secure-systems-lab/dsse.

Signed is not the payload but its pre-authentication encoding (`pae`), which holds type and lengths: no payload of one
type can pass for one of another. It begins with `DSSEv1 ` and ends as the payload does, with no newline for JSON. The
text of a note that the same key signs ends with a newline, so that neither signature can serve for the other.

Ed25519 alone is made and checked. The key id is a hint that anybody can change: a key is known by its bytes.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from autopilot.kernel.canonical import encode, parse
from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.signing.note import SigningKey, VerifierKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_ENVELOPE_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class EnvelopeSignature:
    """A signature in an envelope: the hint at its key, empty where there is none, and the bytes."""

    key_id: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload, what it is, and its signatures, none of them verified yet."""

    payload: bytes
    payload_type: str
    signatures: tuple[EnvelopeSignature, ...]

    def encode(self) -> bytes:
        """The envelope as one line of JSON, without its newline. The same envelope gives the same bytes."""
        signatures = [{"keyid": one.key_id, "sig": base64.b64encode(one.data).decode()} for one in self.signatures]
        payload = base64.b64encode(self.payload).decode()
        return encode({"payload": payload, "payloadType": self.payload_type, "signatures": signatures})

    @classmethod
    def parse(cls, data: bytes) -> Envelope:
        """The envelope in `data`; IntegrityError `unsigned` for what is none. Unknown fields say nothing here."""
        if len(data) > MAX_ENVELOPE_BYTES:
            raise _unsigned(f"more than {MAX_ENVELOPE_BYTES} bytes")
        try:
            raw = parse(data)
            signatures = tuple(
                EnvelopeSignature(_text(one.get("keyid", "")), _decoded(one["sig"])) for one in raw["signatures"]
            )
            return cls(_decoded(raw["payload"]), _text(raw["payloadType"]), signatures)
        except (ContractError, AttributeError, KeyError, TypeError) as error:
            raise _unsigned(f"not a DSSE envelope: {error}") from None


def pae(payload_type: str, payload: bytes) -> bytes:
    """The bytes that are signed: `DSSEv1`, then length and bytes of type and payload, all parted by one space."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sealed(payload: bytes, key: SigningKey) -> Envelope:
    """The in-toto `payload` signed by `key`."""
    signature = EnvelopeSignature(key_id_of(key.verifier), key.sign_bytes(pae(PAYLOAD_TYPE, payload)))
    return Envelope(payload, PAYLOAD_TYPE, (signature,))


def opened(data: bytes, keys: Sequence[VerifierKey]) -> bytes:
    """The payload of an in-toto envelope that one of `keys` signed; IntegrityError `unsigned` for every other.

    Signatures of other keys may stand beside it and say nothing.
    """
    envelope = Envelope.parse(data)
    if envelope.payload_type != PAYLOAD_TYPE:
        raise _unsigned(f"the payload is of type {envelope.payload_type[:80]!r}")
    signed = pae(envelope.payload_type, envelope.payload)
    if not any(_holds(key, one.data, signed) for one in envelope.signatures for key in keys):
        named = ", ".join(one.key_id[:16] or "?" for one in envelope.signatures) or "nobody"
        raise _unsigned(f"signed by {named}, and by no known key as it stands")
    return envelope.payload


def key_id_of(key: VerifierKey) -> str:
    """The key's id as securesystemslib computes it: SHA-256 over the key in canonical JSON, in hex."""
    public = key.public.hex()
    text = f'{{"keytype":"ed25519","keyval":{{"public":"{public}"}},"scheme":"ed25519"}}'
    return sha256(text.encode()).hexdigest()


def pem_of(key: VerifierKey) -> str:
    """The public key as other tools read it: SubjectPublicKeyInfo in PEM."""
    public = Ed25519PublicKey.from_public_bytes(key.public)
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _holds(key: VerifierKey, signature: bytes, data: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a field that must be text is none")
    return value


def _decoded(value: Any) -> bytes:
    """Base64 in either alphabet, as the format asks of verifiers; all else is ContractError."""
    try:
        return base64.b64decode(_text(value).translate(_STANDARD), validate=True)
    except (binascii.Error, ValueError):
        raise ContractError("bad_json", detail="not base64") from None


_STANDARD = str.maketrans("-_", "+/")


def _unsigned(detail: str) -> IntegrityError:
    return IntegrityError("unsigned", where="envelope", detail=detail)
