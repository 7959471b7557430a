"""Project code under a third user, who can read neither the state nor the keys: neither the engine's nor the agent's.

The engine starts it with no group but the third user's own, no capability and `no_new_privs`. For that the engine
needs the capability to change users (CAP_SETUID, CAP_SETGID), and must be a member of the third user's group: what the
command may read or write is handed to that group, and to nobody else. There is no network namespace and no view of its
own here: what every user of the machine can read, the command can read, and it has the network.

Handed over is only what the engine made for it: throw-away folders of this process, and the dependency cache
(`third_user_files.py`). Other read-only paths stay as they are: the command can read there what everybody can. A path
that is, holds or lies in one that is to be hidden is refused (`mount_unsafe`), since nothing can be covered here.

One command runs at a time. When it ends, every process of the third user is killed, so that none is left to meet the
next; what it closed is opened again for the engine, and what it could write is closed to it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from autopilot.kernel.clock import Clock, SystemClock
from autopilot.kernel.errors import MissingComponentError
from autopilot.kernel.stamps import stamp
from autopilot.kernel.throwaway import throwaway
from autopilot.sandbox.capture import Ending, Launch, supervise
from autopilot.sandbox.environment import Places, command_environment
from autopilot.sandbox.plain import conclude, refuse_unrunnable
from autopilot.sandbox.run import CommandResult, CommandSpec, Isolation
from autopilot.sandbox.third_user_files import Handover

_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True, slots=True)
class ThirdUser:
    """The user and the group that project code runs as."""

    uid: int
    gid: int


class ThirdUserRunner:
    """Runs commands as a third user. `cache` is the engine's dependency cache, None where it has none."""

    name: Isolation = "user"

    def __init__(self, user: ThirdUser, cache: Path | None = None, clock: Clock | None = None) -> None:
        self._user = user
        self._handover = Handover(user.gid, cache)
        self._clock = clock or SystemClock()

    def run(self, spec: CommandSpec) -> CommandResult:
        """Run `spec`; see `run.Runner`. MissingComponentError `isolation_missing` where the user cannot be changed,
        `mount_unsafe` for a path that must not be shown or cannot be kept read-only.
        """
        refuse_unrunnable(spec)
        _refuse_hidden(spec)
        with _ONE_AT_A_TIME, throwaway("autopilot-run-") as folder:
            home, tmp = folder / "home", folder / "tmp"
            home.mkdir()
            tmp.mkdir()
            handed = (home, tmp, *spec.writable)
            started = stamp(self._clock.wall())
            try:
                self._hand_over(handed, spec.readonly)
                ending = self._supervised(spec, home, tmp, handed)
            finally:
                self._handover.take_back(handed)
        if ending.status.startswith("unchanged "):
            raise _missing(f"the user cannot be changed: {ending.status.partition(' ')[2]}")
        return conclude(spec, ending, isolation=self.name, stamps=(started, stamp(self._clock.wall())))

    def _supervised(self, spec: CommandSpec, home: Path, tmp: Path, handed: tuple[Path, ...]) -> Ending:
        return supervise(
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

    def _hand_over(self, writable: tuple[Path, ...], readonly: tuple[Path, ...]) -> None:
        try:
            for path in readonly:
                self._handover.show(path)
            for path in writable:
                self._handover.give(path)
        except OSError as error:
            raise _missing(f"the engine's user is no member of group {self._user.gid}: {error}") from None


def _refuse_hidden(spec: CommandSpec) -> None:
    hidden = {place for path in spec.hidden for place in (path, path.resolve())}
    for path in (*spec.readonly, *spec.writable):
        for shown in (path, path.resolve()):
            if any(shown.is_relative_to(place) or place.is_relative_to(shown) for place in hidden):
                detail = f"{path} would show what project code must not see"
                raise MissingComponentError("mount_unsafe", where=str(path), detail=detail)


def _missing(detail: str) -> MissingComponentError:
    remedy = (
        "give the daemon CAP_SETUID and CAP_SETGID and its user the third user's group (docs/how-to/daemon.md), "
        "or use bubblewrap"
    )
    return MissingComponentError("isolation_missing", where="--run-as", detail=detail, remedy=remedy)
