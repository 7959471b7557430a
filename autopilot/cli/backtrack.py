"""`autopilot backtrack`: back to an earlier phase; the evidence of that phase and later ones is retired."""

from __future__ import annotations

from autopilot.cli import console, opened, options
from autopilot.cli.options import Parser
from autopilot.cli.shapes import move_dict, task_dict


def parser() -> Parser:
    """The parser of `autopilot backtrack`."""
    back = options.command("backtrack", "send a task back to an earlier phase", mutating=True, task=True)
    back.add_argument("--to", metavar="PHASE", required=True, help="an earlier phase")
    back.add_argument("--reason", required=True, help="why it goes back")
    return back


def run(name: str, words: list[str]) -> int:
    """Move the task back."""
    del name
    args = parser().parse_args(words)
    call, task_id = options.read_call(args), options.task_named(args)
    with opened.writing(call) as workspace:
        entry = workspace.enforcer.backtrack(
            task_id, args.to, reason=args.reason, caller=call.caller, lease=call.claim()
        )
        task = workspace.tasks.show(task_id)
        move = move_dict(entry)
        shown = {"task": task_dict(workspace, task), "move": move}
    call.answer(shown, f"{task_id}: {move['from']} -> {move['to']}, epoch {task.epoch}, ledger line {entry.seq}")
    console.next_step(f"autopilot next {task_id} --write")
    return 0
