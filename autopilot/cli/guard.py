"""`autopilot guard`: may this tool be called now? `check` records a refusal, `explain` records nothing."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from autopilot.cli import console, opened, options
from autopilot.cli.failure import show_reasons
from autopilot.cli.options import Parser
from autopilot.cli.remedies import spelt_out
from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError
from autopilot.process.router import Judgement, ToolCall

_EXAMPLE = """give the tool's input as one JSON object, quoted for your shell: --input '{"command": "ls"}'"""


def parser() -> Parser:
    """The parser of `autopilot guard`."""
    guard = options.command("guard", "hold a tool call against the task's phase: exit 0 allow, 1 deny")
    verbs = options.verbs_of(guard)
    checking = options.verb(verbs, "check", "judge the call; a refusal goes on the ledger", mutating=True)
    explaining = options.verb(verbs, "explain", "judge the call and record nothing")
    for verb in (checking, explaining):
        verb.add_argument("--tool", required=True, metavar="NAME", help="the tool's name, as its host calls it")
        verb.add_argument("--input", required=True, metavar="JSON", help="the tool's input, a JSON object")
        verb.add_argument("--server", default="", help="the MCP server the tool is of")
        verb.add_argument(
            "--task", default="", help="the task (default: AUTOPILOT_TASK; without one only reading passes)"
        )
    return guard


def run(name: str, words: list[str]) -> int:
    """Judge one call; 0 allow, 1 deny."""
    del name
    args = parser().parse_args(words)
    call = options.read_call(args)
    task = args.task or call.environ.get("AUTOPILOT_TASK", "")
    asked = ToolCall(tool=args.tool, input=_input(args.input), server=args.server, task=task)
    record = args.verb == "check" and not call.dry_run
    with opened.writing(call) if record else opened.reading(call) as workspace:
        answer: Judgement = workspace.router.judge(asked, caller=_judged_as(call.caller), record=record)
    shown = _dict(answer, task)
    if call.as_json:
        console.emit(shown)
    else:
        console.show(f"{shown['decision']}  {args.tool}  {answer.capability or 'no capability'}  rule {answer.rule}")
        show_reasons(shown["reasons"])
        console.say(f"allowed now: {', '.join(answer.allowed_now) or 'nothing'}")
    return 0 if answer.verdict.admitted else 1


def _judged_as(caller: Caller) -> Caller:
    """Hosts ask for what their agent does: a variable that they inherited from a person's shell lifts nothing."""
    if caller.kind == "human" and not console.at_terminal():
        return dataclasses.replace(caller, kind="agent")
    return caller


def _input(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ContractError("bad_json", where="--input", detail=str(error), remedy=_EXAMPLE) from None
    if not isinstance(value, dict):
        raise ContractError("bad_json", where="--input", detail="not a JSON object", remedy=_EXAMPLE)
    return value


def _dict(answer: Judgement, task: str) -> dict[str, Any]:
    verdict = answer.verdict
    return {
        "decision": "allow" if verdict.admitted else "deny",
        "rule": answer.rule,
        "capability": answer.capability,
        # In mode observe the call is allowed, and the reasons say what enforcing would refuse.
        "reasons": [spelt_out(reason.as_dict(), task) for reason in (*verdict.reasons, *verdict.observed)],
        "allowed_now": list(answer.allowed_now),
        "seq": answer.seq,
    }
