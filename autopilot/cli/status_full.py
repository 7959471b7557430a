"""The long way of `autopilot status`: reads the ledger, shows, and keeps a snapshot for the next time."""

from __future__ import annotations

import contextlib
from typing import Any

from autopilot.cli import opened, options, snapshot
from autopilot.cli.options import Parser
from autopilot.cli.status import with_times


def parser() -> Parser:
    """The parser of `autopilot status`."""
    return options.command("status", "every open task, the ones that ended last, and what each waits for")


def read_status(name: str, words: list[str]) -> tuple[bool, dict[str, Any]]:
    """Whether JSON is wanted, and what to show."""
    del name
    call = options.read_call(parser().parse_args(words))
    with opened.reading(call) as workspace:
        taken = snapshot.take(workspace)
        if not workspace.is_remote:
            with contextlib.suppress(OSError):
                snapshot.write(workspace, taken)
        now = workspace.engine.now()
        return call.as_json, with_times(taken, now.boot_id, now.boot_ns)
