"""Frames: what is no frame, too large or too slow is refused, and what fits comes out as it went in.

Red without: the comparison with the caps (a length field of 4 GiB is believed); the deadline of a begun frame (half a
frame is waited for); the budget (many large frames fill the memory), charged by what has arrived (a header that
promises much locks everybody out), by user (one user locks the others out), until the answer is sent.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from autopilot.kernel.errors import StorageError
from autopilot.remote.frames import Budget, Caps, FrameRefusedError, Share, receive, send

QUICK = Caps(message_bytes=1000, blob_bytes=1000, idle_seconds=0.2, frame_seconds=0.2)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a line."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with one, other:
        yield one, other


def test_what_is_sent_is_received(ends: tuple[socket.socket, socket.socket]) -> None:
    """Object and bytes, and the end of the line between two frames."""
    send(ends[0], {"a": [1, "ü"]}, b"\0\xff")
    ends[0].close()
    frame = receive(ends[1], QUICK)
    assert frame is not None
    assert (frame.message, frame.blob) == ({"a": [1, "ü"]}, b"\0\xff")
    assert receive(ends[1], QUICK) is None


@pytest.mark.parametrize(
    "data",
    [
        struct.pack(">II", 2**32 - 1, 0),
        struct.pack(">II", 2, 2**32 - 1),
        struct.pack(">II", 1001, 0),
        struct.pack(">II", 1, 0) + b"{",
        struct.pack(">II", 2, 0) + b"[]",
        struct.pack(">II", 4, 0) + b"null",
        struct.pack(">II", 0, 0),
        struct.pack(">II", 3, 0) + b"\xff\xfe{",
        struct.pack(">II", 1000, 0) + b"[" * 1000,
        b"GET / HTTP/1.1\r\n",
    ],
)
def test_what_is_no_frame_is_refused(ends: tuple[socket.socket, socket.socket], data: bytes) -> None:
    """Without reading what the lengths promise."""
    ends[0].sendall(data)
    with pytest.raises(FrameRefusedError):
        receive(ends[1], QUICK)


@pytest.mark.parametrize("data", [b"", b"\0", struct.pack(">II", 10, 0), struct.pack(">II", 10, 0) + b'{"a"'])
def test_half_a_frame_is_not_waited_for(ends: tuple[socket.socket, socket.socket], data: bytes) -> None:
    """Neither is silence."""
    ends[0].sendall(data)
    with pytest.raises(StorageError) as caught:
        receive(ends[1], QUICK)
    assert caught.value.code == "daemon_unreachable"


def test_a_byte_now_and_then_does_not_keep_a_frame_alive(ends: tuple[socket.socket, socket.socket]) -> None:
    """The deadline is the whole frame's, not each byte's."""
    data = json.dumps({"op": "x" * 40}).encode()
    frame = struct.pack(">II", len(data), 0) + data

    def drip() -> None:
        for index in range(len(frame)):
            try:
                ends[0].sendall(frame[index : index + 1])
            except OSError:
                return
            time.sleep(0.02)

    sender = threading.Thread(target=drip)
    sender.start()
    try:
        with pytest.raises(StorageError):
            receive(ends[1], QUICK)
    finally:
        ends[1].close()
        sender.join()


def test_large_frames_are_taken_up_to_a_budget_of_all(ends: tuple[socket.socket, socket.socket]) -> None:
    """Who would go over it is refused, not made to wait; what was held is given back."""
    budget = Budget(100, 100)
    other, share = Share(budget, 1), Share(budget, 2)
    caps = Caps(idle_seconds=0.2, frame_seconds=0.2, share=share)
    other.take(90)
    send(ends[0], {"a": "b" * 50})
    with pytest.raises(StorageError) as caught:
        receive(ends[1], caps)
    assert caught.value.code == "daemon_busy"
    assert caught.value.retryable
    other.release()
    share.release()
    assert budget.held == 0


def test_what_a_header_promises_is_held_by_nobody(ends: tuple[socket.socket, socket.socket]) -> None:
    """Eight bytes that promise the whole budget take nothing of it."""
    budget = Budget(1000, 1000)
    share = Share(budget, 1)
    ends[0].sendall(struct.pack(">II", 500, 500) + b"x" * 7)
    with pytest.raises(StorageError):
        receive(ends[1], Caps(idle_seconds=0.2, frame_seconds=0.2, share=share))
    assert budget.held == 7
    share.release()
    assert budget.held == 0


def test_what_has_arrived_is_held_until_it_is_released(ends: tuple[socket.socket, socket.socket]) -> None:
    """Not given back when the frame is whole: the request is still in memory then."""
    budget = Budget(10_000, 10_000)
    share = Share(budget, 1)
    send(ends[0], {"a": "b"}, b"x" * 5000)
    frame = receive(ends[1], Caps(idle_seconds=5, frame_seconds=5, share=share))
    assert frame is not None
    assert budget.held == 5000 + len(b'{"a":"b"}')
    share.release()
    assert budget.held == 0


def test_one_user_has_a_share_and_not_all() -> None:
    """Over all of its connections; another user still has its own."""
    budget = Budget(100, 60)
    one, two, other = Share(budget, 1), Share(budget, 1), Share(budget, 2)
    one.take(40)
    with pytest.raises(StorageError):
        two.take(21)
    two.take(20)
    other.take(40)
    with pytest.raises(StorageError):
        other.take(1)


def test_a_client_that_does_not_read_is_not_waited_for(ends: tuple[socket.socket, socket.socket]) -> None:
    """An answer that is not taken in time ends the line."""
    with pytest.raises(StorageError):
        send(ends[0], {"a": "b"}, b"x" * 10_000_000, within_seconds=0.2)


def test_the_object_is_json_that_anybody_can_write(ends: tuple[socket.socket, socket.socket]) -> None:
    """Nothing of Python's is on the line."""
    data = json.dumps({"op": "tasks.list", "arguments": {}}).encode()
    ends[0].sendall(struct.pack(">II", len(data), 0) + data)
    frame = receive(ends[1], QUICK)
    assert frame is not None
    assert frame.message["op"] == "tasks.list"
