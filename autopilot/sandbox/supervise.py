"""Stands between the engine and a command: sets its limits, waits for it, and ends its whole process tree.

Run as a program of its own (`python -I -S supervise.py …`), so that limits are set in a process with one thread:
the engine has several while it renews leases, and Python code between fork and exec is not safe there. It imports
the standard library only, and little of it.

    supervise.py CONTROL_FD STATUS_FD REAP MEMORY CPU FILE PROCESSES KEPT_FDS -- ARGV…

- The engine holds the other end of CONTROL_FD. When that closes (time over, engine killed) the tree is killed.
- STATUS_FD gets one line: `exit N`, `signal N`, `killed` or `error ERRNO`. No line means: nobody knows, so no pass.
- REAP 1 (no pid namespace around the command): as the "child subreaper" (Linux) this process inherits every
  daemonised descendant and kills it too. Elsewhere only the process group can be killed.

What a hostile command under the same user and without namespaces can still do: kill this process. The engine then
sees no status line, which is never a pass, but descendants that left the process group may live on.
"""

# Importing pathlib would take longer than all the rest.
# ruff: noqa: PTH112, PTH116, PTH123, PTH208

import os
import resource
import select
import signal
import sys

PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
KILL_ROUNDS = 400
ROUND_SECONDS = 0.005


def main() -> int:
    """Supervise the command named on the command line."""
    control, status, reap, memory, cpu, file_bytes, processes = (int(word) for word in sys.argv[1:8])
    kept = [int(word) for word in sys.argv[8].split(",") if word]
    argv = sys.argv[10:]
    if reap:
        adopt_orphans()
    os.set_inheritable(control, False)
    os.set_inheritable(status, False)
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    child = os.fork()
    if child == 0:
        become(argv, status, (memory, cpu, file_bytes, processes), kept)
    for descriptor in (1, 2, *kept):
        # Else the engine would wait for the end of an output that this process still holds open.
        os.close(descriptor)
    end = wait(child, control, woken)
    kill_tree(child)
    os.write(status, end.encode() + b"\n")
    return 0


def adopt_orphans() -> None:
    """Make descendants whose parent dies children of this process, and keep them out of its descriptors."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # Not dumpable: /proc/<pid>/fd belongs to root then, so the command cannot write a status line of its own there.
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def become(argv: list[str], status: int, limits: tuple[int, int, int, int], kept: list[int]) -> None:
    """Turn this forked child into the command. Does not return."""
    try:
        os.setsid()
        set_limits(*limits)
        os.umask(0o022)
        for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for descriptor in kept:
            os.set_inheritable(descriptor, True)
        os.execv(argv[0], argv)  # noqa: S606 - no shell is the point
    except OSError as error:
        os.write(status, f"error {error.errno}\n".encode())
    finally:
        os._exit(127)


def set_limits(memory: int, cpu: int, file_bytes: int, processes: int) -> None:
    """Lower this process's limits; what is lower already stays."""
    lower(resource.RLIMIT_CORE, 0)
    if memory:
        lower(resource.RLIMIT_DATA, memory)
    if cpu:
        lower(resource.RLIMIT_CPU, cpu)
    if file_bytes:
        lower(resource.RLIMIT_FSIZE, file_bytes)
    if processes and os.getuid() != 0:
        # The kernel counts every process and thread of the user against this limit, so it is set relative to what
        # runs now. Root is exempt there; only a pid namespace's end stops root's forks.
        lower(resource.RLIMIT_NPROC, threads_of_user() + processes)


def lower(limit: int, value: int) -> None:
    """Set soft and hard `limit` to `value` unless the hard limit is lower."""
    hard = resource.getrlimit(limit)[1]
    if hard != resource.RLIM_INFINITY and hard < value:
        value = hard
    resource.setrlimit(limit, (value, value))


def threads_of_user() -> int:
    """How many threads this user runs now, as far as /proc shows them; a guess of 4096 where there is no /proc."""
    uid = os.getuid()
    total = 0
    try:
        names = os.listdir("/proc")
    except OSError:
        return 4096
    for name in names:
        if name.isdigit():
            try:
                if os.stat(f"/proc/{name}").st_uid == uid:
                    total += len(os.listdir(f"/proc/{name}/task"))
            except OSError:
                continue
    return total


def wait(child: int, control: int, woken: int) -> str:
    """The command's end as a status line: its own end, or `killed` when the engine lets go of the control pipe."""
    poller = select.poll()
    poller.register(control, select.POLLIN | select.POLLHUP)
    poller.register(woken, select.POLLIN)
    while True:
        for pid, how in reaped():
            if pid == child:
                return f"signal {os.WTERMSIG(how)}" if os.WIFSIGNALED(how) else f"exit {os.WEXITSTATUS(how)}"
        for descriptor, _ in poller.poll():
            if descriptor == control:
                return "killed"
            os.read(woken, 512)


def reaped() -> list[tuple[int, int]]:
    """Every child that has ended, with its wait status."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, how = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, how))


def kill_tree(child: int) -> None:
    """Kill every descendant, again and again until none is left (or 2 s passed); without /proc, the process group."""
    if not os.path.isdir("/proc/self"):
        try:
            os.killpg(child, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return
    for _ in range(KILL_ROUNDS):
        for pid in descendants():
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        reaped()
        if not descendants():
            return
        select.select([], [], [], ROUND_SECONDS)


def descendants() -> list[int]:
    """All living processes below this one, by the parents /proc names; empty where there is no /proc."""
    children: dict[int, list[int]] = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        return []
    for name in names:
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:
                # The program's name is in parentheses and may hold anything: take what follows the last one.
                parent = int(stat.read().rpartition(b")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue
        children.setdefault(parent, []).append(int(name))
    found: list[int] = []
    frontier = [os.getpid()]
    while frontier:
        frontier = [pid for parent in frontier for pid in children.get(parent, ())]
        found.extend(frontier)
    return found


if __name__ == "__main__":
    sys.exit(main())
