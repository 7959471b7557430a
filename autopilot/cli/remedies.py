"""Remedies as they are printed: with the task's id and the approval's subject in them, where both are known.

The table of reason codes knows no task: it says TASK and DIGEST. Who reads a refusal wants a line to type.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from autopilot.kernel.errors import ContractError
from autopilot.kernel.ids import parse_task_id

# As words of their own: AUTOPILOT_TASK is a name.
_TASK, _DIGEST = re.compile(r"\bTASK\b"), re.compile(r"\bDIGEST\b")


def spelt_out(reason: Mapping[str, Any], task: str) -> dict[str, Any]:
    """The reason (its `as_dict`) with `task` and its subject in the remedy; as it is where `task` is no task id.

    A reason that an approval would lift, and that only says so, gets the command that approves it.
    """
    if not is_task_id(task):
        return dict(reason)
    remedy, subject = named(reason["remedy"], task), reason.get("subject", "")
    if subject:
        remedy = _DIGEST.sub(subject, remedy)
        if subject not in remedy:
            remedy += f": `autopilot approve {task} --subject {subject} --reason TEXT` at a terminal"
    return {**reason, "remedy": remedy}


def named(remedy: str, task: str) -> str:
    """The remedy with the id `task` in the place of TASK."""
    return _TASK.sub(task, remedy)


def is_task_id(text: str) -> bool:
    """Whether `text` can be a task's id, so that it can stand in a command line as it is."""
    try:
        parse_task_id(text)
    except ContractError:
        return False
    return True


def task_of(name: str, words: list[str], environ: Mapping[str, str]) -> str:
    """The task that the command line `autopilot NAME WORDS` is about; empty where it names none or is not understood.

    Parsed a second time, and only for a failure: what a command knew when it failed is gone by then.
    """
    from autopilot.cli.completion import parser_of

    try:
        parser = parser_of(name)
        args = parser.parse_args(words) if parser is not None else None
    except (ContractError, SystemExit):
        return ""
    if not hasattr(args, "task"):
        return ""
    return str(getattr(args, "task", "") or environ.get("AUTOPILOT_TASK", ""))
