"""`autopilot task`: open, list, show, close, resume."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable

from autopilot.cli import console, opened, options
from autopilot.cli.advance import close_task
from autopilot.cli.options import Call, Parser
from autopilot.cli.shapes import task_dict
from autopilot.kernel.errors import ContractError
from autopilot.onboarding.doctor import LINE_END_REMEDY, line_end_problem
from autopilot.process.profiles import PROFILES
from autopilot.vcs.obstacles import line_end_conversion

_UNCOMMITTED_SHOWN = 20


def parser() -> Parser:
    """The parser of `autopilot task`."""
    task = options.command("task", "open, list, show, close and resume tasks")
    verbs = options.verbs_of(task)
    opening = options.verb(verbs, "open", "open a task on the working tree as it is", mutating=True)
    opening.add_argument("task", metavar="ID", help="letters, digits, '.', '_' and '-', at most 64")
    opening.add_argument("--title", required=True, help="one line: what the task is for")
    opening.add_argument("--profile", default="code-change", help=f"one of {', '.join(PROFILES)} (default code-change)")
    options.verb(verbs, "list", "all tasks, in the order they were opened")
    options.verb(verbs, "show", "one task", task=True)
    closing = options.verb(verbs, "close", "close a task in MONITOR, or abandon it", mutating=True, task=True)
    closing.add_argument(
        "--abandon", action="store_true", help="end it unfinished, in any phase (a person, with --reason)"
    )
    closing.add_argument("--reason", default="", help="why it is abandoned")
    resuming = options.verb(verbs, "resume", "let a held task go on (a person)", mutating=True, task=True)
    resuming.add_argument("--reason", default="", help="why it may go on")
    return task


def run(name: str, words: list[str]) -> int:
    """Run one verb."""
    del name
    args = parser().parse_args(words)
    return _VERBS[args.verb](args, options.read_call(args))


def _open(args: Namespace, call: Call) -> int:
    with opened.writing(call) as workspace:
        task = workspace.tasks.open(args.task, title=args.title, profile=args.profile, caller=call.caller)
        loose = workspace.inspection.uncommitted(task.id)
        shown = {"task": task_dict(workspace, task), "uncommitted": list(loose)}
        setting = line_end_conversion(workspace.repository, call.environ)
    call.answer(shown, f"opened {task.id} in {task.stage}, on tree {task.base_tree}")
    if setting:
        console.say(f"warning: {console.clean(line_end_problem(setting))}")
        console.say(f"  next: {LINE_END_REMEDY}")
    if loose and not call.as_json:
        console.show(f"{len(loose)} uncommitted files count as changes of the task; commit them before, or plan them:")
        for path in loose[:_UNCOMMITTED_SHOWN]:
            console.show(f"  {console.clean(path)}")
        if len(loose) > _UNCOMMITTED_SHOWN:
            console.show(f"  and {len(loose) - _UNCOMMITTED_SHOWN} more")
    console.next_step(f"autopilot next {args.task} --write")
    return 0


def _list(args: Namespace, call: Call) -> int:
    del args
    with opened.reading(call) as workspace:
        tasks = [task_dict(workspace, task) for task in workspace.tasks.list()]
    if call.as_json:
        console.emit({"tasks": tasks})
        return 0
    rows = [(task["id"], task["phase"], str(task["epoch"]), task["profile"], task["title"]) for task in tasks]
    console.table(("task", "phase", "epoch", "profile", "title"), rows)
    console.next_step("autopilot status" if tasks else 'autopilot task open ID --title "what it is for"')
    return 0


def _show(args: Namespace, call: Call) -> int:
    with opened.reading(call) as workspace:
        shown = task_dict(workspace, workspace.tasks.show(options.task_named(args)))
    if call.as_json:
        console.emit({"task": shown})
        return 0
    lease = shown["lease"]
    holder = f"{lease['actor']}, fence {lease['fence']}, {lease['expires_in_seconds']} s left" if lease else "free"
    for field, value in (
        *((key, str(shown[key])) for key in ("id", "title", "profile", "phase", "epoch")),
        ("lease", holder),
    ):
        console.show(f"{field:<8} {console.clean(value)}")
    for reason in shown["waiting_on"]:
        console.show(f"waits    {console.clean(reason['detail'])}; {reason['remedy']}")
    console.next_step(f"autopilot next {shown['id']}")
    return 0


def _close(args: Namespace, call: Call) -> int:
    if not args.abandon:
        if args.reason:
            raise options.usage_error("only --abandon takes a --reason", "autopilot task close")
        return close_task(args, call)
    if not args.reason.strip():
        raise ContractError("reason_missing", where="--reason", detail="why is it abandoned?")
    options.require_person(call, "task close --abandon")
    with opened.writing(call) as workspace:
        task = options.task_named(args)
        entry = workspace.tasks.abandon(task, reason=args.reason, caller=call.caller)
        shown = {"task": task_dict(workspace, workspace.tasks.show(task)), "seq": entry.seq}
    call.answer(shown, f"abandoned {task}, ledger line {entry.seq}")
    console.next_step("autopilot status")
    return 0


def _resume(args: Namespace, call: Call) -> int:
    if not args.reason.strip():
        raise ContractError("reason_missing", where="--reason", detail="why may it go on?")
    options.require_person(call, "task resume")
    with opened.writing(call) as workspace:
        task = options.task_named(args)
        entry = workspace.tasks.resume(task, reason=args.reason, caller=call.caller)
        shown = {"task": task_dict(workspace, workspace.tasks.show(task)), "seq": entry.seq}
    call.answer(shown, f"resumed {task}, ledger line {entry.seq}")
    console.next_step(f"autopilot next {task}")
    return 0


_VERBS: dict[str, Callable[[Namespace, Call], int]] = {
    "open": _open,
    "list": _list,
    "show": _show,
    "close": _close,
    "resume": _resume,
}
