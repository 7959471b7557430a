"""Anchors in messages: written where git leaves them, read wherever they stand, and never passed over.

Red without: the refusal of what cannot be read, the scissors, the comments at the end, the empty line before the first
trailer, the removal of the older line, and None for a message that says nothing.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot.kernel.errors import IntegrityError
from autopilot.ledger.merkle import EMPTY_ROOT, leaf_hash
from autopilot.ledger.trailers import read_trailers, trailer_of, with_trailer
from autopilot.signing.checkpoint import Checkpoint

ORIGIN = "autopilot/" + "0" * 32
ONE = Checkpoint(ORIGIN, 7, EMPTY_ROOT)
TWO = Checkpoint(ORIGIN, 12, leaf_hash(b"two"))
OTHER = Checkpoint("autopilot/" + "1" * 32, 3, leaf_hash(b"other"))
LINE = "Autopilot-Checkpoint: autopilot/00000000000000000000000000000000 7 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="


def test_the_line_is_name_origin_size_and_root() -> None:
    assert trailer_of(ONE) == LINE
    assert read_trailers(f"Subject\n\n{LINE}\n".encode()) == (ONE,)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Subject\n", "Subject\n\n{}\n"),
        ("Subject", "Subject\n\n{}\n"),
        ("fix: looks like a trailer\n", "fix: looks like a trailer\n\n{}\n"),
        ("Subject\n\nBody\nof two lines\n", "Subject\n\nBody\nof two lines\n\n{}\n"),
        ("Subject\n\nSigned-off-by: A <a@b>\n", "Subject\n\nSigned-off-by: A <a@b>\n{}\n"),
        ("Subject\n\nSee: this\nand that\n", "Subject\n\nSee: this\nand that\n\n{}\n"),
        ("Subject\n\n\n\n", "Subject\n\n{}\n"),
        ("Subject\n\n# comment\n# another\n", "Subject\n\n{}\n\n# comment\n# another\n"),
        ("Subject\n# ------------------------ >8 ------------------------\ndiff\n",
         "Subject\n\n{}\n# ------------------------ >8 ------------------------\ndiff\n"),
        (f"Subject\n\n{LINE}\n", "Subject\n\n{}\n"),
        (f"Subject\n\nSigned-off-by: A <a@b>\n{LINE}\n", "Subject\n\nSigned-off-by: A <a@b>\n{}\n"),
        (f"Subject\n\n{trailer_of(OTHER)}\n", f"Subject\n\n{trailer_of(OTHER)}\n{{}}\n"),
        ("Sübject ☃\n", "Sübject ☃\n\n{}\n"),
    ],
)  # fmt: skip
def test_where_the_line_is_put(message: str, expected: str) -> None:
    anchored = with_trailer(message.encode(), TWO)
    assert anchored is not None
    assert anchored.decode() == expected.format(trailer_of(TWO))
    assert with_trailer(anchored, TWO) == anchored


def test_comments_begin_as_git_was_told() -> None:
    message = b"# a heading\n\n; comment\n; ------------------------ >8 ------------------------\ndiff\n"
    anchored = with_trailer(message, TWO, b";")
    assert anchored is not None
    assert anchored.startswith(b"# a heading\n\n" + trailer_of(TWO).encode() + b"\n\n; comment\n")


@pytest.mark.parametrize("message", ["", "\n\n", "# only\n# comments\n", "\n# comment\n\n", f"{LINE}\n"])
def test_a_message_that_says_nothing_is_left_for_git_to_give_up(message: str) -> None:
    assert with_trailer(message.encode(), TWO) is None


def test_every_line_that_begins_so_is_read_in_whatever_paragraph() -> None:
    message = f"Merge\n\n{trailer_of(ONE)}\n\nmore\nautopilot-checkpoint : {LINE[22:]}\r\n\n{trailer_of(OTHER)}  \n"
    assert read_trailers(message.encode()) == (ONE, ONE, OTHER)


@pytest.mark.parametrize("line", [f"  {LINE}", f"> {LINE}", f"see {LINE}", "Autopilot-Checkpoints: x", "Autopilot: x"])
def test_what_is_quoted_or_called_otherwise_is_no_anchor(line: str) -> None:
    assert read_trailers(f"Subject\n\n{line}\n".encode()) == ()


@pytest.mark.parametrize(
    "line",
    [
        "Autopilot-Checkpoint:",
        "Autopilot-Checkpoint: ",
        "AUTOPILOT-CHECKPOINT: x",
        LINE.replace(" 7 ", " 07 "),
        LINE.replace(" 7 ", " -7 "),
        LINE.replace(" 7 ", " \u0667 "),
        LINE.replace(" 7 ", "  7 "),
        LINE[:-1],
        LINE.replace("47DE", "47D*"),
        LINE + " more",
        LINE.replace("0000 ", "0000\t"),
    ],
)
def test_what_cannot_be_read_is_refused(line: str) -> None:
    for message in (f"Subject\n\n{line}\n", f"Subject\n\n{LINE}\n{line}\n"):
        with pytest.raises(IntegrityError) as caught:
            read_trailers(message.encode())
        assert caught.value.code == "malformed_anchor"
        with pytest.raises(IntegrityError, match="malformed_anchor"):
            with_trailer(message.encode(), TWO)


@given(
    st.lists(st.sampled_from([b"Subject", b"", b"# c", b"A: b", LINE.encode(), trailer_of(OTHER).encode(), b"\xff"]))
)
def test_the_newest_stands_there_once_and_others_stay(lines: list[bytes]) -> None:
    message = b"\n".join(lines)
    anchored = with_trailer(message, TWO)
    if anchored is None:
        assert not {b"Subject", b"A: b", b"\xff", trailer_of(OTHER).encode()} & set(lines)
        return
    others = [one for one in read_trailers(message) if one.origin != ORIGIN]
    assert sorted(map(trailer_of, read_trailers(anchored))) == sorted(map(trailer_of, [*others, TWO]))
    kept = [line for line in lines if line.strip() and line != LINE.encode()]
    assert [line for line in anchored.split(b"\n") if line.strip() and line != trailer_of(TWO).encode()] == kept
