"""Proof that a process is dead, from what the kernel shows. Short of proof it lives, and its lease is held.

A pid alone proves nothing: it is reused, and it means another process in another namespace. So a process is named by

- the host, with its boot, and the pid and time namespaces it was seen from: elsewhere its numbers mean something else,
  and machines that share a ledger may share a name;
- the pid;
- its start time in clock ticks since boot (`/proc/<pid>/stat`, field 22), which tells it from a later one of that pid.

Dead is: no such process, or one that started at another time. A process that cannot be looked at (another user's,
hidden, no `/proc`) is not proved dead. Neither is a zombie: its other threads may still run.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path

from autopilot.kernel.clock import read_boot_id
from autopilot.kernel.errors import MissingComponentError
from autopilot.leases.terms import Holder, ProcessIdentity

PROC = Path("/proc")

_START_FIELD = 22


def identify_process(pid: int | None = None, *, proc: Path = PROC) -> ProcessIdentity:
    """This process, or `pid` as seen from here. A part that cannot be read is empty, and then nothing is proved."""
    pid = os.getpid() if pid is None else pid
    return ProcessIdentity(host=_host(), namespaces=_namespaces(proc), pid=pid, start=_start_of(pid, proc))


def proved_dead(holder: Holder, *, proc: Path = PROC) -> bool:
    """Whether `holder` is a process of this machine that is provably gone. Sessions are never proved dead."""
    process = holder.process
    if process is None or process.pid <= 0 or not process.host or not process.namespaces or not process.start:
        return False
    if (process.host, process.namespaces) != (_host(), _namespaces(proc)):
        return False
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        # It is there and belongs to someone else: perhaps a later process of the same pid, which the start time tells.
        pass
    start = _start_of(process.pid, proc)
    return start not in ("", process.start)


def _host() -> str:
    """This machine in this boot of it; empty if it does not name its boot. A name alone is no machine's own."""
    try:
        return f"{platform.node()} {read_boot_id()}"
    except MissingComponentError:
        return ""


def _namespaces(proc: Path) -> str:
    """The pid and time namespaces of this process; empty if `/proc` does not show this process as it sees itself."""
    try:
        # A /proc of another pid namespace numbers processes differently, and would show a stranger's start time.
        if (proc / "self").readlink() != Path(str(os.getpid())):
            return ""
        pid_namespace = str((proc / "self/ns/pid").readlink())
    except OSError:
        return ""
    try:
        return f"{pid_namespace} {(proc / 'self/ns/time').readlink()}"
    except OSError:
        return pid_namespace  # a kernel before time namespaces: all processes share one


def _start_of(pid: int, proc: Path) -> str:
    try:
        stat = (proc / str(pid) / "stat").read_bytes()
    except OSError:
        return ""
    # The second field is the program's name in parentheses and may hold spaces and parentheses itself.
    fields = stat[stat.rfind(b")") + 1 :].split()
    try:
        return fields[_START_FIELD - 3].decode("ascii")
    except (IndexError, UnicodeDecodeError):
        return ""
