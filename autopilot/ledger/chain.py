"""The chain: what the next line is, and whether a run of lines follows what came before.

`compose` makes the next line from the head, a draft and the time. `walk` checks lines as they are stored: hash
over the stored bytes, strict round trip, key order, and `v`, `ledger`, `seq`, `prev` as the head demands. It stops
at the first line that fails and says why; whether what follows may be dropped is the tail rule's matter
(`kernel.framing`).

`walk` is the hot path of verification: one pass, and no object per line unless the caller wants to see the entries.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson

from autopilot.kernel.canonical import dumps
from autopilot.kernel.errors import ContractError
from autopilot.kernel.framing import BODY_START, MAX_BODY_BYTES, ZERO_HASH, FrameError, body_hash, frame, unframe
from autopilot.ledger.entry import KEYS, VERSION, Draft, LedgerEntry, body_of
from autopilot.ledger.kinds import KINDS

REASON_OF_FRAME = {"bad_ledger_json": "bad_json", "bad_hash": "bad_hash"}


@dataclass(frozen=True, slots=True)
class Head:
    """The last line: its number, -1 before the first, and its hash."""

    seq: int = -1
    hash: str = ZERO_HASH


START = Head()


@dataclass(frozen=True, slots=True)
class Fault:
    """The first line that does not verify: bad_hash, bad_link or bad_json, and the number it should have had."""

    reason: str
    seq: int
    detail: str


@dataclass(slots=True)
class Walk:
    """How far a run of lines is good: the head there, the bytes consumed, the leaf hashes."""

    head: Head
    consumed: int = 0
    leaves: list[bytes] = field(default_factory=list)
    fault: Fault | None = None


def compose(head: Head, ledger: str, draft: Draft, ts: str) -> tuple[LedgerEntry, bytes]:
    """The entry that follows `head`, and its whole line.

    ContractError `unknown_kind`, `not_plain_data` or `entry_too_large` for a draft that the ledger cannot hold.
    """
    if draft.kind not in KINDS:
        raise ContractError("unknown_kind", where=draft.kind, detail=f"{draft.kind!r} is not a kind of line")
    body, record = _encoded(body_of(draft, ledger=ledger, seq=head.seq + 1, prev=head.hash, ts=ts))
    if len(body) > MAX_BODY_BYTES:
        raise ContractError("entry_too_large", where=draft.kind, detail=f"{len(body)} bytes, at most {MAX_BODY_BYTES}")
    digest = body_hash(body)
    return LedgerEntry(head.seq + 1, digest, body, record), frame(body, digest)


def _encoded(fields: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """The body, and the body parsed again, so that the entry is the same whoever reads it and shares nothing.

    What comes back equal and shows no sign of a float was plain. Anything else is looked at value by value: a tuple
    passes, a float, NaN, an integer of 2^53 or a date does not.
    """
    try:
        body = orjson.dumps(fields, option=orjson.OPT_STRICT_INTEGER)
    except orjson.JSONEncodeError:
        body = dumps(fields)
    record: dict[str, Any] = orjson.loads(body)
    if record != fields or _may_hold_float(body[body.index(b'"kind":') :]):
        dumps(fields)
    return body, record


def walk(data: bytes, head: Head, ledger: str, visit: Callable[[LedgerEntry], None] | None = None) -> Walk:
    """Check the complete lines of `data` as the continuation of `head` in the ledger `ledger`.

    `visit` sees each entry once it is checked, before the next line is looked at; entries are not kept, so that the
    garbage collector has nothing to do.
    """
    lines = data.split(b"\n")
    lines.pop()  # what follows the last newline is no complete line
    found = Walk(head)
    leaves, loads, encode, strict = found.leaves, orjson.loads, orjson.dumps, orjson.OPT_STRICT_INTEGER
    outline, dropped = _OUTLINE, _NOT_IN_OUTLINE
    opening = f'","r":{{"v":{VERSION},"ledger":"{ledger}","seq":'
    seq, prev = head.seq, head.hash
    for line in lines:
        body = line[BODY_START:-1]
        digest = sha256(b"\0" + body).digest()
        digest_hex = digest.hex()
        # Frame, hash, version, ledger, number and link in one comparison: all of it is known beforehand.
        known = f'{{"h":"{digest_hex}{opening}{seq + 1},"prev":"{prev}","ts":"'.encode()
        try:
            record = loads(body)
            good = (
                line.startswith(known)
                and line[-1] == _END
                and encode(record, None, strict) == body
                and tuple(record) == KEYS
                and type(record["data"]) is dict
                and len(body) <= MAX_BODY_BYTES
                # `_may_hold_float`, written out: a call costs as much as the look itself.
                and not (
                    b":." in line[len(known) + _STAMP_LENGTH :].translate(outline, dropped) and _holds_float(record)
                )
            )
        except (orjson.JSONDecodeError, orjson.JSONEncodeError, TypeError):
            good = False
        if not good:
            found.fault = _fault(line, seq + 1)
            break
        seq, prev = seq + 1, digest_hex
        leaves.append(digest)
        if visit is not None:
            visit(LedgerEntry(seq, digest_hex, body, record))
    found.head = Head(seq, prev)
    found.consumed = sum(map(len, lines[: len(leaves)])) + len(leaves)
    return found


_END = ord("}")
_STAMP_LENGTH = len("2026-11-21T03:22:55.000001Z")
_OUTLINE = bytes.maketrans(b",[e", b"::.")
_NOT_IN_OUTLINE = bytes(set(range(256)) - set(b':,[.e"tf/ '))


def _may_hold_float(text: bytes) -> bool:
    """Whether strict JSON could hold a float. Only a float puts a point or an exponent after a colon, comma or
    bracket once digits and most other bytes are taken out. Quotes, spaces, slashes and the first letters of `true` and
    `false` stay: no number holds them, and they tell text from a number. Text can look like one all the same, so a hit
    is only a reason to look closer. A regular expression, or a look at every value, costs as much as parsing the line.
    """
    return b":." in text.translate(_OUTLINE, _NOT_IN_OUTLINE)


def _holds_float(value: Any) -> bool:
    if isinstance(value, float):
        return True
    if isinstance(value, dict):
        return any(_holds_float(item) for item in value.values())
    return isinstance(value, list) and any(_holds_float(item) for item in value)


def _fault(line: bytes, seq: int) -> Fault:
    """Why `line` is not the entry `seq`: the frame first, then the form, then the link."""
    try:
        _, body = unframe(line)
    except FrameError as error:
        return Fault(REASON_OF_FRAME[error.code], seq, error.detail)
    try:
        record = orjson.loads(body)
        strict = orjson.dumps(record, option=orjson.OPT_STRICT_INTEGER) == body
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        strict = False
    if not strict or not isinstance(record, dict) or tuple(record) != KEYS or not isinstance(record["data"], dict):
        return Fault("bad_json", seq, "the body is not an entry in the strict form")
    if _holds_float(record) or record["v"] != VERSION:
        return Fault("bad_json", seq, "the body holds what an entry may not")
    return Fault("bad_link", seq, f"numbered {record['seq']} after {str(record['prev'])[:12]}")
