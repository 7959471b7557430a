"""`autopilot attest`: check holds a prompt against its baseline, baseline moves the baseline on purpose."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from autopilot.cli import console, opened, options
from autopilot.cli.options import Call, Parser
from autopilot.kernel.errors import ContractError, TransitionRefusedError
from autopilot.kernel.files import read_regular
from autopilot.kernel.reason_codes import REASON_CODES
from autopilot.kernel.reasons import refused

_PROMPT_CAP_BYTES = 16 * 1024 * 1024


def parser() -> Parser:
    """The parser of `autopilot attest`."""
    attest = options.command("attest", "hold the agent's prompt against the one attested for the phase")
    verbs = options.verbs_of(attest)
    checking = options.verb(
        verbs, "check", "attest a prompt; the first one of a phase is its baseline", mutating=True, task=True
    )
    moving = options.verb(verbs, "baseline", "make a prompt the phase's baseline (a person)", mutating=True, task=True)
    for verb in (checking, moving):
        verb.add_argument("--prompt", required=True, metavar="FILE", help="the prompt's exact bytes")
    moving.add_argument("--reason", required=True, help="why the baseline moves")
    return attest


def run(name: str, words: list[str]) -> int:
    """Run one verb."""
    del name
    args = parser().parse_args(words)
    return _VERBS[args.verb](args, options.read_call(args))


def _prompt(args: Namespace) -> bytes:
    path = Path(args.prompt).absolute()
    try:
        return read_regular(path.parent.resolve(), path.name, cap=_PROMPT_CAP_BYTES)
    except ContractError as error:
        detail = "no such file" if error.code == "artifact_missing" else REASON_CODES[error.code].title
        remedy = "name a plain file that holds the prompt's exact bytes: --prompt FILE"
        raise ContractError(error.code, where=args.prompt, detail=detail, remedy=remedy) from None


def _check(args: Namespace, call: Call) -> int:
    task_id, prompt = options.task_named(args), _prompt(args)
    with opened.writing(call) as workspace:
        answer = workspace.attestation.check(task_id, prompt, caller=call.caller)
    if answer.reasons:
        raise TransitionRefusedError(refused(answer.reasons))
    data = answer.as_data()
    shown = {"task": task_id, **data, "drift": answer.drift}
    call.answer(shown, f"{task_id}/{data['phase']}: {data['outcome']}, sha256 {data['sha256']}")
    if answer.warning is not None:
        console.say(
            f"warning: {answer.warning.code}: {answer.warning.detail}; recorded, and the move is not refused for it"
        )
    console.next_step(f"autopilot next {task_id}")
    return 0


def _baseline(args: Namespace, call: Call) -> int:
    task_id, prompt = options.task_named(args), _prompt(args)
    options.require_person(call, "attest baseline")
    with opened.writing(call) as workspace:
        entry = workspace.attestation.change_baseline(task_id, prompt, reason=args.reason, caller=call.caller)
    shown = {"task": task_id, "sha256": entry.prompt, "seq": entry.seq}
    call.answer(shown, f"{task_id}: the baseline is {entry.prompt} now, ledger line {entry.seq}")
    console.next_step(f"autopilot next {task_id}")
    return 0


_VERBS: dict[str, Callable[[Namespace, Call], int]] = {"check": _check, "baseline": _baseline}
