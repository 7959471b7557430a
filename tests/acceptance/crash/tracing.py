"""`kill -9` at a chosen system call: strace counts the calls of a reference run, and kills the trial before its N-th.

Only the engine's own thread is traced (no `-f`), so that the N-th call of a name is the same one in every run of the
same command on a copy of the same repository. The signal is injected on entry, so the call itself does not happen:
killing before each call reaches every state a kill can leave, but for a torn write, which the storage tests cut.

Where a kill fell is read from the trial's own trace, never assumed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CALLS = (
    *("openat", "read", "pread64", "write", "pwrite64", "close", "fstat", "newfstatat", "access", "faccessat2"),
    *("fdatasync", "fsync", "flock", "link", "linkat", "rename", "renameat", "renameat2", "unlink", "unlinkat"),
    *("mkdir", "mkdirat", "ftruncate"),
)
_ALWAYS = ("flock", "write")

BEFORE = "before the lock"
LOCKED = "lock taken, line not written"
WRITTEN = "line written, lock held"
RELEASED = "lock given back, not acknowledged"
AFTER = "acknowledged"
ENDED = "not killed: it had ended"
ZONES = (BEFORE, LOCKED, WRITTEN, RELEASED, AFTER, ENDED)
BETWEEN = (LOCKED, WRITTEN, RELEASED)
"""Between taking the lock and the acknowledgement."""

_CALL = re.compile(r"([a-z0-9_]+)\((.*)")
_STDOUT = re.compile(r"1<")
_LEDGER_LOCK = "/state/ledger/lock>, "
_SEGMENT = "/state/ledger/seg/"


@dataclass(frozen=True, slots=True)
class Call:
    """One traced system call: its name, which of that name it was (from 1), and the line."""

    name: str
    count: int
    text: str

    @property
    def takes_lock(self) -> bool:
        """Whether this is the store's lock being taken for writing, with success."""
        return (
            self.name == "flock" and _LEDGER_LOCK in self.text and "LOCK_EX" in self.text and self.text.endswith("= 0")
        )

    @property
    def gives_lock(self) -> bool:
        """Whether the store's lock is given back."""
        return self.name == "flock" and _LEDGER_LOCK in self.text and "LOCK_UN" in self.text

    @property
    def writes_line(self) -> bool:
        """Whether this is a finished write of a ledger line."""
        return self.name == "write" and _SEGMENT in self.text and not self.text.endswith("= ?")

    @property
    def acknowledges(self) -> bool:
        """Whether this is a finished write to standard output."""
        return self.name == "write" and _STDOUT.match(self.text) is not None and not self.text.endswith("= ?")


def missing() -> str:
    """Why calls cannot be traced here, or nothing."""
    return "" if shutil.which("strace") else "strace is not installed (apt-get install strace)"


def tracer(
    trace: Path, calls: Sequence[str] = CALLS, *, kill: tuple[str, int] | None = None, signal: str = "SIGKILL"
) -> tuple[str, ...]:
    """The words to put before a command: record its `calls` in `trace`, and kill it before the N-th of one name."""
    names = ",".join(f"?{name}" for name in dict.fromkeys((*_ALWAYS, *calls)))
    words = ("strace", "-qq", "-y", "-s", "512", "-o", str(trace), "-e", f"trace={names}")
    return words if kill is None else (*words, "-e", f"inject={kill[0]}:signal={signal}:when={kill[1]}")


def read_trace(trace: Path) -> list[Call]:
    """The calls of a trace in order."""
    counts: Counter[str] = Counter()
    calls: list[Call] = []
    for line in trace.read_text("utf-8", "replace").splitlines():
        match = _CALL.match(line)
        if match:
            counts[match[1]] += 1
            calls.append(Call(match[1], counts[match[1]], match[2].rstrip()))
    return calls


def own_lock(calls: Sequence[Call], marker: str) -> int:
    """The number (from 1) of the taking of the lock under which the command's own line, with `marker`, is written."""
    taken = found = 0
    for call in calls:
        taken += call.takes_lock
        if call.writes_line and marker in call.text:
            found = taken
    if not found:
        raise ValueError(f"the reference run wrote no line with {marker}")
    return found


def zones(calls: Sequence[Call], lock: int) -> list[str]:
    """For each call, where the command stood before it; `lock` is the number of its own taking of the lock."""
    found: list[str] = []
    zone, taken = BEFORE, 0
    for call in calls:
        found.append(zone)
        taken += call.takes_lock
        if call.takes_lock and taken == lock:
            zone = LOCKED
        elif call.writes_line and zone == LOCKED:
            zone = WRITTEN
        elif call.gives_lock and zone in (LOCKED, WRITTEN):
            zone = RELEASED
        elif call.acknowledges:
            zone = AFTER
    return [*found, zone]


def zone_at_end(calls: Sequence[Call], lock: int) -> str:
    """Where the command stood when its trace breaks off. The call that was killed is its last line, and unfinished."""
    done = calls[:-1] if calls and calls[-1].text.endswith("= ?") else calls
    return zones(done, lock)[-1]


def child_of(tracer_pid: int) -> int:
    """The traced process, 0 before it is there."""
    try:
        listed = Path(f"/proc/{tracer_pid}/task/{tracer_pid}/children").read_text().split()
    except OSError:
        return 0
    for pid in listed:
        # strace forks a probe of its own first; what we look for has become the interpreter.
        try:
            if b"autopilot" in Path(f"/proc/{pid}/cmdline").read_bytes() and os.path.realpath(
                f"/proc/{pid}/exe"
            ) == os.path.realpath("/proc/self/exe"):
                return int(pid)
        except OSError:
            continue
    return 0


def shows_stop(trace: Path) -> bool:
    """Whether the traced command was stopped by a signal. /proc would not tell: it stops at every traced call."""
    return trace.exists() and "--- stopped by SIGSTOP ---" in trace.read_text(errors="replace")
