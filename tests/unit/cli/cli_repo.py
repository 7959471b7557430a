"""A repository and the command line in it, run as a real process."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from unittest import mock

import warm_cli

from autopilot.cli import main
from autopilot.cli.demo.honest import STRATEGY
from autopilot.cli.demo.person import run_at_terminal
from autopilot.cli.reference import SHAPES

COMMAND = [sys.executable, "-m", "autopilot.cli.main"]
AGENT = {"AUTOPILOT_ACTOR": "agent-7", "AUTOPILOT_SESSION": "s-1", "AUTOPILOT_ACTOR_KIND": "agent"}
PERSON = {"AUTOPILOT_ACTOR": "ada", "AUTOPILOT_SESSION": "tty-1", "AUTOPILOT_ACTOR_KIND": "human"}


@dataclass(frozen=True)
class Result:
    """What one call answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on stdout."""
        shown: dict[str, Any] = json.loads(self.out)
        assert shown["schema_version"] == 1
        return shown

    @property
    def codes(self) -> list[str]:
        """The reason codes of the error object."""
        return [reason["code"] for reason in self.json["error"]["reasons"]]

    def shaped(self, command: str, *further: str) -> dict[str, Any]:
        """The object, which holds exactly what the reference says of `command`."""
        shown = self.json
        assert set(shown) == {"schema_version", *SHAPES[command], *further}
        return shown


@dataclass
class Repo:
    """A repository and the command line in it."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)

    def run(self, *words: str, env: dict[str, str] | None = None, check: int | None = None) -> Result:
        """Run `autopilot WORDS` without a terminal."""
        environment = _environment({**self.environ, **(AGENT if env is None else env)})
        done = warm_cli.run(words, cwd=self.root, env=environment, timeout=120)
        result = Result(done.returncode, done.stdout, done.stderr)
        assert result.code == check or check is None, (result.code, result.out, result.err)
        return result

    def quick(
        self, *words: str, env: dict[str, str] | None = None, check: int | None = None, typed: str | None = None
    ) -> Result:
        """As `run`, inside this process: for tables of many calls. What a process adds is tested with `run`.

        With `typed`, stdin is a pseudo-terminal on which that line waits to be read.
        """
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
        environment = _environment({**self.environ, **(AGENT if env is None else env)})
        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.dict(os.environ, environment, clear=True))
            stack.enter_context(contextlib.chdir(self.root))
            stack.enter_context(mock.patch.object(sys, "stdin", stack.enter_context(_stdin(typed))))
            stack.enter_context(contextlib.redirect_stdout(out))
            stack.enter_context(contextlib.redirect_stderr(err))
            code = main.main(list(words))
        result = Result(code, *(stream.buffer.getvalue().decode() for stream in (out, err)))
        assert result.code == check or check is None, (result.code, result.out, result.err)
        return result

    def person(self, *words: str, check: int | None = None, typed: str = "y") -> Result:
        """As `quick`, as a person who sits at a terminal and answers questions with `typed`."""
        return self.quick(*words, env=PERSON, check=check, typed=typed)

    def at_terminal(self, typed: str, *words: str) -> tuple[int, str]:
        """Run `autopilot WORDS` at a pseudo-terminal and type something at its first question."""
        return run_at_terminal([*COMMAND, *words], self.root, typed + "\n")

    @property
    def state(self) -> Path:
        """The state directory."""
        return self.root / "state"

    @property
    def segment(self) -> Path:
        """The first segment of the ledger."""
        return self.state / "ledger" / "seg" / f"{0:016d}.jsonl"

    def lines(self) -> int:
        """How many lines the ledger has."""
        return self.segment.read_bytes().count(b"\n")

    def files(self) -> dict[str, bytes]:
        """Every file but git's own, the engine's git objects and the caches: what a dry run must not change."""
        left_out = (".git", "git", "cache")
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and not set(left_out) & set(path.relative_to(self.root).parts)
        }

    def write_strategy(self, task: str = "T-1") -> Path:
        """A strategy that the engine accepts."""
        path = self.state / "evidence" / task / "strategize" / "strategy.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(STRATEGY)
        return path


@contextlib.contextmanager
def _stdin(typed: str | None) -> Iterator[IO[str]]:
    """A program's stdin: a pseudo-terminal with one line typed, or nothing to read and nobody there."""
    if typed is None:
        with open(os.devnull) as nothing:  # noqa: PTH123
            yield nothing
        return
    keyboard, terminal = pty.openpty()
    try:
        os.write(keyboard, typed.encode() + b"\n")
        with os.fdopen(terminal) as stdin:
            yield stdin
    finally:
        os.close(keyboard)


def _environment(further: dict[str, str]) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AUTOPILOT_", "OTEL_"))}
    return {**kept, **further}
