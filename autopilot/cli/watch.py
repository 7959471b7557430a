"""`autopilot watch`: the watchdog looks at every open task, once or until it is interrupted."""

from __future__ import annotations

import time
from argparse import ArgumentTypeError
from typing import Any

from autopilot.cli import console, opened, options
from autopilot.cli.options import Call, Parser

WAITING = 4


def parser() -> Parser:
    """The parser of `autopilot watch`."""
    watching = options.command(
        "watch", "hold tasks that repeat violations or make no progress; they wait for a person then", mutating=True
    )
    watching.add_argument("--once", action="store_true", help="look once; exit 4 if a task was held")
    watching.add_argument("--interval", type=_seconds, default=30, metavar="SECONDS", help="between looks (default 30)")
    return watching


def run(name: str, words: list[str]) -> int:
    """Look; 0 if nothing was escalated, 4 if a task waits for a person now."""
    del name
    args = parser().parse_args(words)
    call = options.read_call(args)
    once = args.once or call.dry_run or call.as_json
    while True:
        found = _look(call)
        for escalation in found if not call.as_json else ():
            console.show(f"{escalation['task']}: {escalation['cause']} {escalation['kind']}".rstrip())
            console.next_step(f"a person runs `autopilot task resume {escalation['task']} --reason TEXT` at a terminal")
        if once:
            break
        time.sleep(args.interval)
    if call.as_json:
        console.emit({"escalations": found})
    elif not found:
        console.next_step("autopilot status")
    return WAITING if found else 0


def _look(call: Call) -> list[dict[str, Any]]:
    with opened.writing(call) as workspace:
        return [
            {"task": escalation.task, **escalation.as_data()}
            for escalation in workspace.watchdog.look_at_all(call.caller)
        ]


def _seconds(text: str) -> int:
    seconds = options.count(text)
    if seconds > 86_400:
        raise ArgumentTypeError(f"{seconds} seconds are more than a day")
    return seconds
