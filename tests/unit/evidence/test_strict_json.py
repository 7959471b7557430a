"""JSON from outside: what two readers would take differently is refused."""

from __future__ import annotations

import time

import pytest

from autopilot.evidence.strict_json import read_json
from autopilot.kernel.errors import ContractError


def test_what_it_reads():
    assert read_json(b' {"a": [1, -2, null, true, "x\\"[["]} ', name="x", cap=100) == {"a": [1, -2, None, True, 'x"[[']}


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "artifact_empty"),
        (b"  \n", "artifact_empty"),
        (b"[" + b" " * 200 + b"]", "artifact_too_large"),
        (b"{", "bad_json"),
        (b"NaN", "bad_json"),
        (b'"\xff"', "bad_json"),
        (b'"\\ud800"', "bad_json"),
        (b"1.5", "artifact_invalid"),
        (b"1e9", "artifact_invalid"),
        (b"1234567890123456", "artifact_invalid"),
        (b'{"a":1,"a":2}', "artifact_invalid"),
        (b'[{"a":1,"\\u0061":2}]', "artifact_invalid"),
        (b"[" * 33 + b"]" * 33, "artifact_invalid"),
    ],
)
def test_what_it_refuses(data, code):
    with pytest.raises(ContractError) as caught:
        read_json(data, name="x.json", cap=150)
    assert caught.value.code == code
    assert caught.value.where.startswith("x.json")


@pytest.mark.parametrize("data", [b"[" * 10**6, b'"' + b'\\"' * 10**6, b"9" * 10**6, b'{"a":' * 10**5, b'"\\' * 10**6])
def test_bombs_cost_no_time(data):
    started = time.process_time()
    with pytest.raises(ContractError):
        read_json(data, name="x.json", cap=10**7)
    assert time.process_time() - started < 2
