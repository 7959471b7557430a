"""Stands between the engine and a command: sets its limits, waits for it, and ends its whole process tree.

Run as a program of its own (`python -I -S supervise.py …`), so that limits are set in a process with one thread:
the engine has several while it renews leases, and Python code between fork and exec is not safe there. It imports
the standard library only, and little of it.

    supervise.py CONTROL_FD STATUS_FD REAP MEMORY CPU FILE PROCESSES KEPT_FDS THIRD -- ARGV…

- The engine holds the other end of CONTROL_FD. When that closes (time over, engine killed) the tree is killed.
- STATUS_FD gets one line: `exit N`, `signal N`, `killed`, `error ERRNO`, or `unchanged WHY` where the third user could
  not be become. No line means: nobody knows, so no pass.
- REAP 1 (no pid namespace around the command): as the "child subreaper" (Linux) this process inherits every
  daemonised descendant and kills it too. Elsewhere only the process group can be killed.
- THIRD names the user that the command becomes (JSON, empty for none): all its processes are killed at the end, by a
  process of its own, and the folders in `open_up` are opened again for the group. No capability is passed on.

What a hostile command under the same user and without namespaces can still do: kill this process. The engine then
sees no status line, which is never a pass, but descendants that left the process group may live on.
"""

# Importing pathlib would take longer than all the rest.
# ruff: noqa: PTH101, PTH112, PTH114, PTH116, PTH118, PTH123, PTH208

import os
import resource
import select
import signal
import sys

PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
PR_SET_NO_NEW_PRIVS = 38
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
KILL_ROUNDS = 400
ROUND_SECONDS = 0.005


def main() -> int:
    """Supervise the command named on the command line."""
    control, status, reap, memory, cpu, file_bytes, processes = (int(word) for word in sys.argv[1:8])
    kept = [int(word) for word in sys.argv[8].split(",") if word]
    third = read_third(sys.argv[9])
    argv = sys.argv[11:]
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
        become(argv, status, (memory, cpu, file_bytes, processes), kept, third)
    for descriptor in (1, 2, *kept):
        # Else the engine would wait for the end of an output that this process still holds open.
        os.close(descriptor)
    end = wait(child, control, woken)
    kill_tree(child, third)
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


def read_third(word: str) -> "tuple[int, int, list[str]] | None":
    """The third user's number, its group's, and what to open up at the end; None where the user stays."""
    if not word:
        return None
    import json

    told = json.loads(word)
    uid, gid = told["user"]
    return uid, gid, told["open_up"]


def turn_into(uid: int, gid: int) -> None:
    """Become the third user for good: one group, no capability, none to be had by any program. OSError if it fails."""
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    drop_capabilities(for_good=True)
    if os.getresuid() != (uid, uid, uid) or os.getresgid() != (gid, gid, gid) or os.getgroups():
        raise PermissionError(1, "the user is not the one asked for")


def drop_capabilities(*, for_good: bool) -> None:
    """Pass no capability on: the engine may have some from its service manager, and bubblewrap refuses to have any."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    # Older kernels know no ambient set, and then there is nothing in it.
    libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    if for_good and libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")


def become(
    argv: list[str],
    status: int,
    limits: tuple[int, int, int, int],
    kept: list[int],
    third: "tuple[int, int, list[str]] | None",
) -> None:
    """Turn this forked child into the command. Does not return."""
    try:
        os.setsid()
        if third is not None:
            try:
                turn_into(third[0], third[1])
            except OSError as error:
                os.write(status, f"unchanged {error.strerror}\n".encode())
                os._exit(127)
        else:
            drop_capabilities(for_good=False)
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


def kill_tree(child: int, third: "tuple[int, int, list[str]] | None" = None) -> None:
    """Kill every descendant, again and again until none is left (or 2 s passed); without /proc, the process group."""
    if third is not None:
        as_third_user(third)
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


def as_third_user(third: tuple[int, int, list[str]]) -> None:
    """Kill all that the third user runs, wherever it went, and let the engine read and remove what it wrote."""
    child = os.fork()
    if child == 0:
        try:
            turn_into(third[0], third[1])
            for _ in range(KILL_ROUNDS):
                os.kill(-1, signal.SIGKILL)  # every process of this user but this one
                if not living_of(third[0]):
                    break
                select.select([], [], [], ROUND_SECONDS)
            for place in third[2]:
                open_up(place)
        except OSError:
            pass
        finally:
            os._exit(0)
    # Orphans of the command that were adopted are reaped on the way: the killer goes on until none is left.
    while os.waitpid(-1, 0)[0] != child:
        pass


def living_of(uid: int) -> list[int]:
    """The living processes of a user, without this one; a dead one that nobody has waited for yet is none."""
    found: list[int] = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and int(name) != os.getpid() and os.stat(f"/proc/{name}").st_uid == uid:
                with open(f"/proc/{name}/stat", "rb") as stat:
                    if stat.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X"):
                        found.append(int(name))
        except (OSError, IndexError):
            continue
    return found


def open_up(place: str) -> None:
    """Give the group what this user owns below `place`; what is not its own stays as it is."""
    for folder, folders, files in os.walk(place):
        for name in (*folders, *files, "."):
            path = os.path.join(folder, name)
            try:
                if not os.path.islink(path) and os.stat(path).st_uid == os.getuid():
                    mode = os.stat(path).st_mode
                    os.chmod(path, mode & 0o777 | (0o770 if os.path.isdir(path) else 0o660))
            except OSError:
                continue


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
