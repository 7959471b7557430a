"""`autopilot store`: setup (a database's tables), migrate (the ledger between files and PostgreSQL)."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from collections.abc import Callable

from autopilot.cli import console, options
from autopilot.cli.options import Call, Parser
from autopilot.kernel.errors import MissingComponentError
from autopilot.storage.postgres.address import parse_address
from autopilot.vcs.repository import Repository


def parser() -> Parser:
    """The parser of `autopilot store`."""
    store = options.command("store", "where the ledger is kept: files, or PostgreSQL for several machines")
    verbs = options.verbs_of(store)
    setting_up = options.verb(verbs, "setup", "make or update the tables in a database, as their owner", mutating=True)
    setting_up.add_argument("url", metavar="URL", help="postgresql://OWNER@HOST/DATABASE")
    setting_up.add_argument(
        "--grant",
        metavar="ROLE",
        action="append",
        default=[],
        help="let this role append; may be given several times",
    )
    moving = options.verb(
        verbs, "migrate", "move the ledger between files and PostgreSQL, once nobody works (a person)", mutating=True
    )
    moving.add_argument("--to", required=True, metavar="WHERE", help="postgresql://ROLE@HOST/DATABASE, or files")
    moving.add_argument("--reason", default="", help="why it is moved; goes onto the ledger")
    return store


def run(name: str, words: list[str]) -> int:
    """Run one verb."""
    del name
    args = parser().parse_args(words)
    return _VERBS[args.verb](args, options.read_call(args))


def _setup(args: Namespace, call: Call) -> int:
    address = parse_address(args.url, where="URL")
    try:
        from autopilot.storage.postgres import schema
    except ModuleNotFoundError:
        raise MissingComponentError("pg_missing", where=address.shown) from None
    if call.dry_run:
        missing = schema.pending(address)
        shown = {"store": address.shown, "pending": [step.version for step in missing], "granted": []}
        call.answer(shown, f"{len(missing)} migrations are to be applied in {address.shown}")
        return 0
    applied = schema.set_up(address, grant_to=tuple(args.grant))
    call.answer(
        {"store": address.shown, "applied": [step.version for step in applied], "granted": list(args.grant)},
        f"{len(applied)} migrations applied in {address.shown}",
        *(f"  {role} may append" for role in args.grant),
    )
    console.next_step("AUTOPILOT_STORE=postgresql://ROLE@HOST/DATABASE autopilot init")
    return 0


def _migrate(args: Namespace, call: Call) -> int:
    options.require_person(call, "store migrate")
    try:
        from autopilot.wiring.migrating import Move
    except ModuleNotFoundError:
        raise MissingComponentError("pg_missing", where=args.to.partition("://")[0]) from None
    move = Move.of(Repository.locate(call.directory), call.environ, args.to)
    if call.dry_run:
        move.check_caller(call.caller, args.reason)
        entries = move.check()
        shown = {"ledger": move.ledger, "from": move.home.shown, "to": move.there, "entries": entries}
        call.answer(shown, f"{entries} lines would go from {move.home.shown} to {move.there}")
        return 0
    done = move.run(call.caller, args.reason)
    shown = dataclasses.asdict(done)
    shown["from"], shown["to"] = shown.pop("source"), shown.pop("target")
    call.answer(
        shown,
        f"{done.entries} lines went from {done.source} to {done.target}",
        f"  with {done.objects} objects and {done.checkpoints} checkpoints; the source is closed",
    )
    if call.environ.get("AUTOPILOT_STORE"):
        console.say("AUTOPILOT_STORE still names the old place: unset it")
    console.next_step("autopilot ledger verify")
    return 0


_VERBS: dict[str, Callable[[Namespace, Call], int]] = {"setup": _setup, "migrate": _migrate}
