"""Project code under a third user, who can read neither the state nor the keys: neither the engine's nor the agent's.

The engine starts it with no group but the third user's own, no capability and `no_new_privs`. For that the engine
needs the capability to change users (CAP_SETUID, CAP_SETGID), and must be a member of the third user's group: what the
command may write is handed to that group, and to nobody else. There is no network namespace and no view of its own
here: what every user of the machine can read, the command can read, and it has the network.

One command runs at a time. When it ends, every process of the third user is killed, so that none is left to meet the
next, and what it closed is opened again for the engine.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from autopilot.kernel.clock import Clock, SystemClock
from autopilot.kernel.errors import MissingComponentError
from autopilot.kernel.stamps import stamp
from autopilot.kernel.throwaway import throwaway
from autopilot.sandbox.capture import Launch, supervise
from autopilot.sandbox.environment import Places, command_environment
from autopilot.sandbox.plain import conclude, refuse_unrunnable
from autopilot.sandbox.run import CommandResult, CommandSpec, Isolation

_ONE_AT_A_TIME = threading.Lock()
_FOLDER_MODE = 0o2770
_FILE_MODE = 0o0060


@dataclass(frozen=True, slots=True)
class ThirdUser:
    """The user and the group that project code runs as."""

    uid: int
    gid: int


class ThirdUserRunner:
    """Runs commands as a third user."""

    name: Isolation = "user"

    def __init__(self, user: ThirdUser, clock: Clock | None = None) -> None:
        self._user = user
        self._clock = clock or SystemClock()

    def run(self, spec: CommandSpec) -> CommandResult:
        """Run `spec`; see `run.Runner`. MissingComponentError `isolation_missing` where the user cannot be changed."""
        refuse_unrunnable(spec)
        with _ONE_AT_A_TIME, throwaway("autopilot-run-") as folder:
            home, tmp = folder / "home", folder / "tmp"
            home.mkdir()
            tmp.mkdir()
            handed = (home, tmp, *spec.writable)
            self._hand_over(handed, spec.readonly)
            started = stamp(self._clock.wall())
            ending = supervise(
                Launch(
                    argv=spec.argv,
                    env=command_environment(spec.env, Places(spec.path, home, tmp)),
                    cwd=spec.cwd,
                    limits=spec.limits,
                    timeout_seconds=spec.timeout_seconds,
                    output_cap_bytes=spec.output_cap_bytes,
                    reap=True,
                    run_as=(self._user.uid, self._user.gid),
                    open_up=tuple(str(path) for path in handed),
                )
            )
        if ending.status.startswith("unchanged "):
            raise _missing(f"the user cannot be changed: {ending.status.partition(' ')[2]}")
        return conclude(spec, ending, isolation=self.name, stamps=(started, stamp(self._clock.wall())))

    def _hand_over(self, writable: Iterable[Path], readonly: Iterable[Path]) -> None:
        try:
            for path in writable:
                self._reach(path)
                for entry in _all_below(path):
                    self._give(entry, write=True)
            for path in readonly:
                if path.lstat().st_uid == os.geteuid():
                    self._reach(path)
                    for entry in _all_below(path):
                        self._give(entry, write=False)
        except OSError as error:
            raise _missing(f"the engine's user is no member of group {self._user.gid}: {error}") from None

    def _give(self, path: Path, *, write: bool) -> None:
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode) or found.st_uid != os.geteuid():
            return
        os.chown(path, -1, self._user.gid, follow_symlinks=False)
        if write:
            path.chmod(found.st_mode | (_FOLDER_MODE if stat.S_ISDIR(found.st_mode) else _group_of(found.st_mode)))
        else:
            execute = stat.S_ISDIR(found.st_mode) or bool(found.st_mode & stat.S_IXUSR)
            path.chmod(found.st_mode | stat.S_IRGRP | (stat.S_IXGRP if execute else 0))

    def _reach(self, path: Path) -> None:
        """Let the group pass through the engine's folders above `path`, and see nothing in them."""
        for folder in path.parents:
            found = folder.stat()
            if found.st_uid != os.geteuid() or found.st_mode & stat.S_IXOTH:
                return
            os.chown(folder, -1, self._user.gid)
            folder.chmod(found.st_mode | stat.S_IXGRP)


def _group_of(mode: int) -> int:
    return _FILE_MODE | (stat.S_IXGRP if mode & stat.S_IXUSR else 0)


def _all_below(root: Path) -> Iterable[Path]:
    yield root
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            yield Path(folder, name)


def _missing(detail: str) -> MissingComponentError:
    remedy = (
        "give the daemon CAP_SETUID and CAP_SETGID and its user the third user's group (docs/how-to/daemon.md), "
        "or use bubblewrap"
    )
    return MissingComponentError("isolation_missing", where="--run-as", detail=detail, remedy=remedy)
