"""`autopilot advance` and `task close`: the move to the next stage, or its plan.

With `--dry-run` the engine judges the move as it would (its checks run), nothing is appended, no lease is taken, and
the exit code is the one the move would give.
"""

from __future__ import annotations

from argparse import Namespace

from autopilot.cli import console, opened, options
from autopilot.cli.options import Call, Parser
from autopilot.cli.remedies import spelt_out
from autopilot.cli.shapes import move_dict, task_dict
from autopilot.kernel.errors import TransitionRefusedError
from autopilot.kernel.phases import Phase, Terminal, parse_stage
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.process.state import TaskState
from autopilot.wiring.full import Workspace


def parser() -> Parser:
    """The parser of `autopilot advance`."""
    advancing = options.command(
        "advance",
        "move a task to its next phase: its evidence is collected, judged and sealed",
        mutating=True,
        task=True,
    )
    advancing.add_argument("--to", metavar="PHASE", help="the phase you mean; anything but the next one is a violation")
    return advancing


def run(name: str, words: list[str]) -> int:
    """Move the task, or show the plan."""
    del name
    args = parser().parse_args(words)
    call = options.read_call(args)
    if args.to:
        parse_stage(args.to)
    return _move(call, options.task_named(args), args.to)


def close_task(args: Namespace, call: Call) -> int:
    """MONITOR to CLOSED."""
    return _move(call, options.task_named(args), Terminal.CLOSED)


def _move(call: Call, task_id: str, to: str | None) -> int:
    if call.dry_run:
        return _plan(call, task_id, to)
    with opened.writing(call) as workspace:
        task = workspace.tasks.show(task_id)
        console.say(f"{task_id}: checking what {task.stage} must be left with")
        entry = workspace.enforcer.advance_phase(task_id, to, caller=call.caller, lease=call.claim())
        shown = task_dict(workspace, workspace.tasks.show(task_id))
    move = move_dict(entry)
    lines = [f"{task_id}: {move['from']} -> {move['to']}, ledger line {entry.seq} {entry.hash[:12]}"]
    if call.claim() is not None and shown["lease"]:
        lines.append(f"the lease goes on with the same token under fence {shown['lease']['fence']}")
    call.answer({"task": shown, "move": move}, *lines)
    ended = move["to"] in Terminal.__members__
    console.next_step("autopilot ledger verify" if ended else f"autopilot next {task_id} --write")
    return 0


def _plan(call: Call, task_id: str, to: str | None) -> int:
    with opened.judging(call) as workspace:
        task = workspace.tasks.show(task_id)
        target = parse_stage(to) if to else _following(task)
        verdict = workspace.enforcer.preview(task_id, to, caller=call.caller, lease=call.claim())
        _show_plan(workspace, task, str(target), verdict)
    if not verdict.admitted:
        raise TransitionRefusedError(verdict)
    shown = {
        "task": task_id,
        "from": task.stage,
        "to": str(target),
        "observed": [spelt_out(reason.as_dict(), task_id) for reason in verdict.observed],
        "approvals": list(verdict.consumed),
    }
    call.answer(shown, f"{task_id} would move from {task.stage} to {target}")
    console.next_step(f"autopilot advance {task_id}")
    return 0


def _following(task: TaskState) -> str:
    return str(task.phase.following) if isinstance(task.phase, Phase) else str(Terminal.CLOSED)


def _show_plan(workspace: Workspace, task: TaskState, target: str, verdict: Verdict) -> None:
    met, unmet, waiting = console.marks()
    console.say(
        f"Plan  {task.id}  {console.clean(task.title)}   {task.stage} -> {target}   epoch {task.epoch}"
        f"   trust mode {workspace.engine.trust_mode}"
    )
    left = list(verdict.reasons)
    out_of_order = any(reason.standing.name in ("SEQUENCE", "LEASE") for reason in left)
    if isinstance(task.phase, Phase) and not out_of_order:
        for artifact in workspace.engine.profile(task).contract(task.phase).artifacts:
            mine = [reason for reason in left if _concerns(reason, artifact.name)]
            left = [reason for reason in left if reason not in mine]
            sign = met if not mine else waiting if all(reason.subject for reason in mine) else unmet
            console.say(
                f"  {sign} {artifact.name:<26} {artifact.origin:<9} {', '.join(dict.fromkeys(r.code for r in mine))}"
            )
    for reason in left:
        console.say(f"  {waiting if reason.subject else unmet} {reason.code:<26} {console.clean(reason.detail)}")
    for reason in verdict.observed:
        console.say(f"  {met} {reason.code:<26} observed only: {console.clean(reason.detail)}")


def _concerns(reason: Reason, artifact: str) -> bool:
    return reason.where == artifact or reason.where.startswith((f"{artifact}:", f"{artifact} ", f"{artifact}#"))
