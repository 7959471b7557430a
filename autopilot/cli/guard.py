"""`autopilot guard`: may this tool be called now? `check` records a refusal, `explain` records nothing."""

from __future__ import annotations

import json
from typing import Any

from autopilot.cli import console, opened, options
from autopilot.cli.failure import show_reasons
from autopilot.cli.options import Parser
from autopilot.kernel.errors import ContractError
from autopilot.process.router import Judgement, ToolCall


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
        answer: Judgement = workspace.router.judge(asked, caller=call.caller, record=record)
    shown = _dict(answer)
    if call.as_json:
        console.emit(shown)
    else:
        console.show(f"{shown['decision']}  {args.tool}  {answer.capability or 'no capability'}  rule {answer.rule}")
        show_reasons(shown["reasons"])
        console.say(f"allowed now: {', '.join(answer.allowed_now) or 'nothing'}")
    return 0 if answer.verdict.admitted else 1


def _input(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ContractError("bad_json", where="--input", detail=str(error)) from None
    if not isinstance(value, dict):
        raise ContractError("bad_json", where="--input", detail="not a JSON object", remedy='write {"command": "ls"}')
    return value


def _dict(answer: Judgement) -> dict[str, Any]:
    verdict = answer.verdict
    return {
        "decision": "allow" if verdict.admitted else "deny",
        "rule": answer.rule,
        "capability": answer.capability,
        # In mode observe the call is allowed, and the reasons say what enforcing would refuse.
        "reasons": [reason.as_dict() for reason in (*verdict.reasons, *verdict.observed)],
        "allowed_now": list(answer.allowed_now),
        "seq": answer.seq,
    }
