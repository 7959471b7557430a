"""The journal's file is made from the ledger's moves, always to the same bytes, and shows when it was touched."""

from __future__ import annotations

import pytest

from autopilot.journal.entry import JournalEntry
from autopilot.journal.projection import Continuation, PlacedEntry, continuation, parse, render
from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import encode, loads
from autopilot.kernel.errors import IntegrityError


def placed(seq: int, task: str = "T-1") -> PlacedEntry:
    entry = JournalEntry(
        task=task, origin="PLAN", target="THINK", epoch=0, caller=Caller("agent-7"), summary=f"reason {seq}"
    )
    return PlacedEntry(seq, f"2026-11-21T03:22:{seq:02}.000001Z", entry)


MOVES = (placed(3), placed(5), placed(9))


def test_file_comes_back() -> None:
    assert parse(render(MOVES)) == MOVES
    assert parse(b"") == ()


def test_every_changed_byte_is_found() -> None:
    data = render(MOVES)
    for place in range(len(data)):
        touched = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        try:
            found = parse(touched)
        except IntegrityError:
            continue
        # Number and time are the ledger's, and the entry's digest does not cover them: compare with the line.
        assert [one.entry for one in found] == [one.entry for one in MOVES]
        assert continuation(touched, MOVES).replaces


@pytest.mark.parametrize("moves", [(placed(5), placed(3)), (placed(3), placed(3)), (placed(3), placed(5, "T-2"))])
def test_lines_out_of_place_are_refused(moves: tuple[PlacedEntry, ...]) -> None:
    with pytest.raises(IntegrityError, match="journal_malformed"):
        parse(render(moves))


def test_torn_file_is_refused_and_continued_or_replaced() -> None:
    data = render(MOVES)
    with pytest.raises(IntegrityError, match="journal_malformed"):
        parse(data[:-5])
    assert continuation(data[:-5], MOVES) == Continuation(data[-5:], replaces=False)


def test_keys_in_another_order_are_refused() -> None:
    line = loads(render(MOVES[:1]).rstrip())
    with pytest.raises(IntegrityError, match="journal_malformed"):
        parse(encode(dict(reversed(line.items()))) + b"\n")


@pytest.mark.parametrize("known", range(4))
def test_file_that_is_behind_is_appended_to(known: int) -> None:
    done = continuation(render(MOVES[:known]), MOVES)
    assert done == Continuation(render(MOVES[known:]), replaces=False)


@pytest.mark.parametrize("existing", [b"nonsense\n", render(MOVES[1:]), render(MOVES) + b"x"])
def test_file_that_is_anything_else_is_replaced(existing: bytes) -> None:
    assert continuation(existing, MOVES) == Continuation(render(MOVES), replaces=True)
