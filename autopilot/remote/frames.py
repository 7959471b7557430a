"""Frames: one JSON object and a run of bytes, each with its length before it.

    4 bytes   length of the JSON object, big-endian
    4 bytes   length of the bytes that go with it (documents, prompts), 0 for none
    …         the object, UTF-8
    …         the bytes

Both lengths are held against their caps before anything is read for them, and a frame that has begun must be there
within its deadline: who sends a byte a minute is cut off, not waited for. A length is a claim: what counts against the
budget is what has arrived, and it counts until the request is answered.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from autopilot.kernel.canonical import encode, parse
from autopilot.kernel.errors import ContractError, StorageError

PROTOCOL = 1
MIB = 1024 * 1024
_HEAD = struct.Struct(">II")
_CHUNK_BYTES = 64 * 1024


@dataclass(slots=True)
class Budget:
    """How many bytes of frames may be held at once: many large frames must not fill the memory.

    `most_bytes` is the limit over all connections, `of_one_user` over those of one user. Who would go over either is
    refused, not made to wait: waiting is what an attacker wants.
    """

    most_bytes: int
    of_one_user: int
    _held: Counter[int] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def held(self) -> int:
        """The bytes held now."""
        with self._lock:
            return self._held.total()

    def take(self, uid: int, count: int) -> None:
        """Count `count` bytes for a user; StorageError `daemon_busy`, retryable, where they do not fit."""
        with self._lock:
            if self._held.total() + count > self.most_bytes or self._held[uid] + count > self.of_one_user:
                raise StorageError("daemon_busy", detail="too many large requests at once", retryable=True)
            self._held[uid] += count

    def give_back(self, uid: int, count: int) -> None:
        """Count them no more."""
        with self._lock:
            self._held[uid] -= count
            if not self._held[uid]:
                del self._held[uid]


@dataclass(slots=True)
class Share:
    """What one connection of a user holds of a budget. For one thread."""

    budget: Budget
    uid: int
    _held: int = 0

    def take(self, count: int) -> None:
        """Hold `count` bytes more; StorageError `daemon_busy` where they do not fit."""
        self.budget.take(self.uid, count)
        self._held += count

    def release(self) -> None:
        """Give all back: the request is answered, or is none."""
        held, self._held = self._held, 0
        self.budget.give_back(self.uid, held)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """What a side takes: the most bytes of the object and of what goes with it, and how long it waits, in seconds.

    `idle_seconds` is the wait for a frame to begin, `frame_seconds` for the rest of one that has begun; 0 is for ever.
    What is received is held in `share`, until the caller releases it.
    """

    message_bytes: int = 2 * MIB
    blob_bytes: int = 16 * MIB
    idle_seconds: float = 600.0
    frame_seconds: float = 30.0
    share: Share | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it was received."""

    message: dict[str, Any]
    blob: bytes = b""


class FrameRefusedError(ContractError):
    """What came is no frame of this protocol, or larger than is taken. The connection is of no more use."""


def send(line: socket.socket, message: dict[str, Any], blob: bytes = b"", *, within_seconds: float = 30.0) -> None:
    """Send one frame; StorageError `daemon_unreachable` where the other side does not take it in time."""
    data = encode(message)
    line.settimeout(within_seconds)
    try:
        line.sendall(_HEAD.pack(len(data), len(blob)) + data)
        if blob:
            line.sendall(blob)
    except OSError as error:
        raise _gone(error) from None


def receive(line: socket.socket, caps: Caps) -> Frame | None:
    """The next frame, None where the other side has closed between two frames.

    FrameRefusedError `bad_frame` for what is no frame; StorageError `daemon_unreachable` for a silence or half a frame,
    `daemon_busy` where more has arrived than the share takes.
    """
    first = _first_byte(line, caps.idle_seconds)
    if not first:
        return None
    deadline = time.monotonic() + caps.frame_seconds
    head = first + _exactly(line, _HEAD.size - 1, deadline)
    message_bytes, blob_bytes = _HEAD.unpack(head)
    if message_bytes > caps.message_bytes or blob_bytes > caps.blob_bytes:
        raise FrameRefusedError("bad_frame", detail=f"{message_bytes} and {blob_bytes} bytes are over the limit")
    data = _exactly(line, message_bytes, deadline, caps.share)
    blob = _exactly(line, blob_bytes, deadline, caps.share)
    return Frame(_object(data), blob)


def _object(data: bytes) -> dict[str, Any]:
    try:
        value = parse(data, where="frame")
    except (ContractError, RecursionError) as error:
        raise FrameRefusedError("bad_frame", detail=f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise FrameRefusedError("bad_frame", detail="not a JSON object")
    return value


def _first_byte(line: socket.socket, idle_seconds: float) -> bytes:
    line.settimeout(idle_seconds or None)
    try:
        return line.recv(1)
    except OSError as error:
        raise _gone(error) from None


def _exactly(line: socket.socket, count: int, deadline: float, share: Share | None = None) -> bytes:
    parts: list[bytes] = []
    while count:
        left = deadline - time.monotonic()
        if left <= 0:
            raise _gone(TimeoutError("a frame was begun and not finished in time"))
        line.settimeout(left)
        try:
            part = line.recv(min(count, _CHUNK_BYTES))
        except OSError as error:
            raise _gone(error) from None
        if not part:
            raise _gone(ConnectionError("closed in the middle of a frame"))
        if share is not None:
            share.take(len(part))
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _gone(error: OSError) -> StorageError:
    return StorageError("daemon_unreachable", detail=str(error) or type(error).__name__, retryable=True)
