"""The line's layout, and the torn-tail rule at every byte."""

from __future__ import annotations

import random
from hashlib import sha256

import pytest

from autopilot.kernel.framing import (
    MAX_BODY_BYTES,
    MAX_LINE_BYTES,
    SECTOR_BYTES,
    FrameError,
    body_hash,
    frame,
    split_tail,
    unframe,
)

SHAPES = [b"{}", b'{"a":1}', b'{"text":"%s"}' % (b"x" * 450), b'{"text":"%s"}' % (b"y" * 3000)]


def test_hash_and_body_stand_where_an_auditor_cuts() -> None:
    body = b'{"a":1}'
    line = frame(body)
    assert line[6:70].decode() == sha256(b"\0" + body).hexdigest() == body_hash(body)
    assert line[76:-2] == body
    assert line[-2:] == b"}\n"
    assert unframe(line[:-1]) == (body_hash(body), body)


def test_the_largest_body_fits_and_one_more_does_not() -> None:
    line = frame(b"x" * MAX_BODY_BYTES)
    assert len(line) == MAX_LINE_BYTES
    assert unframe(line[:-1])[1] == b"x" * MAX_BODY_BYTES
    with pytest.raises(FrameError):
        unframe(frame(b"x" * (MAX_BODY_BYTES + 1))[:-1])


def test_any_changed_byte_of_a_line_is_found() -> None:
    line = frame(b'{"a":1}')[:-1]
    for position in range(len(line)):
        for bit in range(8):
            changed = bytearray(line)
            changed[position] ^= 1 << bit
            with pytest.raises(FrameError):
                unframe(bytes(changed))


@pytest.mark.parametrize("line", [b"", b"{}", frame(b"")[:-1], frame(b"{}"), frame(b"{}")[:-2]])
def test_what_is_no_frame_is_refused(line: bytes) -> None:
    with pytest.raises(FrameError):
        unframe(line)


@pytest.mark.parametrize("body", SHAPES)
def test_a_line_cut_anywhere_is_torn(body: bytes) -> None:
    line = frame(body)
    assert split_tail(b"", 0).status == "clean"
    for length in range(1, len(line)):
        assert split_tail(line[:length], 4096).status == "torn"


@pytest.mark.parametrize("body", SHAPES)
def test_a_complete_line_with_a_changed_byte_is_corrupt(body: bytes) -> None:
    line = frame(body)
    step = max(1, len(line) // 200)
    for position in range(0, len(line) - 1, step):
        changed = bytearray(line)
        changed[position] ^= 1
        if b"\n" not in changed[:-1]:
            assert split_tail(bytes(changed), 0).status == "corrupt"


@pytest.mark.parametrize("body", SHAPES)
def test_blocks_that_never_reached_the_disk_are_torn(body: bytes) -> None:
    """Zero each run of sectors the line covers, at every alignment of the line's start."""
    line = frame(body)
    for offset in (0, 1, 100, 511, 512, 4000):
        edges = [0, *(edge for edge in range(-offset % SECTOR_BYTES, len(line), SECTOR_BYTES) if edge), len(line)]
        for low in range(len(edges) - 1):
            for high in range(low + 1, len(edges)):
                zeroed = bytearray(line)
                zeroed[edges[low] : edges[high]] = bytes(edges[high] - edges[low])
                assert split_tail(bytes(zeroed), offset).status == "torn", (offset, edges[low], edges[high])


def test_zeros_anywhere_else_are_corrupt() -> None:
    line = frame(SHAPES[3])
    for low, high in ((1, 512), (512, 513), (513, 1024), (512, 1023), (600, 700), (80, 81)):
        zeroed = bytearray(line)
        zeroed[low:high] = bytes(high - low)
        assert split_tail(bytes(zeroed), 0).status == "corrupt", (low, high)


def test_a_good_line_after_the_bad_one_is_corrupt() -> None:
    """A line that was synced never has an unsynced one before it."""
    good = frame(b'{"a":1}')
    for bad in (b"{}\n", bytes(512 - len(good)) + b"\n", good[:-3] + b"\n"):
        assert split_tail(bad + good, 0).status == "corrupt"
        assert split_tail(bad + good + good[:20], 0).status == "corrupt"


def test_what_is_longer_than_any_line_is_corrupt() -> None:
    assert split_tail(b"x" * MAX_LINE_BYTES, 0).status == "torn"
    assert split_tail(b"x" * (MAX_LINE_BYTES + 1), 0).status == "corrupt"
    assert split_tail(bytes(10 * MAX_LINE_BYTES), 0).status == "torn"


def test_power_loss_states_never_drop_what_was_synced() -> None:
    """Random sectors of unsynced lines lost, seeded: torn or corrupt, and the synced lines before are untouched."""
    seed = 20261121
    rng = random.Random(seed)
    print("seed", seed)
    torn = 0
    for _ in range(3000):
        tail = b"".join(frame(rng.choice(SHAPES)) for _ in range(rng.randint(1, 3)))
        offset = rng.randrange(8192)
        state = bytearray(tail[: rng.randint(1, len(tail))])
        for start in range(-(offset % SECTOR_BYTES), len(state), SECTOR_BYTES):
            if rng.random() < 0.3:
                low, high = max(0, start), min(len(state), start + SECTOR_BYTES)
                state[low:high] = bytes(high - low)
        data, kept = bytes(state), 0
        while (end := data.find(b"\n", kept)) >= 0:
            try:
                unframe(data[kept:end])
            except FrameError:
                break
            kept = end + 1
        verdict = split_tail(data[kept:], offset + kept)
        assert verdict.status in ("clean", "torn", "corrupt")
        if verdict.status == "corrupt":
            # Only where a good line follows lost blocks: it could have been acknowledged.
            assert any(_good(line) for line in data[kept:].split(b"\n"))
        torn += verdict.status == "torn"
    assert torn > 500


def _good(line: bytes) -> bool:
    try:
        unframe(line)
    except FrameError:
        return False
    return True
