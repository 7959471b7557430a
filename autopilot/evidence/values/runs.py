"""A command as the engine ran it, and what its outcome alone says."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from autopilot.evidence.values.records import Count, Record, Sha256, ShortText, Value
from autopilot.kernel.reasons import Reason

TAIL_CHARACTERS = 300
MAX_QUOTED = 200

# What a terminal would do rather than show: colours, cursor moves, titles.
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")


class CommandRun(Value):
    """One run. `exit_code` is None where the command did not start or was killed; `signal` says by what.

    The output is an object of its own, named by its digest, and `tail` is the end of it, so that a refusal can quote
    it; `isolation` is the driver that really ran it.
    """

    argv: Annotated[tuple[str, ...], Field(min_length=1, max_length=256)]
    exit_code: Annotated[int, Field(ge=-255, le=255)] | None
    signal: Annotated[int, Field(ge=1, le=128)] | None = None
    timed_out: bool = False
    truncated: bool = False
    duration_ms: Count
    isolation: Literal["bwrap", "user", "none"]
    executable_sha256: Sha256 | None = Field(default=None, description="of the program that argv[0] resolved to")
    deps_sha256: Sha256 | None = Field(default=None, description="of the dependencies that commands.setup provided")
    output_sha256: Sha256
    output_bytes: Count
    tail: ShortText = Field(default="", description="the last 300 printable characters of the output, on one line")

    @property
    def succeeded(self) -> bool:
        """It ran to its end and exited 0. Cut output does not change what it did."""
        return self.exit_code == 0 and not self.timed_out and self.signal is None

    @property
    def started(self) -> bool:
        """False where nothing ran: no exit code, no signal, no timeout, or the shell's 126 and 127."""
        if self.timed_out or self.signal is not None:
            return True
        return self.exit_code is not None and self.exit_code not in (126, 127)

    @property
    def end(self) -> str:
        """How it ended, in words that follow the command's name."""
        if self.timed_out:
            return f"ran over its time, {self.duration_ms} ms"
        if self.signal is not None:
            return f"was killed by signal {self.signal}"
        return f"exited {self.exit_code}" if self.started else "did not start"

    @property
    def quoted(self) -> str:
        """The end of the output to stand behind a sentence, or nothing where it wrote nothing."""
        return f"; its output ends: {self.tail[-MAX_QUOTED:]}" if self.tail else ""


class CommandEvidence(Record):
    """What a configured command did. Not configured is stated, not left out: then there is no run."""

    configured: bool = True
    run: CommandRun | None = None


class CiResults(CommandEvidence):
    """ci_results.json."""

    artifact = "ci_results.json"


class SmokeTestResults(CommandEvidence):
    """smoke_test_results.json."""

    artifact = "smoke_test_results.json"


def tail_of(output: bytes) -> str:
    """The last TAIL_CHARACTERS printable characters of `output` on one line: what a person would look at first.

    Escape sequences go, and so does everything that does not print: a refusal is shown at a terminal.
    """
    # Enough bytes for the characters wanted, most of them invisible; never the whole of a long output.
    text = _ESCAPE.sub("", output[-64 * TAIL_CHARACTERS :].decode("utf-8", "replace"))
    shown = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(shown.split())[-TAIL_CHARACTERS:].lstrip()


def check_run(run: CommandRun, where: str) -> tuple[Reason, ...]:
    """`command_timed_out`, `command_failed` or `output_truncated`, as the run shows."""
    shown = " ".join(run.argv)[:120]
    if run.timed_out:
        return (Reason("command_timed_out", detail=f"`{shown}` {run.end}{run.quoted}", where=where),)
    if not run.succeeded:
        return (Reason("command_failed", detail=f"`{shown}` {run.end}{run.quoted}", where=where),)
    if run.truncated:
        # What the cap cut off was not seen by anyone: the run is not evidence of a clean end.
        return (Reason("output_truncated", detail=f"`{shown}` wrote over the cap", where=where),)
    return ()


def check_configured(evidence: CommandEvidence, *, may_be_empty: bool) -> tuple[Reason, ...]:
    """`not_configured` unless the profile allows it; `artifact_invalid` if the record contradicts itself."""
    if evidence.configured != (evidence.run is not None):
        detail = "a configured command has a run, one that is not configured has none"
        return (Reason("artifact_invalid", detail=detail, where=evidence.artifact),)
    if not evidence.configured and not may_be_empty:
        return (Reason("not_configured", detail="there is no command for it", where=evidence.artifact),)
    return ()
