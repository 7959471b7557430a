"""A checkpoint: how long a ledger was and its Merkle root then; https://c2sp.org/tlog-checkpoint.

Its text is three lines: origin, size, root in base64. The origin names one ledger for good, and is also the name of
the key that signs.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from autopilot.kernel.errors import IntegrityError
from autopilot.signing.note import Note, VerifierKey, verify

ORIGIN_PREFIX = "autopilot/"
_ROOT_BYTES = 32


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The first `size` lines of the ledger `origin` have the Merkle tree head `root`."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def origin_of(ledger: str) -> str:
    """The origin of the ledger with this id. The id is random, so that no domain is needed to keep origins apart."""
    return ORIGIN_PREFIX + ledger


def open_checkpoint(data: bytes, keys: Sequence[VerifierKey]) -> Checkpoint:
    """The checkpoint in a stored note, signed by one of `keys` that bears the origin's name; else `unsigned`.

    A key of another name (a witness's) may sign beside it, and alone says nothing about this ledger.
    """
    note = Note.parse(data)
    signed = verify(note, keys)
    checkpoint = checkpoint_of(note)
    if all(key.name != checkpoint.origin for key in signed):
        raise _no_checkpoint(f"signed by {signed[0].name}, which is not the key of {checkpoint.origin}")
    return checkpoint


def checkpoint_of(note: Note) -> Checkpoint:
    """The checkpoint in a note, verified or not; IntegrityError `unsigned` for another text.

    Lines after the third are allowed by the format and say nothing here.
    """
    lines = note.text[:-1].split("\n")
    if len(lines) < 3 or not all(lines):
        raise _no_checkpoint("not origin, size and root")
    origin, size, encoded = lines[:3]
    if not (size.isascii() and size.isdecimal()) or (size[0] == "0" and size != "0") or len(size) > 16:
        raise _no_checkpoint("the second line is not a size")
    try:
        root = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        root = b""
    if len(root) != _ROOT_BYTES or base64.b64encode(root).decode() != encoded:
        raise _no_checkpoint("the third line is not a SHA-256 in base64")
    return Checkpoint(origin, int(size), root)


def _no_checkpoint(detail: str) -> IntegrityError:
    return IntegrityError("unsigned", where="checkpoint", detail=f"the note is no checkpoint: {detail}")
