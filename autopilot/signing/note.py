"""C2SP signed notes: text, an empty line, and signature lines; https://c2sp.org/signed-note.

    key = SigningKey.generate("autopilot/0123…")
    note = sign("text\\n", key)
    verify(Note.parse(note.encode()), [key.verifier])

Ed25519 (type 0x01) alone is made and checked here; `signing.cosignature` has a witness's (0x04). As the format asks,
signatures of unknown keys are ignored, one of a known key that does not verify spoils the whole note, and a note
without a verified signature is not to be read: all of it is `unsigned`. Whoever calls gives the keys; a note that
names its own key proves nothing.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from autopilot.kernel.errors import ContractError, IntegrityError

ED25519 = b"\x01"
ID_BYTES = 4
MAX_NOTE_BYTES = 1 << 20
MAX_SIGNATURES = 100

_DASH = "\u2014"
_PRIVATE = "PRIVATE+KEY+"
_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """The public half: whose it is, and 32 bytes. ContractError `malformed_key` for a name that no line can hold."""

    KIND: ClassVar[bytes] = ED25519
    """The type byte of the format: what a signature of this key is over."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        if not is_key_name(self.name) or len(self.public) != _KEY_BYTES:
            raise ContractError("malformed_key", where=self.name[:80], detail="not a name and an Ed25519 public key")

    @property
    def id(self) -> str:
        """The key id as the format computes it: 8 hex digits."""
        return sha256(self.name.encode() + b"\n" + self.KIND + self.public).digest()[:ID_BYTES].hex()

    def encode(self) -> str:
        """The one-line form in which keys are handed on: name+id+base64."""
        return f"{self.name}+{self.id}+{base64.b64encode(self.KIND + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key that `encode` wrote; ContractError `malformed_key`, also for an id that is not its own."""
        # The name holds no plus, base64 may: two splits from the left.
        name, _, rest = text.strip().partition("+")
        key_id, _, encoded = rest.partition("+")
        data = _decoded(encoded)
        if data is None or data[:1] != cls.KIND:
            detail = f"not name+id+key of a key of type 0x{cls.KIND.hex()}"
            raise ContractError("malformed_key", where=text[:80], detail=detail)
        key = cls(name, data[1:])
        if key.id != key_id:
            raise ContractError("malformed_key", where=text[:80], detail=f"the id of that key is {key.id}")
        return key


class SigningKey:
    """The private half. It shows itself nowhere but in `encode`."""

    __slots__ = ("_private", "verifier")

    def __init__(self, name: str, seed: bytes) -> None:
        if len(seed) != _KEY_BYTES:
            raise ContractError("malformed_key", where=name[:80], detail="not an Ed25519 seed")
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = VerifierKey(name, self._private.public_key().public_bytes_raw())

    @classmethod
    def generate(cls, name: str) -> SigningKey:
        """A new key, from the system's source of randomness."""
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    @property
    def id(self) -> str:
        """The key id."""
        return self.verifier.id

    def encode(self) -> str:
        """The secret form, as Go's `sumdb/note` has it: PRIVATE+KEY+name+id+base64."""
        seed = self._private.private_bytes_raw()
        return f"{_PRIVATE}{self.verifier.name}+{self.id}+{base64.b64encode(ED25519 + seed).decode()}"

    @classmethod
    def parse(cls, text: str) -> SigningKey:
        """The key that `encode` wrote; ContractError `malformed_key`, which never quotes it."""
        name, _, rest = text.strip().removeprefix(_PRIVATE).partition("+")
        key_id, _, encoded = rest.partition("+")
        data = _decoded(encoded)
        if not text.startswith(_PRIVATE) or data is None or data[:1] != ED25519:
            raise ContractError("malformed_key", detail="not a private Ed25519 key")
        key = cls(name, data[1:])
        if key.id != key_id:
            raise ContractError("malformed_key", detail="the private key is not that of its id")
        return key

    def sign(self, text: str) -> Signature:
        """The signature over the note's text."""
        return Signature(self.verifier.name, self.id, self.sign_bytes(text.encode()))

    def sign_bytes(self, data: bytes) -> bytes:
        """The bare signature over `data`. Whoever calls sees to it that `data` can be no note's text."""
        return self._private.sign(data)


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: whose, by which key id, and the bytes."""

    name: str
    key_id: str
    data: bytes

    def encode(self) -> str:
        """The line, newline included."""
        return f"{_DASH} {self.name} {base64.b64encode(bytes.fromhex(self.key_id) + self.data).decode()}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A text that ends with a newline, and its signatures, none of them verified yet."""

    text: str
    signatures: tuple[Signature, ...]

    def encode(self) -> str:
        """The note as it is stored and sent."""
        return f"{self.text}\n{''.join(signature.encode() for signature in self.signatures)}"

    @classmethod
    def parse(cls, data: bytes) -> Note:
        """The note in `data`; IntegrityError `unsigned` for what is none."""
        if len(data) > MAX_NOTE_BYTES:
            raise _unsigned(f"more than {MAX_NOTE_BYTES} bytes are no note")
        try:
            whole = data.decode()
        except UnicodeDecodeError:
            raise _unsigned("not UTF-8, so not a signed note") from None
        # The last empty line parts text and signatures: the text may hold empty lines itself.
        text, parted, lines = whole.rpartition("\n\n")
        if not parted or not lines.endswith("\n") or any(ord(char) < 32 and char != "\n" for char in whole):
            raise _unsigned("not a signed note: text, an empty line, signature lines")
        found = lines[:-1].split("\n")
        if len(found) > MAX_SIGNATURES:
            raise _unsigned(f"more than {MAX_SIGNATURES} signatures")
        return cls(text + "\n", tuple(_signature(line) for line in found))


def sign(text: str, *keys: SigningKey) -> Note:
    """`text` signed by each of `keys`; ContractError `not_plain_data` for a text that no note can hold."""
    if not text.endswith("\n") or any(ord(char) < 32 and char != "\n" for char in text):
        raise ContractError("not_plain_data", detail="a note's text ends with a newline and has no control characters")
    return Note(text, tuple(key.sign(text) for key in keys))


def verify(note: Note, keys: Sequence[VerifierKey]) -> tuple[VerifierKey, ...]:
    """The keys among `keys` that signed the note; IntegrityError `unsigned` if none did, or one of them not this."""
    known = {(key.name, key.id): key for key in keys}
    signed: list[VerifierKey] = []
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature.data, note.text.encode())
        except (InvalidSignature, ValueError):
            raise _unsigned(f"the signature of key {key.id} does not hold for this text") from None
        signed.append(key)
    if not signed:
        named = ", ".join(dict.fromkeys(signature.key_id for signature in note.signatures))
        raise _unsigned(f"signed by {named}; known: {', '.join(sorted(key.id for key in keys)) or 'no key'}")
    return tuple(dict.fromkeys(signed))


def is_key_name(name: str) -> bool:
    """Whether a signature line can hold the name: not empty, no space, no plus, nothing that does not print."""
    return bool(name) and name.isprintable() and "+" not in name and not any(char.isspace() for char in name)


def _signature(line: str) -> Signature:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    data = _decoded(encoded)
    if dash != _DASH or not is_key_name(name) or data is None or len(data) <= ID_BYTES:
        raise _unsigned("a line below the text is no signature line")
    return Signature(name, data[:ID_BYTES].hex(), data[ID_BYTES:])


def _decoded(text: str) -> bytes | None:
    """Strict base64, None for anything else: what decodes must encode to the same text."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.b64encode(data).decode() == text else None


def _unsigned(detail: str) -> IntegrityError:
    return IntegrityError("unsigned", where="note", detail=detail)
