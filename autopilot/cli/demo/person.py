"""The person of the demo: approves at a real (pseudo-)terminal, as a person would, and says so.

Approvals are not given through any agent's door. The demo therefore starts `autopilot approve` on a pseudo-terminal
of its own and types what the command asks for. This is the one place where the demo plays a human.
"""

from __future__ import annotations

import os
import pty
import select
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import RefusedError

_TIMEOUT_SECONDS = 60
ADA = Caller("ada", "human", "ada-terminal")


@dataclass(frozen=True, slots=True)
class Person:
    """Ada, at a terminal in the repository."""

    repository: Path
    say: Callable[[str], None]
    caller: Caller = ADA

    def approve(self, task: str, refusal: RefusedError) -> None:
        """Approve everything that the refusal waits for; RuntimeError if the command does not accept it."""
        for reason in refusal.verdict.reasons:
            if reason.subject:
                self.say(f"the demo plays the person Ada at a pseudo-terminal: approves {reason.code} of {task}")
                self._type(task, reason.subject)

    def _type(self, task: str, subject: str) -> None:
        words = [sys.executable, "-m", "autopilot.cli.main", "approve", task, "--subject", subject]
        words += ["--reason", "looked at in the demo", "--actor", self.caller.actor, "--session", self.caller.session]
        code, output = run_at_terminal(words, self.repository, subject[:8] + "\n")
        if code != 0:
            raise RuntimeError(f"approve exited {code}: {output}")


def run_at_terminal(words: list[str], folder: Path, typed: str) -> tuple[int, str]:
    """Run a command on a pseudo-terminal, type `typed` at its first prompt; its exit code and what it showed."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        # The command line is the demo's own, built from fixed words and a digest.
        os.execv(words[0], words)  # noqa: S606
    shown = b""
    asked = False
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        ready, _, _ = select.select([terminal], [], [], 0.2)
        if not ready:
            continue
        try:
            block = os.read(terminal, 4096)
        except OSError:
            break  # Linux answers EIO once the other side is closed
        if not block:
            break
        shown += block
        if not asked and shown.rstrip(b" ").endswith(b":"):
            os.write(terminal, typed.encode())
            asked = True
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown.decode("utf-8", "replace")


def run_without_terminal(words: list[str], environ: dict[str, str]) -> tuple[int, str]:
    """Run a command as an agent's host does, with nobody to ask; its exit code and its standard output."""
    with tempfile.NamedTemporaryFile() as shown:
        files = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, shown.name, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ]
        process = os.posix_spawn(words[0], words, {**os.environ, **environ}, file_actions=files)
        _, status = os.waitpid(process, 0)
        return os.waitstatus_to_exitcode(status), Path(shown.name).read_text("utf-8", "replace")
