"""`autopilot lease`: acquire, renew, release, force, show.

The token is printed once, by `acquire`. A caller that keeps to one session needs no token; one that wants to be sure
of acting under this very lease sets `AUTOPILOT_LEASE=<fence>:<token>`.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable

from autopilot.cli import console, opened, options
from autopilot.cli.options import Call, Parser
from autopilot.cli.shapes import lease_dict
from autopilot.kernel.errors import ContractError


def parser() -> Parser:
    """The parser of `autopilot lease`."""
    lease = options.command("lease", "take and give back the lease of a task's current phase")
    verbs = options.verbs_of(lease)
    options.verb(verbs, "acquire", "take the phase; prints the token, once", mutating=True, task=True)
    options.verb(verbs, "renew", "more time for your lease", mutating=True, task=True)
    options.verb(verbs, "release", "give your lease back", mutating=True, task=True)
    forcing = options.verb(verbs, "force", "take the lease away from its holder (a person)", mutating=True, task=True)
    forcing.add_argument("--reason", required=True, help="why it is taken away")
    options.verb(verbs, "show", "who holds the phase", task=True)
    return lease


def run(name: str, words: list[str]) -> int:
    """Run one verb."""
    del name
    args = parser().parse_args(words)
    return _VERBS[args.verb](args, options.read_call(args))


def _acquire(args: Namespace, call: Call) -> int:
    task_id = options.task_named(args)
    with opened.writing(call) as workspace:
        granted = workspace.leases.acquire(task_id, caller=call.caller)
        shown = lease_dict(granted.lease, workspace)
    # A rehearsed token opens nothing.
    shown["token"] = "" if call.dry_run else granted.token
    lines = [f"{shown['resource']}: fence {shown['fence']}, {shown['expires_in_seconds']} s"]
    if not call.dry_run:
        lines.append(f"export AUTOPILOT_LEASE={shown['fence']}:{shown['token']}")
    call.answer(shown, *lines)
    console.next_step(f"autopilot next {task_id}")
    return 0


def _renew(args: Namespace, call: Call) -> int:
    task_id = options.task_named(args)
    with opened.writing(call) as workspace:
        shown = lease_dict(workspace.leases.renew(task_id, caller=call.caller, lease=call.claim()), workspace)
    call.answer(shown, f"{shown['resource']}: fence {shown['fence']}, {shown['expires_in_seconds']} s")
    console.next_step(f"autopilot next {task_id}")
    return 0


def _release(args: Namespace, call: Call) -> int:
    task_id = options.task_named(args)
    with opened.writing(call) as workspace:
        task = workspace.tasks.show(task_id)
        workspace.leases.release(task_id, caller=call.caller, lease=call.claim())
    call.answer({"task": task_id, "released": f"{task_id}/{task.stage}"}, f"released {task_id}/{task.stage}")
    console.next_step(f"autopilot lease show {task_id}")
    return 0


def _force(args: Namespace, call: Call) -> int:
    task_id = options.task_named(args)
    if not args.reason.strip():
        raise ContractError("reason_missing", where="--reason", detail="why is the lease taken away?")
    options.require_person(call, "lease force")
    with opened.writing(call) as workspace:
        # What is shown is what is taken: if another holds it by then, the engine refuses (`lease_changed`).
        observed = workspace.leases.observed(task_id)
        held = workspace.leases.held(task_id)
        taken = held.shown(workspace.engine.now()) if held else None
        if taken is None:
            console.say(f"{task_id}: nobody holds the phase; the fence is raised, so that no earlier holder returns")
        else:
            who = console.clean(str(taken["actor"]))
            console.say(f"{task_id}: taking {taken['resource']}, fence {taken['fence']}, from {who}")
        fence = workspace.leases.force(task_id, caller=call.caller, reason=args.reason, observed=observed)
    call.answer(
        {"task": task_id, "taken": taken, "fence": fence},
        f"{task_id}: the highest fence is {fence} now; what was asserted under a lower one counts no more",
    )
    console.next_step(f"autopilot next {task_id}")
    return 0


def _show(args: Namespace, call: Call) -> int:
    task_id = options.task_named(args)
    with opened.reading(call) as workspace:
        task = workspace.tasks.show(task_id)
        held = workspace.leases.held(task_id)
        shown = held.shown(workspace.engine.now()) if held else None
        fence = workspace.ledger.view().leases.fence_high(task_id)
    if call.as_json:
        console.emit({"task": task_id, "phase": task.stage, "lease": shown, "highest_fence": fence})
    elif shown is None:
        console.show(f"{task_id}/{task.stage} is free; highest fence {fence}")
    else:
        who = console.clean(str(shown["actor"]))
        console.show(
            f"{shown['resource']}: held by {who}, fence {shown['fence']}, {shown['expires_in_seconds']} s left"
        )
    console.next_step(f"autopilot next {task_id}")
    return 0


_VERBS: dict[str, Callable[[Namespace, Call], int]] = {
    "acquire": _acquire,
    "renew": _renew,
    "release": _release,
    "force": _force,
    "show": _show,
}
