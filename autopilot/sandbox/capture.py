"""Starts `supervise.py` around a command, reads its output as it comes, and enforces the time limit.

The output is read all the time, so that a command that floods it is never blocked and never fills the engine's
memory: the first and the last half of the cap are kept. The engine's end of the control pipe is closed when the
time is over, when the engine is interrupted, and by the kernel when the engine is killed; each ends the command.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from autopilot.sandbox.run import Limits

_SUPERVISOR = str(Path(__file__).with_name("supervise.py"))
_READ_BYTES = 65536
# How long a killed tree may take to disappear, and how long output may trickle after the command's end.
_KILL_GRACE_SECONDS = 5.0
_DRAIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """What to start: a full `argv`, its whole environment, and how long and how much."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    limits: Limits
    timeout_seconds: float
    output_cap_bytes: int
    reap: bool
    keep: tuple[int, ...] = ()
    # The third user (uid, gid) to become, and the folders that are opened again for the engine at the end.
    run_as: tuple[int, int] | None = None
    open_up: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How it ended: the supervisor's status line (empty if it died without one), the output, the time it took."""

    status: str
    timed_out: bool
    output: bytes
    output_bytes: int
    truncated: bool
    duration_ns: int


@dataclass(slots=True)
class Excerpt:
    """The first and the last half of a stream, up to `cap_bytes` in all."""

    cap_bytes: int
    total: int = 0
    _head: bytearray = field(default_factory=bytearray)
    _tail: bytearray = field(default_factory=bytearray)

    def add(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        self.total += len(data)
        half = self.cap_bytes // 2
        room = half - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        # Cut only now and then: deleting from the front moves all that stays.
        if len(self._tail) > 2 * half + _READ_BYTES:
            del self._tail[: len(self._tail) - half]

    def bytes(self) -> tuple[bytes, bool]:
        """What was kept, with a line that says how much is missing, and whether anything is."""
        half = self.cap_bytes // 2
        if self.total <= 2 * half:
            return bytes(self._head + self._tail), False
        missing = self.total - len(self._head) - half
        return bytes(self._head) + b"\n[... %d bytes left out ...]\n" % missing + bytes(self._tail[-half:]), True


def supervise(launch: Launch) -> Ending:
    """Run `launch` to its end."""
    control_read, control_write = os.pipe()
    status_read, status_write = os.pipe()
    output_read, output_write = os.pipe()
    ours = [control_write, status_read, output_read]
    theirs = [control_read, status_write, output_write]
    begun = time.monotonic_ns()
    process: subprocess.Popen[bytes] | None = None
    try:
        process = _start(launch, (control_read, status_write), output_write)
        while theirs:
            os.close(theirs.pop())
        timed_out, status, excerpt = _follow(launch, ours)
        output, truncated = excerpt.bytes()
        return Ending(
            status=status,
            timed_out=timed_out,
            output=output,
            output_bytes=excerpt.total,
            truncated=truncated,
            duration_ns=time.monotonic_ns() - begun,
        )
    finally:
        for descriptor in (*ours, *theirs):
            os.close(descriptor)
        if process is not None:
            _put_to_rest(process)


def _start(launch: Launch, channel: tuple[int, int], output: int) -> subprocess.Popen[bytes]:
    limits = launch.limits
    numbers = (int(launch.reap), limits.memory_bytes, limits.cpu_seconds, limits.file_bytes, limits.processes)
    words = [str(number) for number in (*channel, *numbers)]
    return subprocess.Popen(
        [
            *(sys.executable, "-I", "-S", _SUPERVISOR, *words),
            *(",".join(str(descriptor) for descriptor in launch.keep), _become(launch), "--", *launch.argv),
        ],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd=launch.cwd,
        env=dict(launch.env),
        pass_fds=(*channel, *launch.keep),
        start_new_session=True,
    )


def _become(launch: Launch) -> str:
    return "" if launch.run_as is None else json.dumps({"user": launch.run_as, "open_up": launch.open_up})


def _follow(launch: Launch, ours: list[int]) -> tuple[bool, str, Excerpt]:
    """Read output and status until both end; on the time limit, close the control pipe (and take it off `ours`)."""
    control, status_read, output_read = ours
    status = bytearray()
    excerpt = Excerpt(launch.output_cap_bytes)
    timed_out = False
    deadline = time.monotonic() + launch.timeout_seconds
    with selectors.DefaultSelector() as selector:
        selector.register(status_read, selectors.EVENT_READ)
        selector.register(output_read, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                if timed_out or control not in ours:
                    break
                if status_read not in selector.get_map():
                    # The command has ended and its tree was killed; somebody who got away holds the output open.
                    break
                timed_out = True
                ours.remove(control)
                os.close(control)
                deadline = time.monotonic() + _KILL_GRACE_SECONDS
                continue
            for key, _ in selector.select(left):
                data = os.read(key.fd, _READ_BYTES)
                if not data:
                    selector.unregister(key.fd)
                    if key.fd == status_read:
                        deadline = min(deadline, time.monotonic() + _DRAIN_SECONDS)
                elif key.fd == status_read:
                    status += data
                else:
                    excerpt.add(data)
    return timed_out, status.decode("ascii", "replace").partition("\n")[0], excerpt


def _put_to_rest(process: subprocess.Popen[bytes]) -> None:
    """See the supervisor end; it has nothing to wait for but the death of the tree."""
    try:
        process.wait(_KILL_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()
