"""`autopilot verify`: runs and records the engine's checks of the current phase; nothing moves."""

from __future__ import annotations

from autopilot.cli import console, opened, options
from autopilot.cli.failure import show_reasons
from autopilot.cli.options import Call, Parser
from autopilot.cli.remedies import spelt_out
from autopilot.kernel.errors import TransitionRefusedError
from autopilot.kernel.reasons import Verdict
from autopilot.wiring.full import Workspace


def parser() -> Parser:
    """The parser of `autopilot verify`."""
    return options.command(
        "verify", "run and record the engine's checks of the current phase; nothing moves", mutating=True, task=True
    )


def run(name: str, words: list[str]) -> int:
    """Check the phase; exits as its `advance` would."""
    del name
    args = parser().parse_args(words)
    call, task_id = options.read_call(args), options.task_named(args)
    with opened.judging(call) if call.dry_run else opened.writing(call) as workspace:
        task = workspace.tasks.show(task_id)
        console.say(f"{task_id}: running the checks of {task.stage}")
        verdict, seq = _judged(workspace, call, task_id)
    if not verdict.admitted:
        raise TransitionRefusedError(verdict, seq=seq)
    observed = [spelt_out(reason.as_dict(), task_id) for reason in verdict.observed]
    shown = {"task": task_id, "phase": task.stage, "verdict": "pass", "observed": observed, "seq": seq}
    call.answer(shown, f"{task_id}: {task.stage} passes its checks")
    show_reasons(observed)
    console.next_step(f"autopilot advance {task_id}")
    return 0


def _judged(workspace: Workspace, call: Call, task_id: str) -> tuple[Verdict, int | None]:
    """What the checks came to, and the ledger line that says so; a rehearsal has none."""
    if call.dry_run:
        return workspace.enforcer.preview(task_id, caller=call.caller, lease=call.claim()), None
    found = workspace.enforcer.verify(task_id, caller=call.caller, lease=call.claim())
    return found.verdict, found.seq
