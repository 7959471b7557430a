"""What a run of lines is refused for, with the attacker computing hashes where the rule must hold without them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from autopilot.kernel.framing import body_hash, frame
from autopilot.ledger.chain import START, Head, compose, walk
from autopilot.ledger.entry import KEYS, LedgerEntry
from autopilot.ledger.kinds import KINDS, undocumented
from autopilot.testing.contracts.ledger import a_draft

LEDGER = "0123456789abcdef" * 2
TS = "2026-11-21T03:22:55.000001Z"


def a_run(count: int) -> list[bytes]:
    head, lines = START, []
    for number in range(count):
        entry, line = compose(head, LEDGER, a_draft(number), TS)
        head = Head(entry.seq, entry.hash)
        lines.append(line)
    return lines


def reason(lines: list[bytes]) -> tuple[str, int] | None:
    fault = walk(b"".join(lines), START, LEDGER).fault
    return None if fault is None else (fault.reason, fault.seq)


def forged(line: bytes, **changed: Any) -> bytes:
    """The line with other fields and the hash that goes with them."""
    return frame(orjson.dumps({**orjson.loads(line)["r"], **changed}))


def test_a_good_run_is_walked_to_its_end() -> None:
    lines = a_run(6)
    seen: list[LedgerEntry] = []
    found = walk(b"".join(lines) + b'{"h":"half', START, LEDGER, seen.append)
    assert found.fault is None
    assert found.consumed == sum(map(len, lines))
    assert [entry.seq for entry in seen] == list(range(6))
    assert found.head == Head(5, seen[-1].hash)
    assert [leaf.hex() for leaf in found.leaves] == [entry.hash for entry in seen]


def test_a_run_can_be_walked_in_parts() -> None:
    lines = a_run(6)
    first = walk(b"".join(lines[:4]), START, LEDGER)
    assert walk(b"".join(lines[4:]), first.head, LEDGER).head.seq == 5


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"v": 2}, "bad_json"),
        ({"ledger": "f" * 32}, "bad_link"),
        ({"seq": 3}, "bad_link"),
        ({"seq": 1}, "bad_link"),
        ({"prev": "0" * 64}, "bad_link"),
        ({"more": 1}, "bad_json"),
        ({"data": []}, "bad_json"),
        ({"data": None}, "bad_json"),
        ({"data": {"share": 0.5}}, "bad_json"),
        ({"data": {"share": [1, -1.5]}}, "bad_json"),
        ({"data": {"big": 2**53}}, "bad_json"),
        ({"epoch": 1e16}, "bad_json"),
        ({"epoch": 1e-7}, "bad_json"),
    ],
)
def test_a_forged_line_with_its_own_hash_does_not_fit(changed: dict[str, Any], expected: str) -> None:
    lines = a_run(4)
    lines[2] = forged(lines[2], **changed)
    assert reason(lines) == (expected, 2)


def test_a_forged_line_that_fits_is_found_by_the_next() -> None:
    lines = a_run(4)
    lines[2] = forged(lines[2], task="T-2")
    assert reason(lines) == ("bad_link", 3)


def test_a_changed_byte_is_found_by_the_hash() -> None:
    lines = a_run(4)
    lines[2] = lines[2].replace(b'"T-1"', b'"T-2"')
    assert reason(lines) == ("bad_hash", 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.replace(b":", b": ", 1),
        lambda body: body.replace(b'"T-1"', b'"\\u0054-1"'),
        lambda body: body.replace(b'"task":"T-1"', b'"task":"T-9","task":"T-1"'),
        lambda body: body.replace(b'"task":"T-1",', b""),
        lambda body: body.replace(b'"epoch":0', b'"epoch":-0'),
        lambda body: body.replace(b'"epoch":0', b'"epoch":0.0'),
        lambda body: body.replace(b'"epoch":0', b'"epoch":NaN'),
        lambda body: body.replace(b'"epoch":0', b'"epoch":00'),
        lambda body: body + b" ",
        lambda body: body[:-1],
        lambda body: b"[]",
        lambda body: b"1",
        lambda body: body.replace(b"gate", b"\xff\xfe"),
    ],
)
def test_only_the_strict_form_passes_whatever_its_hash(change: Any) -> None:
    lines = a_run(4)
    body = change(lines[2][76:-2])
    lines[2] = frame(body, body_hash(body))
    assert reason(lines) == ("bad_json", 2)


def test_keys_in_another_order_do_not_pass() -> None:
    lines = a_run(4)
    record = orjson.loads(lines[2])["r"]
    for position in range(len(KEYS) - 1):
        keys = list(KEYS)
        keys[position], keys[position + 1] = keys[position + 1], keys[position]
        swapped = [*lines[:2], frame(orjson.dumps({key: record[key] for key in keys})), lines[3]]
        assert reason(swapped) == ("bad_json", 2)


def test_text_that_looks_like_a_float_passes() -> None:
    _, line = compose(START, LEDGER, a_draft(data={"text": ":1.5,2.5[3e7 :.", "list": ["1.5"]}), TS)
    assert reason([line]) is None


def test_lines_are_split_at_newlines_alone() -> None:
    """Other characters that some readers take for line ends are text."""
    _, line = compose(START, LEDGER, a_draft(data={"text": "a\r\x0b\x0c\x1c\x85\u2028b"}), TS)
    assert line.count(b"\n") == 1
    assert reason([line]) is None
    assert reason([line.replace(b"\n", b"\r\n")]) == ("bad_json", 0)


def test_the_table_knows_what_a_line_holds() -> None:
    assert undocumented("gate.verdict", {"verdict": "pass", "reasons": []}) == ()
    assert undocumented("gate.verdict", {"verdict": "pass", "guess": 1}) == ("gate.verdict.guess",)
    assert undocumented("no.such", {}) == ("no.such",)
    assert all(kind.meaning.endswith(".") for kind in KINDS.values())
