"""The isolating driver: bubblewrap, with or without root.

Inside there is no network (but for setup), only the system directories, a few files of /etc and the declared paths,
a fresh /tmp and home, a process namespace that dies with the command, and no capabilities. Everything not declared
writable is read-only. Limits come from `supervise.py`, which also ends bubblewrap when the time is over.

Bubblewrap says on a descriptor of its own how the command ended. Without that line it did not get as far as the
command, and the caller hears that isolation is missing here: never a result without isolation.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from autopilot.kernel import canonical
from autopilot.kernel.clock import Clock, SystemClock
from autopilot.kernel.errors import ContractError, MissingComponentError
from autopilot.kernel.stamps import stamp
from autopilot.sandbox.capture import Ending, Launch, supervise
from autopilot.sandbox.environment import Places, command_environment
from autopilot.sandbox.mounts import Mount, declared_mounts, system_mounts, visible
from autopilot.sandbox.plain import conclude, refuse_unrunnable
from autopilot.sandbox.run import CommandResult, CommandSpec, Isolation

_PLACES_HOME = Path("/tmp/home")  # noqa: S108 - a path inside the sandbox, where /tmp is fresh
_PLACES_TMP = Path("/tmp")  # noqa: S108
_STATUS_CAP_BYTES = 65536
_SIGNAL_BASE = 128


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """A `bwrap` program that was seen to work: its path, its version, and whether it can bound a tmpfs."""

    path: Path
    version: str
    has_size: bool


class BwrapRunner:
    """Runs commands under bubblewrap. Made by `choose`, which first makes sure that it works here."""

    name: Isolation = "bwrap"

    def __init__(self, bubblewrap: Bubblewrap, clock: Clock | None = None) -> None:
        self._bubblewrap = bubblewrap
        self._clock = clock or SystemClock()

    def run(self, spec: CommandSpec) -> CommandResult:
        """Run `spec`; see `run.Runner`."""
        refuse_unrunnable(spec)
        _refuse_invisible(spec)
        started = stamp(self._clock.wall())
        read, write = os.pipe()
        try:
            ending = supervise(
                Launch(
                    argv=(*self.arguments(spec, status_fd=write), "--", *spec.argv),
                    env=command_environment(spec.env, Places(spec.path, _PLACES_HOME, _PLACES_TMP)),
                    cwd=Path("/"),
                    limits=spec.limits,
                    timeout_seconds=spec.timeout_seconds,
                    output_cap_bytes=spec.output_cap_bytes,
                    reap=True,
                    keep=(write,),
                )
            )
        finally:
            os.close(write)
            report = _read_report(read)
        status = _status(spec, ending, report)
        return conclude(spec, ending, isolation=self.name, stamps=(started, stamp(self._clock.wall())), status=status)

    def arguments(self, spec: CommandSpec, *, status_fd: int | None = None) -> tuple[str, ...]:
        """Bubblewrap's command line for `spec`, up to and without `--`."""
        words = [str(self._bubblewrap.path), "--unshare-all", "--die-with-parent", "--new-session"]
        words += ["--cap-drop", "ALL", "--hostname", "sandbox"]
        if spec.network:
            words.append("--share-net")
        words += ["--dir", "/etc"]
        for mount in system_mounts(network=spec.network):
            words += _words(mount)
        words += ["--proc", "/proc", "--dev", "/dev"]
        # Scratch space is memory: both places a command can always write to are bounded.
        words += [*self._sized(spec), "--tmpfs", "/tmp", *self._sized(spec), "--tmpfs", "/dev/shm"]  # noqa: S108
        words += ["--dir", str(_PLACES_HOME)]
        for mount in declared_mounts(spec):
            words += _words(mount)
        words += ["--remount-ro", "/", "--chdir", str(spec.cwd)]
        if status_fd is not None:
            words += ["--json-status-fd", str(status_fd)]
        return tuple(words)

    def _sized(self, spec: CommandSpec) -> list[str]:
        if self._bubblewrap.has_size and spec.limits.scratch_bytes:
            return ["--size", str(spec.limits.scratch_bytes)]
        return []


def _words(mount: Mount) -> list[str]:
    target = str(mount.target)
    if mount.kind == "link":
        return ["--symlink", mount.source, target]
    if mount.kind == "cover":
        return ["--tmpfs", target] if mount.target.is_dir() else ["--ro-bind", "/dev/null", target]
    return ["--ro-bind" if mount.kind == "readonly" else "--bind", mount.source, target]


def _refuse_invisible(spec: CommandSpec) -> None:
    if not visible(spec.cwd, spec):
        raise ContractError("bad_config", where=str(spec.cwd), detail="the working directory is in no mount")
    if not visible(Path(spec.argv[0]), spec):
        raise MissingComponentError(
            "tool_missing",
            where=spec.argv[0],
            detail=f"{spec.argv[0]} is outside of what the sandbox shows",
            remedy="install it in a system directory or the interpreter's environment, or declare its folder read-only",
        )


def _read_report(descriptor: int) -> bytes:
    """All bubblewrap reported. Its writers are dead by now, so this ends."""
    with os.fdopen(descriptor, "rb") as report:
        return report.read(_STATUS_CAP_BYTES)


def _status(spec: CommandSpec, ending: Ending, report: bytes) -> str:
    """The command's end as a status line, from bubblewrap's report."""
    if ending.timed_out or not ending.status.startswith("exit "):
        return ending.status
    codes = [
        value["exit-code"]
        for line in report.splitlines()
        if isinstance(value := canonical.parse(line, where="bwrap status"), dict) and "exit-code" in value
    ]
    if len(codes) != 1 or type(codes[0]) is not int:
        said = ending.output[-500:].decode("utf-8", "replace").strip()
        if said.startswith("bwrap: execvp "):
            # The sandbox stood, the program would not start: its loader or its shebang's program is not inside.
            raise MissingComponentError("tool_missing", where=spec.argv[0], detail=said)
        raise MissingComponentError(
            "isolation_missing",
            where=spec.argv[0],
            detail=f"bubblewrap could not build the sandbox: {said}",
        )
    code = codes[0]
    return f"signal {code - _SIGNAL_BASE}" if _SIGNAL_BASE < code < _SIGNAL_BASE + 65 else f"exit {code}"
