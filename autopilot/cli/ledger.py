"""`autopilot ledger`: log, verify, repair; `cli.checkpoints` has checkpoint, prove and export, `cli.witness` witness.

`verify` and `repair` read the files themselves: they must work where the store refuses to open.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import sys
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from autopilot.cli import anchors, checkpoints, console, opened, options, witness
from autopilot.cli.options import Call, Parser
from autopilot.kernel.clock import SystemClock
from autopilot.kernel.errors import ContractError
from autopilot.kernel.reason_codes import REASON_CODES
from autopilot.ledger.entry import LedgerEntry
from autopilot.ledger.kinds import KINDS
from autopilot.ledger.verify import VerifyReport
from autopilot.process.fold import ProcessFold
from autopilot.storage.files.checkpoints import CheckpointFiles
from autopilot.storage.files.layout import StorePaths
from autopilot.storage.files.repair import RepairReport, repair
from autopilot.storage.files.store import StoreParts, read_identity
from autopilot.vcs.repository import Repository
from autopilot.wiring.anchors import Commits, verify_anchored
from autopilot.wiring.checkpoints import NOTHING_GIVEN, Given, Verified, verify_state
from autopilot.wiring.full import state_dir
from autopilot.wiring.ledgers import AskedLedger, LedgerFiles, LedgerServed
from autopilot.wiring.marker import Marker, read_marker, write_marker
from autopilot.wiring.packs import opened_copy
from autopilot.wiring.stores import address_of, home_of, lent, named_ledger

CORRUPT = 3


def parser() -> Parser:
    """The parser of `autopilot ledger`."""
    ledger = options.command("ledger", "show, verify, sign and repair the ledger")
    verbs = options.verbs_of(ledger)
    log = options.verb(verbs, "log", "the lines of the ledger, checked as they are read")
    log.add_argument("--task", default="", help="only those of this task")
    log.add_argument("--kind", default="", help="only those of this kind")
    log.add_argument("--last", type=options.count, default=0, metavar="N", help="only the last N")
    verifying = options.verb(
        verbs, "verify", "check every line, the lease log and what is known from outside; exit 3 if corrupt"
    )
    verifying.add_argument(
        "--state", metavar="DIR", help="instead of the repository's: a copy of the state directory, or an audit pack"
    )
    checkpoints.add_options(verifying)
    checkpoints.add_verbs(verbs)
    witness.add_verb(verbs)
    repairing = options.verb(
        verbs, "repair", "keep what verifies, quarantine the rest, put it on record (a person)", mutating=True
    )
    repairing.add_argument("--reason", required=True, help="why it is repaired")
    return ledger


def run(name: str, words: list[str]) -> int:
    """Run one verb."""
    del name
    args = parser().parse_args(words)
    call = options.read_call(args)
    if args.verb not in _ASKED_OF_A_DAEMON:
        opened.require_files(call, f"ledger {args.verb}")
    return _VERBS[args.verb](args, call)


def verify_here(call: Call) -> tuple[VerifyReport, Path]:
    """The report on the repository's ledger, held against the marker beside it, and where the state is.

    ContractError `not_a_workspace` where there is neither ledger nor marker.
    """
    verified, place, _ = _verified_here(call, NOTHING_GIVEN)
    return verified.report, place


def _verified_here(call: Call, given: Given) -> tuple[Verified, Path, int]:
    """As `verify_here`, with the checkpoints that were held against it and the floor that the marker gives."""
    place, floor, ledger = _place(call, known=bool(given.notes))
    return verify_state(place, floor, dataclasses.replace(given, ledger=ledger)), place, floor


def _place(call: Call, *, objects: bool = False, known: bool = False) -> tuple[Path, int, str]:
    """The state directory, and the least number of entries and the ledger's id as the marker remembers them.

    ContractError `not_a_workspace` where nothing says that there is a ledger; `known` says that something does.
    """
    repository = Repository.locate(call.directory)
    place, marker = state_dir(repository, call.environ), read_marker(repository.common_dir)
    home, named = home_of(repository, place, call.environ), named_ledger(repository, call.environ)
    if marker is None and not known and not home.present(named):
        raise ContractError("not_a_workspace", where=str(repository.root), detail=f"no ledger in {home.shown}")
    # Where it is in a database: a copy of what that holds now.
    return lent(home, named, objects=objects), marker.size if marker else 0, marker.ledger if marker else ""


def _log(args: Namespace, call: Call) -> int:
    if args.kind and args.kind not in KINDS:
        near = difflib.get_close_matches(args.kind, KINDS, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"use one of {', '.join(KINDS)}"
        raise options.usage_error(f"--kind {args.kind}: no such kind of line", "autopilot ledger log", remedy=remedy)
    with opened.reading(call) as workspace:
        if args.task:
            workspace.tasks.show(args.task)
        chosen = _chosen(workspace.ledger.entries(), args)
        if call.as_json:
            # The stored bytes, one after the other: a long ledger does not have to fit into memory.
            sys.stdout.write('{"schema_version": 1, "records": [')
            for index, entry in enumerate(chosen):
                sys.stdout.write((", " if index else "") + entry.body.decode())
            sys.stdout.write("]}\n")
            return 0
        for entry in chosen:
            console.show(_line(entry))
    console.next_step("autopilot ledger verify")
    return 0


def _chosen(entries: Iterator[LedgerEntry], args: Namespace) -> Iterator[LedgerEntry]:
    found = (e for e in entries if args.task in ("", e.task) and args.kind in ("", e.kind))
    if args.last > 0:
        return iter(deque(islice(found, None), maxlen=args.last))
    return found


def _line(entry: LedgerEntry) -> str:
    origin, target = entry.move
    move = f"{origin}->{target}" if target else str(entry.data.get("phase", ""))
    said = str(entry.data.get("code") or entry.data.get("detail") or entry.data.get("reason") or "")
    parts = (entry.ts, entry.kind, entry.task or "-", move, f"by {entry.actor['id']}", said)
    return f"{entry.seq:>6}  {entry.hash[:12]}  " + "  ".join(console.clean(part) for part in parts if part)


def _verify(args: Namespace, call: Call) -> int:
    given = checkpoints.given_of(args)
    if not args.state and opened.is_served(call):
        return _verify_served(args, call, given)
    with contextlib.ExitStack() as stack:
        copy = stack.enter_context(opened_copy(Path(args.state).absolute())) if args.state else None
        if args.anchors:
            place, floor, ledger = (copy, 0, "") if copy else _place(call, known=True)
            return _verify_anchored(args, call, LedgerFiles(place, floor, dataclasses.replace(given, ledger=ledger)))
        if checkpoints.is_partial(args):
            place, floor = (copy, 0) if copy else _place(call)[:2]
            verified = Verified(checkpoints.verify_part(args, place, floor))
        else:
            verified = verify_state(copy, 0, given) if copy else _verified_here(call, given)[0]
    report, held = verified.report, verified.held
    if call.as_json:
        console.emit(report.as_dict())
    elif report.intact:
        console.show(f"intact: {report.entries} entries, last line {report.seq}")
        if checkpoints.is_partial(args):
            console.show("  of the end; what comes before was not looked at")
        else:
            checkpoints.show_held(held, report.entries)
    else:
        console.show(f"corrupt: {report.reason} at line {report.seq}; {report.entries} entries verify before it")
        console.show(f"  {console.clean(report.detail)} [{console.clean(report.where)}]")
        console.next_step(_remedy(report))
    return 0 if report.intact else CORRUPT


def _verify_served(args: Namespace, call: Call, given: Given) -> int:
    """Ask the daemon: every line, against what it keeps and what the caller kept."""
    if checkpoints.is_partial(args):
        opened.require_files(call, "ledger verify of a part")
    with opened.reading(call) as workspace:
        ledger = LedgerServed(workspace.ledger, given)
        if args.anchors:
            return _verify_anchored(args, call, ledger)
        report = ledger.verify().report
    if call.as_json:
        console.emit(report.as_dict())
    elif report.intact:
        console.show(f"intact: {report.entries} entries, last line {report.seq}; as the daemon says")
    else:
        console.show(f"corrupt: {report.reason} at line {report.seq}; {report.entries} entries verify before it")
        console.next_step(_remedy(report))
    return 0 if report.intact else CORRUPT


def _verify_anchored(args: Namespace, call: Call, ledger: AskedLedger) -> int:
    commits = Commits(Repository.locate(call.directory), args.anchors)
    return anchors.show_report(verify_anchored(commits, ledger, covers_head=args.covers_head), call)


def _remedy(report: VerifyReport) -> str:
    """What to do about a ledger that does not verify. The lease log alone is repaired, not restored."""
    if report.where.endswith("leases.wal"):
        return REASON_CODES["lease_log_corrupt"].remedy
    return report.error().reasons()[0].remedy


def _repair(args: Namespace, call: Call) -> int:
    options.require_person(call, "ledger repair")
    repository = Repository.locate(call.directory)
    if address_of(repository, call.environ) is not None:
        raise options.usage_error("the ledger is in PostgreSQL", remedy="restore the database from its backup")
    report, place = verify_here(call)
    marker = read_marker(repository.common_dir)
    found = f"{report.status}: {report.reason}" if report.reason else report.status
    console.say(f"before: {found}, {report.entries} entries verify")
    parts = StoreParts(place, ProcessFold(), clock=SystemClock(), floor=marker.size if marker else 0)
    retired: tuple[str, ...] = ()
    if call.dry_run:
        _may_repair(call, args.reason)
        shown = RepairReport(report.entries, report.entries, report.reason or "repair", (), 0)
    else:
        shown = repair(parts, caller=call.caller, reason=args.reason)
        # The marker remembers lines that are in quarantine now; the ledger's own line says so.
        write_marker(repository.common_dir, Marker(read_identity(StorePaths(place)), shown.seq + 1))
        retired = CheckpointFiles(place).retire(shown.entries, StorePaths(place).quarantine)
    call.answer(
        dataclasses.asdict(shown),
        f"kept {shown.entries} entries, dropped {shown.dropped_entries}; recorded as line {shown.seq}",
        *(f"  in quarantine: {torn.name}, {torn.bytes} bytes" for torn in shown.dropped),
        *(f"  in quarantine: {note}, a checkpoint over more lines than are left" for note in retired),
    )
    console.next_step("autopilot ledger verify")
    return 0


def _may_repair(call: Call, reason: str) -> None:
    """What `repair` asks before it touches anything."""
    from autopilot.kernel.errors import RefusedError
    from autopilot.kernel.reasons import Reason, Verdict

    if call.caller.kind != "human":
        raise RefusedError(Verdict((Reason("human_only", where="ledger repair"),)))
    if not reason.strip():
        raise ContractError("reason_missing", where="reason", remedy="say why: --reason TEXT")


def _prove(args: Namespace, call: Call) -> int:
    place, floor, _ = _place(call)
    return checkpoints.prove_line(args, call, place, floor)


def _export(args: Namespace, call: Call) -> int:
    place, floor, _ = _place(call, objects=args.objects)
    return checkpoints.export(args, call, place, floor)


# The others work on the files, which are the engine's user's.
_ASKED_OF_A_DAEMON = ("log", "verify", "checkpoint", "witness")
_VERBS: dict[str, Callable[[Namespace, Call], int]] = {
    "log": _log,
    "verify": _verify,
    "checkpoint": checkpoints.checkpoint,
    "prove": _prove,
    "export": _export,
    "witness": witness.witness,
    "repair": _repair,
}
