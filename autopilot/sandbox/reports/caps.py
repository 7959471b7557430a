"""What a report may be at most. A report over a cap is refused unread: the engine must outlive any of them."""

from __future__ import annotations

import json
import re
from typing import Any

from autopilot.kernel import canonical
from autopilot.kernel.errors import ContractError

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 64
MAX_CASES = 200_000
MAX_NAME_CHARACTERS = 4096
MAX_DIGITS = 15
MAX_CONTAINERS = 1_000_000
MAX_ATTRIBUTES = 20_000
MAX_MARKS = 10_000

_LONG_SEGMENT = re.compile(rb"<[^<]{65536,}")
_ATTRIBUTE = re.compile(rb"=\s{0,8}[\"']")


def unreadable(detail: str, *, where: str) -> ContractError:
    """The one error for a report that cannot be taken at its word."""
    return ContractError("report_unreadable", where=where, detail=detail)


def refuse_large(data: bytes, *, where: str) -> None:
    """ContractError `report_unreadable` for an empty report or one over the cap."""
    if not data.strip():
        raise unreadable("the report is empty", where=where)
    if len(data) > MAX_BYTES:
        raise unreadable(f"{len(data)} bytes, at most {MAX_BYTES} are read", where=where)


def parse_json(data: bytes, *, where: str) -> Any:
    """JSON under the caps. The parser refuses deep nesting itself; nothing here walks a document recursively."""
    refuse_large(data, where=where)
    # An empty list takes 3 bytes of text and 60 of memory, so the size alone would not bound what parsing costs.
    if data.count(b"[") + data.count(b"{") > MAX_CONTAINERS:
        raise unreadable(f"more than {MAX_CONTAINERS} lists and objects", where=where)
    try:
        value = canonical.parse(data, where=where)
        # A second time, for what the first parser lets pass: of two equal keys a reader sees one, a program the other.
        json.loads(data, object_pairs_hook=lambda pairs: _once(pairs, where))
    except ContractError as error:
        raise unreadable(error.detail, where=where) from None
    except (RecursionError, ValueError) as error:
        raise unreadable(f"not plain JSON: {type(error).__name__}", where=where) from None
    return value


def _once(pairs: list[tuple[str, Any]], where: str) -> None:
    seen = set[str]()
    for key, _ in pairs:
        if key in seen:
            raise unreadable(f"the key {key[:80]!r} stands twice in one object", where=where)
        seen.add(key)


def refuse_wide_tags(data: bytes, *, where: str) -> None:
    """ContractError `report_unreadable` for an XML element with attributes without end: a parser holds all of them."""
    for segment in _LONG_SEGMENT.finditer(data):
        if sum(1 for _ in _ATTRIBUTE.finditer(segment[0])) > MAX_ATTRIBUTES:
            raise unreadable(f"an element with more than {MAX_ATTRIBUTES} attributes", where=where)


def count(value: Any, what: str, *, where: str) -> int:
    """`value` if it is an integer from 0, refusing booleans, floats and text."""
    if type(value) is not int or value < 0 or value >= 10**MAX_DIGITS:
        raise unreadable(f"{what} is not a count", where=where)
    return value
