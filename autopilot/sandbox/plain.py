"""The driver without isolation: a clean environment, limits, a scratch folder, and an end for the process tree.

It holds off mistakes, not malice: the command runs as this user and can read what the user can read, use the
network, and write outside its copy. That is why its results say `isolation: none`, and why a contract that demands
isolation does not take them. `readonly`, `hidden`, `network` and `scratch_bytes` of a spec are not enforced here.
"""

from __future__ import annotations

import os
from pathlib import Path

from autopilot.kernel.clock import Clock, SystemClock
from autopilot.kernel.errors import MissingComponentError
from autopilot.kernel.stamps import stamp
from autopilot.kernel.throwaway import throwaway
from autopilot.sandbox.capture import Ending, Launch, supervise
from autopilot.sandbox.environment import Places, command_environment
from autopilot.sandbox.run import CommandResult, CommandSpec, Isolation


class PlainRunner:
    """Runs commands as ordinary processes of this user."""

    name: Isolation = "none"

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    def run(self, spec: CommandSpec) -> CommandResult:
        """Run `spec`; see `run.Runner`."""
        refuse_unrunnable(spec)
        started = stamp(self._clock.wall())
        with throwaway("autopilot-run-") as folder:
            home, tmp = folder / "home", folder / "tmp"
            home.mkdir()
            tmp.mkdir()
            ending = supervise(
                Launch(
                    argv=spec.argv,
                    env=command_environment(spec.env, Places(spec.path, home, tmp)),
                    cwd=spec.cwd,
                    limits=spec.limits,
                    timeout_seconds=spec.timeout_seconds,
                    output_cap_bytes=spec.output_cap_bytes,
                    reap=True,
                )
            )
        return conclude(spec, ending, isolation=self.name, stamps=(started, stamp(self._clock.wall())))


def refuse_unrunnable(spec: CommandSpec) -> None:
    """MissingComponentError `tool_missing` unless the program is an executable file and `cwd` a directory."""
    program = spec.argv[0]
    if not Path(program).is_file() or not os.access(program, os.X_OK):
        raise MissingComponentError("tool_missing", where=program, detail=f"{program} is not an executable file")
    if not spec.cwd.is_dir():
        raise MissingComponentError("tool_missing", where=str(spec.cwd), detail=f"{spec.cwd} is not a directory")


def conclude(
    spec: CommandSpec, ending: Ending, *, isolation: Isolation, stamps: tuple[str, str], status: str | None = None
) -> CommandResult:
    """The result of a command from its status line (`ending.status` unless a driver knows better).

    Fail closed: anything but a plain `exit N` or `signal N` leaves no exit code, with the failure in words.
    """
    word, _, number = (ending.status if status is None else status).partition(" ")
    exit_code: int | None = None
    signal: int | None = None
    failure = ""
    if ending.timed_out:
        failure = f"ran over its {spec.timeout_seconds} s and was killed"
    elif word == "exit" and number.isdigit():
        exit_code = int(number)
    elif word == "signal" and number.isdigit():
        signal = int(number)
        failure = f"killed by signal {number}"
    elif word == "error" and number.isdigit():
        # The file is there and executable, yet the kernel will not start it: a missing loader or shebang program.
        raise MissingComponentError("tool_missing", where=spec.argv[0], detail=os.strerror(int(number)))
    else:
        failure = "its end was not seen: the supervising process was killed"
    return CommandResult(
        argv=spec.argv,
        exit_code=exit_code,
        signal=signal,
        timed_out=ending.timed_out,
        output=ending.output,
        output_bytes=ending.output_bytes,
        truncated=ending.truncated,
        duration_ns=ending.duration_ns,
        isolation=isolation,
        started_at=stamps[0],
        finished_at=stamps[1],
        failure=failure,
    )
