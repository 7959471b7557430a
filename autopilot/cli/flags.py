"""`autopilot flags`: list and set the modes of the enforcements."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from collections.abc import Callable

from autopilot.cli import console, opened, options
from autopilot.cli.options import Call, Parser
from autopilot.kernel.flags import Mode, effective, parse_mode
from autopilot.wiring.full import Workspace


def parser() -> Parser:
    """The parser of `autopilot flags`."""
    flags = options.command("flags", "the modes of the enforcements: off, observe, enforce")
    verbs = options.verbs_of(flags)
    options.verb(verbs, "list", "every flag: the mode in force, what is sealed, what file and environment ask for")
    setting = options.verb(verbs, "set", "seal a mode; only a person loosens", mutating=True)
    setting.add_argument("flag", metavar="NAME", help="the flag")
    setting.add_argument("mode", metavar="MODE", choices=[mode.word for mode in Mode], help="off, observe or enforce")
    setting.add_argument("--reason", required=True, help="why it changes")
    return flags


def run(name: str, words: list[str]) -> int:
    """Run one verb."""
    del name
    args = parser().parse_args(words)
    return _VERBS[args.verb](args, options.read_call(args))


def _list(args: Namespace, call: Call) -> int:
    del args
    with opened.reading(call) as workspace:
        flags = [dataclasses.asdict(flag) for flag in workspace.flags.list()]
    if call.as_json:
        console.emit({"flags": flags})
        return 0
    rows = [(f["name"], f["mode"], f["sealed"] or "-", f["requested"] or "-", f["title"]) for f in flags]
    console.table(("flag", "mode", "sealed", "requested", "what it switches"), rows)
    return 0


def _set(args: Namespace, call: Call) -> int:
    with opened.writing(call) as workspace:
        if _loosens(workspace, args.flag, args.mode):
            options.require_person(call, f"flags set {args.flag} {args.mode}")
        entry = workspace.flags.set(args.flag, args.mode, reason=args.reason, caller=call.caller)
        status = next(flag for flag in workspace.flags.list() if flag.name == args.flag)
    shown = {"flags": [dataclasses.asdict(status)], "seq": entry.seq}
    call.answer(shown, f"{args.flag}: {status.mode} is in force, ledger line {entry.seq}")
    console.next_step("autopilot flags list")
    return 0


def _loosens(workspace: Workspace, name: str, mode: str) -> bool:
    """Whether the mode is weaker than the one sealed (or the default): what only a person may ask for."""
    wanted = parse_mode(mode, name)
    sealed = next(flag.sealed for flag in workspace.flags.list() if flag.name == name)
    return wanted < effective(name, parse_mode(sealed, name) if sealed else None, None)


_VERBS: dict[str, Callable[[Namespace, Call], int]] = {"list": _list, "set": _set}
