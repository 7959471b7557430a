"""Picks the runner. A demand for isolation is met or refused, never weakened.

Whether bubblewrap works is found out by running it: an installed one fails where user namespaces are off, and a
version number does not show that.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from autopilot.kernel.clock import Clock
from autopilot.kernel.errors import ContractError, MissingComponentError
from autopilot.sandbox.bwrap import Bubblewrap, BwrapRunner
from autopilot.sandbox.environment import SYSTEM_PATH
from autopilot.sandbox.plain import PlainRunner
from autopilot.sandbox.run import CommandSpec, Runner

INSTALL_LINE = "install bubblewrap: apt-get install bubblewrap (dnf, pacman and zypper have it by the same name)"
_PROBE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Probe:
    """What trying bubblewrap showed: the working program, or the reason why there is none."""

    bubblewrap: Bubblewrap | None
    detail: str


def choose(required: str, *, clock: Clock | None = None) -> Runner:
    """The best runner here that gives at least `required` (`none` or `bwrap`); the result of a run says which it was.

    Raises MissingComponentError `isolation_missing` with the install line if `bwrap` is required and does not work.
    """
    if required not in ("none", "bwrap"):
        raise ContractError("bad_config", where="isolation", detail=f"{required!r} is neither none nor bwrap")
    found = probe()
    if found.bubblewrap is not None:
        return BwrapRunner(found.bubblewrap, clock)
    if required == "bwrap":
        raise MissingComponentError("isolation_missing", where="bwrap", detail=found.detail, remedy=INSTALL_LINE)
    return PlainRunner(clock)


@functools.lru_cache(maxsize=1)
def probe() -> Probe:
    """Run bubblewrap once, as commands will be run, and keep the answer for the life of this process."""
    return try_bubblewrap(":".join(str(folder) for folder in SYSTEM_PATH))


def try_bubblewrap(search_path: str) -> Probe:
    """Look for `bwrap` on `search_path` and try it. Not the caller's PATH: what isolates must not be a shim."""
    place = shutil.which("bwrap", path=search_path)
    if place is None:
        return Probe(None, "bwrap is not installed")
    version = _ask(place, "--version")
    if version is None:
        return Probe(None, f"{place} does not start")
    candidate = Bubblewrap(Path(place), version.strip(), "--size" in (_ask(place, "--help") or ""))
    program = "/usr/bin/true" if Path("/usr/bin/true").exists() else "/bin/true"
    try:
        result = BwrapRunner(candidate).run(
            CommandSpec(argv=(program,), cwd=Path("/usr"), timeout_seconds=_PROBE_SECONDS)
        )
    except MissingComponentError as error:
        return Probe(None, f"{candidate.version} does not work here: {error.detail}")
    if not result.succeeded:
        return Probe(None, f"{candidate.version} does not work here: {result.failure or result.exit_code}")
    return Probe(candidate, f"{candidate.version} works")


def _ask(program: str, option: str) -> str | None:
    try:
        done = subprocess.run(
            [program, option], capture_output=True, text=True, env={}, timeout=_PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    return done.stdout if done.returncode == 0 else None
