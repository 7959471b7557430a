"""What checkpoints say against a ledger: each way in which a history can be another one, by its own reason."""

from __future__ import annotations

import pytest

from autopilot.ledger.anchoring import Held, Present, hold_against, missing_reason, roots_at
from autopilot.ledger.merkle import leaf_hash
from autopilot.ledger.proofs import root_of
from autopilot.ledger.verify import intact
from autopilot.signing.checkpoint import Checkpoint, origin_of

LEDGER = "ab" * 16
TRUE = [leaf_hash(b"%d" % number) for number in range(30)]
OTHER = [*TRUE[:12], *(leaf_hash(b"x%d" % number) for number in range(12, 30))]


def signed(leaves: list[bytes], size: int, *, stored: bool = False, ledger: str = LEDGER) -> Held:
    root = root_of(leaves[:size])
    return Held(Checkpoint(origin_of(ledger), size, root), f"{size}.note", stored)


def reason(leaves: list[bytes], *held: Held, hint: int = -1) -> tuple[str | None, int]:
    report = hold_against(intact(len(leaves)), Present(LEDGER, leaves, hint), held)
    return report.reason, report.seq


def test_every_size_that_was_signed_agrees_with_what_was_signed() -> None:
    assert reason(TRUE, *(signed(TRUE, size) for size in range(31))) == (None, 29)
    assert reason(TRUE) == (None, 29)


@pytest.mark.parametrize(
    ("sizes", "first"), [((20,), 0), ((5, 20), 5), ((12, 20), 12), ((12, 13), 12), ((5, 12, 20, 30), 12)]
)
def test_a_rewritten_ledger_is_narrowed_down(sizes: tuple[int, ...], first: int) -> None:
    assert reason(OTHER, *(signed(TRUE, size) for size in sizes)) == ("rewritten", first)


def test_a_history_that_was_signed_as_well_is_a_fork() -> None:
    assert reason(OTHER, signed(TRUE, 20), signed(OTHER, 20)) == ("forked", 0)
    assert reason(OTHER, signed(TRUE, 20), signed(OTHER, 25, stored=True), signed(TRUE, 10)) == ("forked", 10)
    # A shorter piece of this history may be the common beginning, and then nobody signed what stands here.
    assert reason(OTHER, signed(TRUE, 20), signed(OTHER, 15)) == ("rewritten", 15)


def test_missing_lines_are_told_apart_by_what_the_state_remembers() -> None:
    cut = TRUE[:18]
    assert reason(cut, signed(TRUE, 20), hint=17) == ("rolled_back", 18)
    assert reason(cut, signed(TRUE, 20), hint=16) == ("rolled_back", 18)
    assert reason(cut, signed(TRUE, 20)) == ("truncated", 18)
    assert reason(cut, signed(TRUE, 20), hint=18) == ("truncated", 18)
    assert reason(cut, signed(TRUE, 20, stored=True), hint=17) == ("truncated", 18)
    assert reason(cut, signed(TRUE, 18)) == (None, 17)
    assert missing_reason(1000, hint_seq=900, stored=0) == "truncated"


def test_other_lines_are_graver_than_missing_ones() -> None:
    assert reason(OTHER[:18], signed(TRUE, 20), signed(TRUE, 15), hint=17) == ("rewritten", 0)


def test_a_checkpoint_of_another_ledger_is_no_word_on_this_one() -> None:
    assert reason(TRUE, signed(TRUE, 20, ledger="cd" * 16)) == ("missing", 0)


def test_roots_of_several_sizes_are_those_of_each() -> None:
    assert roots_at(TRUE, [7, 0, 30, 7]) == {size: root_of(TRUE[:size]) for size in (0, 7, 30)}
