"""One line of a log, and what may follow the last good one.

A line is `{"h":"<64 hex>","r":<body>}` and a newline. The hash is the RFC 6962 leaf hash of the stored body,
SHA-256(0x00 || body), and stands at bytes 6 to 69; the body starts at byte 76. Lines are split at newlines alone.

The torn-tail rule: what follows the last good line may be dropped only if it is provably a write that was cut
short. Anything else is damage and is left for a person.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal

from autopilot.kernel.errors import IntegrityError

HEAD = b'{"h":"'
MIDDLE = b'","r":'
END = b"}"
HASH_START = len(HEAD)
HASH_END = HASH_START + 64
BODY_START = HASH_END + len(MIDDLE)
MAX_BODY_BYTES = 65_535
MAX_LINE_BYTES = BODY_START + MAX_BODY_BYTES + 2
SECTOR_BYTES = 512
ZERO_HASH = "0" * 64

_LEAF = b"\x00"
_NULS = re.compile(rb"\x00+")


class FrameError(IntegrityError):
    """A line is not a frame (`bad_ledger_json`) or does not have its hash (`bad_hash`)."""


def body_hash(body: bytes) -> str:
    """The hash of a stored body: SHA-256 over 0x00 and its bytes, in hex."""
    return sha256(_LEAF + body).hexdigest()


def frame(body: bytes, digest: str | None = None) -> bytes:
    """The whole line of `body`, newline included; `digest` if it is known already."""
    return b"%b%b%b%b}\n" % (HEAD, (digest or body_hash(body)).encode(), MIDDLE, body)


def unframe(line: bytes) -> tuple[str, bytes]:
    """Hash and body of `line`, given without its newline; FrameError if it is no frame or the hash is another's."""
    if (
        line[:HASH_START] != HEAD
        or line[HASH_END:BODY_START] != MIDDLE
        or line[-1:] != END
        or not BODY_START + 1 < len(line) < MAX_LINE_BYTES
    ):
        raise FrameError("bad_ledger_json", detail="the line is not a frame of hash and body")
    body = line[BODY_START:-1]
    digest = body_hash(body)
    if line[HASH_START:HASH_END] != digest.encode():
        raise FrameError("bad_hash", detail="the line does not have its hash")
    return digest, body


@dataclass(frozen=True, slots=True)
class TailVerdict:
    """What the bytes after the last good line are. `reason` is the code of the first bad line when not clean."""

    status: Literal["clean", "torn", "corrupt"]
    reason: str = ""


def split_tail(rest: bytes, first_offset: int) -> TailVerdict:
    """Judge the bytes after the last good line; `first_offset` is where they start in the file.

    Torn: the first bad line has no newline, or holds NULs as a lost disk block leaves them (from the line's start
    or a 512-byte boundary, to a 512-byte boundary or the end). Corrupt: everything else, and everything that has
    a good line after the bad one, because a line that was synced never has an unsynced one before it.
    """
    if not rest:
        return TailVerdict("clean")
    end = rest.find(b"\n")
    first = rest if end < 0 else rest[:end]
    nul = b"\0" in first
    if any(_is_frame(line) for line in rest.split(b"\n")[1:]):
        return TailVerdict("corrupt", _reason(first))
    if nul:
        torn = end < 0 or _nuls_are_lost_blocks(first, first_offset)
        return TailVerdict("torn", "torn_tail") if torn else TailVerdict("corrupt", _reason(first))
    if end < 0 and len(first) <= MAX_LINE_BYTES:
        return TailVerdict("torn", "torn_tail")
    return TailVerdict("corrupt", _reason(first))


def _is_frame(line: bytes) -> bool:
    try:
        unframe(line)
    except FrameError:
        return False
    return True


def _reason(line: bytes) -> str:
    try:
        unframe(line)
    except FrameError as error:
        return error.code
    return "bad_ledger_json"


def _nuls_are_lost_blocks(line: bytes, offset: int) -> bool:
    """True if every run of NULs in the complete `line` could be a block that never reached the disk."""
    for run in _NULS.finditer(line):
        begins = run.start() == 0 or (offset + run.start()) % SECTOR_BYTES == 0
        if not begins or (offset + run.end()) % SECTOR_BYTES != 0:
            return False
    return True
