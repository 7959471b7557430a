"""JSON from outside, read strictly: what a person sees in the file is what the engine judges.

Refused: duplicate keys (a reader sees one value, a parser takes another), floats and NaN, numbers of more than 15
digits, nesting deeper than 32, lone surrogates, bytes over the cap. Each is a ContractError with the artifact's name.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import orjson

from autopilot.kernel.errors import ContractError

MAX_DEPTH = 32
MAX_DIGITS = 15

# One pass over the bytes that matter: an escape pair, a quote, a bracket. Cutting strings out with one pattern would
# be quadratic on `"\\"\\"\\"…`.
_MARK = re.compile(rb'\\.|["\[\]{}]', re.DOTALL)


def read_json(data: bytes, *, name: str, cap: int) -> Any:
    """The value in `data`; ContractError `artifact_empty`, `artifact_too_large`, `bad_json` or `artifact_invalid`."""
    if len(data) > cap:
        raise ContractError("artifact_too_large", where=name, detail=f"{len(data)} bytes, at most {cap}")
    if not data.strip():
        raise ContractError("artifact_empty", where=name, detail="the file is empty")
    _refuse_depth(data, name)
    try:
        # orjson first: it refuses bad UTF-8 and lone surrogates, which the standard parser lets through.
        orjson.loads(data)
    except orjson.JSONDecodeError as error:
        place = f"{name}:{error.lineno}"
        raise ContractError("bad_json", where=place, detail=str(error)) from None

    def refuse(detail: str) -> NoReturn:
        raise ContractError("artifact_invalid", where=name, detail=detail)

    def integer(text: str) -> int:
        if len(text.lstrip("-")) > MAX_DIGITS:
            refuse(f"a number of more than {MAX_DIGITS} digits")
        return int(text)

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(items)
        if len(value) != len(items):
            seen: set[str] = set()
            twice = next(key for key, _ in items if key in seen or seen.add(key))  # type: ignore[func-returns-value]
            refuse(f"the key {twice[:80]!r} stands twice in one object")
        return value

    def inexact(text: str) -> NoReturn:
        refuse(f"{text[:40]} is not an integer")

    return json.loads(data, object_pairs_hook=pairs, parse_int=integer, parse_float=inexact, parse_constant=inexact)


def _refuse_depth(data: bytes, name: str) -> None:
    """Refuse nesting over MAX_DEPTH before any parser recurses on it."""
    depth, in_string = 0, False
    for match in _MARK.finditer(data):
        mark = match.group()
        if mark == b'"':
            in_string = not in_string
        elif not in_string and len(mark) == 1:
            depth += 1 if mark in b"[{" else -1
            if depth > MAX_DEPTH:
                raise ContractError("artifact_invalid", where=name, detail=f"nested deeper than {MAX_DEPTH}")
