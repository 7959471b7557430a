"""The caps on attributes."""

from __future__ import annotations

from autopilot.telemetry.names import MAX_ATTRIBUTES, MAX_VALUE_BYTES, bounded, bounded_text


def test_at_most_128_attributes_of_4_kib_each() -> None:
    kept = bounded({f"k{i}": "x" * 10_000 for i in range(500)})
    assert len(kept) == MAX_ATTRIBUTES == 128
    assert {len(str(value)) for value in kept.values()} == {MAX_VALUE_BYTES}


def test_the_cap_counts_bytes_and_cuts_between_characters() -> None:
    text = bounded_text("é" * 5000 + "x")
    assert text == "é" * 2048
    assert bounded({"a": "€" * 5000})["a"] == "€" * (MAX_VALUE_BYTES // 3)


def test_a_list_is_capped_as_a_whole() -> None:
    kept = bounded({"codes": ["c" * 1000] * 50})["codes"]
    assert isinstance(kept, tuple)
    assert sum(map(len, kept)) == MAX_VALUE_BYTES


def test_what_utf8_cannot_hold_is_replaced() -> None:
    assert bounded({"a": "x\ud800y"}) == {"a": "x?y"}


def test_unknown_values_are_left_out_and_others_become_text() -> None:
    assert bounded({"a": None, "b": "", "c": (), "d": 0, "e": False, "f": 1.5}) == {"d": 0, "e": False, "f": "1.5"}
