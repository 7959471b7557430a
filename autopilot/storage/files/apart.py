"""Checks that do not depend on one another, made by several processes at once.

A check reads and gives bytes; nothing is changed. The processes are forked, so that they begin at once and know what
their parent knows, and only from a process that has one thread: a fork in the middle of another thread's work could
leave a lock taken for ever. Where that cannot be, where there is one processor, or where a child does not bring its
answers, there is no answer at all, and the caller makes the checks itself: what fails here is never taken for a pass.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import threading
from collections.abc import Callable, Sequence

PROCESSES_MAX = 8

_HEADER_BYTES = 16


def processors() -> int:
    """How many processes are worth starting here: 1 where this process may not be forked."""
    if not hasattr(os, "fork") or threading.active_count() > 1:
        return 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, PROCESSES_MAX)


def check_apart(tasks: Sequence[Callable[[], bytes]], processes: int) -> list[bytes] | None:
    """What each of `tasks` gives, in their order; None if any of them failed. Each process takes every n-th task."""
    children: dict[int, int] = {}
    answers: dict[int, bytearray] = {}
    try:
        for number in range(processes):
            reading, process = _fork(tasks[number::processes], tuple(children))
            children[reading], answers[reading] = process, bytearray()
        _read_all(answers)
        ended = [os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in _taken(children)]
    finally:
        for reading, process in children.items():
            os.close(reading)
            if process:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
    shares = [_parts(bytes(answer)) for answer in answers.values()]
    whole = all(len(share) == len(tasks[number::processes]) for number, share in enumerate(shares))
    if any(ended) or not whole:
        return None
    return [shares[index % processes][index // processes] for index in range(len(tasks))]


def _taken(children: dict[int, int]) -> list[int]:
    """The processes to be waited for; they are not ours to end any more."""
    processes = list(children.values())
    children.update(dict.fromkeys(children, 0))
    return processes


def _fork(tasks: Sequence[Callable[[], bytes]], others: Sequence[int]) -> tuple[int, int]:
    reading, writing = os.pipe()
    process = os.fork()
    if process:
        os.close(writing)
        return reading, process
    status = 1
    try:
        for other in (*others, reading):
            os.close(other)
        with open(writing, "wb") as answers:  # noqa: PTH123 - a descriptor
            for task in tasks:
                answer = task()
                answers.write(b"%0*d" % (_HEADER_BYTES, len(answer)) + answer)
        status = 0
    finally:
        # Nothing of the parent's is ended here: no exit handlers, no buffers of its files.
        os._exit(status)


def _read_all(answers: dict[int, bytearray]) -> None:
    with selectors.DefaultSelector() as selector:
        for reading in answers:
            selector.register(reading, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                chunk = os.read(key.fd, 1 << 16)
                answers[key.fd] += chunk
                if not chunk:
                    selector.unregister(key.fd)


def _parts(answer: bytes) -> list[bytes]:
    parts: list[bytes] = []
    begin = 0
    while begin + _HEADER_BYTES <= len(answer):
        end = begin + _HEADER_BYTES + int(answer[begin : begin + _HEADER_BYTES])
        if end > len(answer):
            break
        parts.append(answer[begin + _HEADER_BYTES : end])
        begin = end
    return parts
