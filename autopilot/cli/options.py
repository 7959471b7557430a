"""The options that every command shares, and who is calling.

    parser = command("lease", "take and give back the phase of a task")
    verbs = verbs_of(parser)
    acquire = verb(verbs, "acquire", "take the phase", mutating=True, task=True)

The command line goes over the environment: `--actor` over `AUTOPILOT_ACTOR`, and so on. The default actor is
`cli:<uid>@<host>`; its kind is `human` at a terminal and `agent` without one; the session is the actor. Options may
stand before or behind a sub-command. They cannot be abbreviated: `--act` must not come to mean another option one day.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, cast

from autopilot.cli import console
from autopilot.kernel.callers import ActorKind, Caller
from autopilot.kernel.errors import ContractError, RefusedError
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.leases.terms import Claim

KINDS = ("human", "agent")
PROGRAM = "autopilot"


class Parser(argparse.ArgumentParser):
    """argparse, with its errors raised as ContractError `bad_usage` so that they leave as every other error does."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        if message.endswith("required: VERB"):
            message = f"one of these must follow: {', '.join(self._verbs())}"
        raise usage_error(message, self.prog)

    def _verbs(self) -> list[str]:
        return [name for action in self._actions if isinstance(action, Verbs) for name in action.choices or ()]


Verbs = argparse._SubParsersAction


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Who calls, from where, and in which form the answer is wanted."""

    caller: Caller
    directory: Path
    as_json: bool
    dry_run: bool
    environ: Mapping[str, str]

    def answer(self, shown: Mapping[str, Any], *lines: str) -> None:
        """The command's answer: one JSON object, or the lines for people. A rehearsal says in both that it was one."""
        if self.as_json:
            console.emit({**shown, "dry_run": True} if self.dry_run else shown)
            return
        for line in lines:
            console.show(f"dry run: {line}" if self.dry_run else line)

    def claim(self) -> Claim | None:
        """The lease that `AUTOPILOT_LEASE=<fence>:<token>` names, or None where it is not set."""
        text = self.environ.get("AUTOPILOT_LEASE", "")
        if not text:
            return None
        fence, _, token = text.partition(":")
        if not fence.isascii() or not fence.isdigit() or not token:
            # Not ignored: whoever names a lease wants to act under that one or not at all.
            message = "AUTOPILOT_LEASE is not <fence>:<token>, as `autopilot lease acquire` prints it"
            raise usage_error(message, remedy="set it to what was printed, or unset it to use the session's")
        return Claim(self.caller.session, int(fence), token)


def usage_error(message: str, program: str = PROGRAM, *, remedy: str = "") -> ContractError:
    """The error of a command line that is not understood."""
    return ContractError("bad_usage", where=program, detail=message, remedy=remedy or f"see `{program} --help`")


def count(text: str) -> int:
    """A number from 1 up, as an option's value."""
    number = int(text) if text.isascii() and text.isdigit() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 up")
    return number


def command(name: str, about: str, *, mutating: bool = False, task: bool = False) -> Parser:
    """A parser for `autopilot NAME` with the shared options."""
    parser = Parser(prog=f"{PROGRAM} {name}", description=about)
    return _equipped(parser, mutating=mutating, task=task)


def verbs_of(parser: Parser) -> Verbs[Parser]:
    """The place where a command's sub-commands go."""
    return parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=Parser)


def verb(verbs: Verbs[Parser], name: str, about: str, *, mutating: bool = False, task: bool = False) -> Parser:
    """A parser for one sub-command with the shared options."""
    return _equipped(verbs.add_parser(name, help=about, description=about), mutating=mutating, task=task)


def read_call(args: argparse.Namespace, environ: Mapping[str, str] | None = None) -> Call:
    """The shared options of a parsed command line."""
    environ = os.environ if environ is None else environ
    kind = getattr(args, "actor_kind", "") or environ.get("AUTOPILOT_ACTOR_KIND", "")
    if kind and kind not in KINDS:
        # The engine's own kind is not to be claimed from outside.
        message = f"AUTOPILOT_ACTOR_KIND is {kind!r}, not one of {', '.join(KINDS)}"
        raise usage_error(message, remedy="set it to one of them, or unset it")
    directory = Path(getattr(args, "directory", "") or ".")
    if not directory.is_dir():
        raise usage_error(f"-C {directory}: no such folder", remedy="name the repository's folder")
    return Call(
        caller=Caller(
            getattr(args, "actor", "") or environ.get("AUTOPILOT_ACTOR", "") or _default_actor(),
            cast("ActorKind", kind or ("human" if console.at_terminal() else "agent")),
            getattr(args, "session", "") or environ.get("AUTOPILOT_SESSION", ""),
        ),
        directory=directory,
        as_json=getattr(args, "json", False),
        dry_run=getattr(args, "dry_run", False),
        environ=environ,
    )


def task_named(args: argparse.Namespace, environ: Mapping[str, str] | None = None, *, then: str = "") -> str:
    """The task of the command line, else `AUTOPILOT_TASK`; ContractError `bad_usage` where neither names one.

    `then` is the word that stands behind TASK: where one word is given, it is taken for that one.
    """
    task = args.task or (os.environ if environ is None else environ).get("AUTOPILOT_TASK", "")
    if not task:
        missing = f"TASK or {then}" if then else "TASK"
        remedy = f"name {'both' if then else 'it'}, or set AUTOPILOT_TASK; `autopilot task list` shows the tasks"
        raise usage_error(f"{missing} is missing", remedy=remedy)
    return str(task)


def require_terminal(call: Call, act: str) -> None:
    """Refuse `act`, a person's, where nobody can be asked: RefusedError `not_a_terminal` unless stdin is a terminal.

    The attempt is on the ledger before the caller hears of it, where there is one.
    """
    if not console.at_terminal():
        from autopilot.cli.impostor import record

        detail = f"stdin is not a terminal; the caller called itself {call.caller.kind}"
        verdict = Verdict((Reason("not_a_terminal", where=act, detail=detail),))
        raise RefusedError(verdict, seq=record(call, verdict))


def require_person(call: Call, act: str) -> None:
    """Refuse `act` to a caller that claims to be a person without a terminal; RefusedError `not_a_terminal`.

    One exported variable must not make an agent a person. Who says that it is an agent goes on to the desk, which
    refuses it with `human_only` and puts the attempt on record, as this does.
    """
    if call.caller.kind == "human":
        require_terminal(call, act)


def _equipped(parser: Parser, *, mutating: bool, task: bool) -> Parser:
    # SUPPRESS: a sub-command's default must not overwrite what stood before it.
    shared = parser.add_argument_group("shared options")
    for flag, text in (
        ("--actor", "who acts (default: AUTOPILOT_ACTOR, else cli:<uid>@<host>)"),
        ("--session", "the session that holds leases (default: AUTOPILOT_SESSION, else the actor)"),
    ):
        shared.add_argument(flag, default=argparse.SUPPRESS, help=text)
    shared.add_argument(
        "--actor-kind",
        choices=KINDS,
        default=argparse.SUPPRESS,
        help="what the actor is (default: AUTOPILOT_ACTOR_KIND, else human at a terminal and agent without one)",
    )
    shared.add_argument(
        "-C", "--directory", metavar="DIR", default=argparse.SUPPRESS, help="the repository (default: where you are)"
    )
    shared.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON object on stdout")
    if mutating:
        shared.add_argument(
            "--dry-run",
            action="store_true",
            default=argparse.SUPPRESS,
            help="append and write nothing; answer and exit as the real call would",
        )
    if task:
        parser.add_argument("task", nargs="?", metavar="TASK", help="the task's id (default: AUTOPILOT_TASK)")
    return parser


def _default_actor() -> str:
    return f"cli:{os.getuid()}@{os.uname().nodename}"
