"""`autopilot next`: what the task's phase still misses, what waits for a person, and skeletons to start from."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter

from autopilot.cli import console, opened, options
from autopilot.cli.options import Call, Parser
from autopilot.cli.remedies import named, spelt_out
from autopilot.kernel.phases import Phase, Terminal
from autopilot.kernel.reasons import Reason
from autopilot.process.guidance import Missing, NextSteps
from autopilot.process.state import TaskState
from autopilot.wiring.full import Workspace


def parser() -> Parser:
    """The parser of `autopilot next`."""
    steps = options.command(
        "next",
        "what the task's current phase still misses; nothing runs and nothing is appended",
        mutating=True,
        task=True,
    )
    steps.add_argument("--write", action="store_true", help="write the skeleton of each document that is not there")
    return steps


def run(name: str, words: list[str]) -> int:
    """Show what is missing; exit 0 whatever is."""
    del name
    args = parser().parse_args(words)
    call, task_id = options.read_call(args), options.task_named(args)
    with opened.judging(call) as workspace:
        task = workspace.tasks.show(task_id)
        written = _write(workspace, task, call) if args.write else ()
        steps = workspace.guidance.next_steps(task_id, caller=call.caller)
        steps = dataclasses.replace(steps, missing=(*_held(task), *steps.missing))
        last = _next(steps)
        if call.as_json:
            _emit(steps, written, wrote=args.write)
        else:
            _show(steps, written, workspace, call)
    console.next_step(last)
    return 0


def _write(workspace: Workspace, task: TaskState, call: Call) -> tuple[str, ...]:
    if not call.dry_run:
        return tuple(workspace.guidance.write_skeletons(task.id, caller=call.caller))
    if isinstance(task.phase, Terminal):
        return ()
    folder = workspace.engine.evidence_dir(task.id, task.phase.folder)
    return tuple(
        f"{task.id}/{task.phase.folder}/{artifact.name}"
        for artifact in workspace.engine.profile(task).contract(task.phase).artifacts
        if artifact.origin == "asserted" and not os.path.lexists(folder / artifact.name)
    )


def _emit(steps: NextSteps, written: tuple[str, ...], *, wrote: bool) -> None:
    missing = [
        spelt_out(
            {"artifact": m.artifact, "code": m.code, "detail": m.detail, "remedy": m.remedy, "command": m.command},
            steps.task.id,
        )
        for m in _grouped(steps)
    ]
    approvals = [{"subject": need.subject, "kind": need.kind, "why": need.why} for need in steps.approvals]
    shown = {"task": steps.task.id, "phase": steps.task.stage, "missing": missing, "approvals": approvals}
    console.emit({**shown, "written": list(written)} if wrote else shown)


def _grouped(steps: NextSteps) -> Counter[Missing]:
    """What is missing, each once and in its order, with the number of places that miss it."""
    return Counter(steps.missing)


def _advice(missing: Missing) -> tuple[str, str, str]:
    return missing.artifact, missing.code, missing.remedy


def _held(task: TaskState) -> tuple[Missing, ...]:
    """That the task is held, which no work on the phase changes."""
    if not task.held or isinstance(task.phase, Terminal):
        return ()
    reason = Reason("task_held", detail=task.held)
    command = f"autopilot task resume {task.id} --reason TEXT"
    return (Missing("task", reason.code, reason.detail, reason.remedy, command),)


def _show(steps: NextSteps, written: tuple[str, ...], workspace: Workspace, call: Call) -> None:
    task = steps.task
    console.show(f"{task.id} is in {task.stage}, epoch {task.epoch}")
    for path in written:
        console.show(f"  {'would write' if call.dry_run else 'wrote'} {workspace.engine.state_dir / 'evidence' / path}")
    grouped = list(_grouped(steps).items())
    for index, (missing, places) in enumerate(grouped):
        said = f"  {console.clean(missing.artifact)}: {missing.code} {console.clean(missing.detail)}".rstrip()
        console.show(f"{said} ({places} places)" if places > 1 else said)
        following = grouped[index + 1][0] if index + 1 < len(grouped) else None
        # One remedy below all that it is the remedy of.
        if following is None or _advice(following) != _advice(missing):
            console.show(f"    {console.clean(named(missing.remedy, task.id))}")
    for need in steps.approvals:
        console.show(f"  waits for a person: {console.clean(need.why)}")
        console.show(f"    autopilot approve {task.id} --subject {need.subject} --reason TEXT")
    if not steps.missing and not steps.approvals and isinstance(task.phase, Phase):
        console.show("  nothing is missing that can be told without running the phase's checks")


def _next(steps: NextSteps) -> str:
    task = steps.task
    if isinstance(task.phase, Terminal):
        return "autopilot status"
    if _held(task):
        return f"a person runs `{steps.missing[0].command}` at a terminal"
    if steps.missing:
        command, _, then = steps.missing[0].command.partition("   # then ")
        if then and steps.missing[0].code != "artifact_missing":
            return f"{then}, then autopilot advance {task.id}"
        return command or f"autopilot verify {task.id}"
    return f"autopilot advance {task.id}"
