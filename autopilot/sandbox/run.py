"""The port: run one command of the project and say what happened.

Rules every driver keeps:

- the environment is made by `environment.command_environment` from the spec's; nothing of the caller's passes;
- standard input is empty, standard output and error are one stream, kept up to a cap (head and tail);
- when the command ends, by itself or by its time limit, no process it started is left;
- a command that did not run to its end has no exit code, so that nobody can take it for a pass.

    runner = choose("bwrap")
    result = runner.run(CommandSpec(argv=("/usr/bin/true",), cwd=copy, timeout_seconds=60, writable=(copy,)))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from autopilot.kernel.errors import ContractError
from autopilot.sandbox.environment import SYSTEM_PATH

Isolation = Literal["bwrap", "user", "none"]

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Resource limits (setrlimit) of one command. Zero means no limit.

    `memory_bytes` bounds the private memory of each process (RLIMIT_DATA), not of all together: address space
    that is reserved and not used does not count, as the JVM and Node reserve tens of gigabytes. `processes` is how
    many processes and threads may come on top of what the user already runs; the kernel does not hold root to it.
    `scratch_bytes` bounds the fresh /tmp (bwrap only).
    """

    memory_bytes: int = 4096 * MIB
    cpu_seconds: int = 0
    file_bytes: int = 1024 * MIB
    processes: int = 1024
    scratch_bytes: int = 1024 * MIB

    def __post_init__(self) -> None:
        for name in ("memory_bytes", "cpu_seconds", "file_bytes", "processes", "scratch_bytes"):
            if getattr(self, name) < 0:
                raise ContractError("bad_config", where=name, detail="a limit is zero (none) or positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandSpec:
    """One command and all it may see.

    `argv[0]` is an absolute path (`interpreter.Toolbox` finds it). `cwd` lies in one of the mounts. `env` is the
    command's own, laid over the fixed one; `path` is where the programs it calls are looked up. `writable` and
    `readonly` are seen at their own paths; the deeper of two nested ones wins. `hidden` paths are covered if a
    mount would show them: the state directory, the home directory, keys. `network` is for setup only.
    """

    argv: tuple[str, ...]
    cwd: Path
    timeout_seconds: int
    env: Mapping[str, str] = field(default_factory=dict)
    path: tuple[Path, ...] = SYSTEM_PATH
    network: bool = False
    writable: tuple[Path, ...] = ()
    readonly: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    output_cap_bytes: int = 8 * MIB
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not self.argv or not Path(self.argv[0]).is_absolute():
            # A bare name would be looked up by whoever comes first on some PATH: the resolver's job, not exec's.
            raise ContractError("bad_config", where="argv", detail="the command's first word is not an absolute path")
        if any("\0" in word for word in self.argv):
            raise ContractError("bad_config", where="argv", detail="a NUL byte in an argument")
        if self.timeout_seconds <= 0:
            raise ContractError("bad_config", where="timeout_seconds", detail="every command has a time limit")
        if self.output_cap_bytes < 1024:
            raise ContractError("bad_config", where="output_cap_bytes", detail="at least 1024 bytes")
        for path in (self.cwd, *self.path, *self.writable, *self.readonly, *self.hidden):
            if not path.is_absolute() or ".." in path.parts:
                raise ContractError("bad_config", where=str(path), detail="not an absolute path without `..`")
        both = set(self.writable) & set(self.readonly)
        if both:
            raise ContractError("bad_config", where=str(min(both)), detail="both read-only and writable")


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """What happened. `exit_code` is None if the command was killed, ran over its time, or its end was not seen.

    Under bwrap a signal arrives as 128 + its number; such an exit code is read as the signal.
    `output_bytes` counts what was written, `output` is what was kept. `failure` says why there is no exit code.
    """

    argv: tuple[str, ...]
    exit_code: int | None
    signal: int | None
    timed_out: bool
    output: bytes
    output_bytes: int
    truncated: bool
    duration_ns: int
    isolation: Isolation
    started_at: str
    finished_at: str
    failure: str = ""

    @property
    def succeeded(self) -> bool:
        """True only for a command that ended by itself with exit code 0."""
        return self.exit_code == 0 and not self.timed_out

    def as_dict(self) -> dict[str, Any]:
        """The record for evidence, in plain data, without the output's bytes."""
        return {
            "argv": list(self.argv),
            "exit_code": self.exit_code,
            "signal": self.signal,
            "timed_out": self.timed_out,
            "output_bytes": self.output_bytes,
            "truncated": self.truncated,
            "duration_ns": self.duration_ns,
            "isolation": self.isolation,
            "started_at": self.started_at,
            "finished_at": self.finished_at,
            "failure": self.failure,
        }


class Runner(Protocol):
    """Runs commands; `name` is the isolation it gives and goes into the evidence."""

    @property
    def name(self) -> Isolation:
        """`bwrap`, `user` (a third one) or `none`."""
        ...

    def run(self, spec: CommandSpec) -> CommandResult:
        """Run `spec` to its end. A failing command is a result; only a machine that cannot run it is an error.

        Raises MissingComponentError `tool_missing` where the program is not to be had, `isolation_missing` where
        the isolation cannot be set up.
        """
        ...
