"""Bytes for values, and values from bytes, with one strict form.

The form is what orjson writes without options: UTF-8, no spaces, keys in the order given. A stored body is
accepted only if `dumps(loads(body)) == body`, which excludes duplicate keys, other spacing, other escapes and
NaN. Floats and integers of 2^53 and more are refused on the way in: they do not survive every reader.
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from autopilot.kernel.errors import ContractError

MAX_INTEGER = 2**53
MAX_DEPTH = 64


def dumps(value: Any) -> bytes:
    """`value` in the strict form; ContractError `not_plain_data` for what the form cannot hold."""
    _refuse_unplain(value, 0)
    return encode(value)


def encode(value: Any) -> bytes:
    """`dumps` for values known to be plain; ContractError `not_plain_data` where orjson cannot encode."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise ContractError("not_plain_data", detail=str(error)) from None


def loads(data: bytes, *, where: str = "") -> Any:
    """The value in strict-form `data`; ContractError `not_canonical` if a re-encoding differs by a byte."""
    value = parse(data, where=where)
    if orjson.dumps(value) != data:
        raise ContractError("not_canonical", where=where, detail="the bytes are not in the strict form")
    return value


def parse(data: bytes, *, where: str = "") -> Any:
    """The value in any JSON `data`; ContractError `bad_json` with the parser's words."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ContractError("bad_json", where=where, detail=str(error)) from None


def sha256_hex(data: bytes) -> str:
    """SHA-256 of `data` as 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def digest_of(value: Any) -> str:
    """SHA-256 of the strict form with keys sorted: the same for equal values, however they were built."""
    _refuse_unplain(value, 0)
    return sha256_hex(orjson.dumps(value, option=orjson.OPT_SORT_KEYS))


_LEAVES = frozenset({str, bool, type(None)})


def _refuse_unplain(value: Any, depth: int) -> None:
    if value is None or value is True or value is False or isinstance(value, str):
        return
    if depth > MAX_DEPTH:
        raise ContractError("not_plain_data", detail=f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, int):
        if -MAX_INTEGER < value < MAX_INTEGER:
            return
        raise ContractError("not_plain_data", detail="an integer of 2^53 or more")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ContractError("not_plain_data", detail="a key that is not a string")
            if type(item) not in _LEAVES:
                _refuse_unplain(item, depth + 1)
        return
    if isinstance(value, (list, tuple)):
        for item in value:
            _refuse_unplain(item, depth + 1)
        return
    raise ContractError("not_plain_data", detail=f"a {type(value).__name__}")
