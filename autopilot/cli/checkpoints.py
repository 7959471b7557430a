"""`autopilot ledger checkpoint | prove | export`, and what `ledger verify` takes of checkpoints.

The verbs of the ledger that look outwards: what is signed, kept elsewhere, and shown to somebody who was not there.
"""

from __future__ import annotations

import dataclasses
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from autopilot.cli import anchors, console, opened, options
from autopilot.cli.options import Call, Parser, Verbs
from autopilot.kernel.errors import ContractError
from autopilot.ledger.anchoring import Held
from autopilot.ledger.verify import VerifyReport
from autopilot.signing.cosignature import CosignerKey
from autopilot.signing.note import MAX_NOTE_BYTES, VerifierKey
from autopilot.storage.files.verify import verify_files
from autopilot.wiring.checkpoints import CheckpointDesk, Given, Published, prove, prove_continued
from autopilot.wiring.ledgers import publish
from autopilot.wiring.packs import export_pack
from autopilot.wiring.tiles import export_tiles

TILES = "tlog-tiles"
FORMATS = ("pack", TILES)

# Beyond every ledger: what `since` takes for "the last segment only".
_LAST_SEGMENT = 2**62


def add_verbs(verbs: Verbs[Parser]) -> None:
    """The parsers of the verbs here."""
    making = options.verb(
        verbs, "checkpoint", "verify the whole ledger, sign its length and Merkle root, print the note", mutating=True
    )
    making.add_argument("--out", metavar="FILE", default="", help="write the note to FILE as well")
    making.add_argument(
        "--new-key", action="store_true", help="make a new signing key first; the old one signs once more (a person)"
    )
    making.add_argument("--reason", default="", help="why the key changes")
    anchors.add_making(making)
    proving = options.verb(verbs, "prove", "a proof as JSON that a line is in the ledger that a checkpoint names")
    proving.add_argument("seq", metavar="SEQ", type=int, nargs="?", help="the line's number")
    proving.add_argument(
        "--from",
        metavar="SIZE",
        dest="size",
        type=int,
        help="instead, for a witness: that the newest checkpoint continues the ledger's first SIZE lines",
    )
    exporting = options.verb(
        verbs, "export", "an audit pack that anyone verifies with its own verify.py, without autopilot", mutating=True
    )
    exporting.add_argument("dir", metavar="DIR", help="the folder to make, or for tiles to carry on")
    exporting.add_argument("--objects", action="store_true", help="with the sealed objects: documents, test output")
    exporting.add_argument(
        "--format", choices=FORMATS, default=FORMATS[0], help="tlog-tiles: a C2SP tiled log for other tools to read"
    )
    exporting.add_argument(
        "--checkpoint",
        metavar="FILE",
        default="",
        help="with tlog-tiles: the checkpoint to publish, such as a cosigned one",
    )


def add_options(verifying: Parser) -> None:
    """The options of `ledger verify` that concern checkpoints, and how much of the ledger is looked at."""
    verifying.add_argument(
        "--checkpoint",
        metavar="FILE",
        action="append",
        default=[],
        help="a signed checkpoint that was kept elsewhere; may be given several times",
    )
    verifying.add_argument(
        "--vkey",
        metavar="KEY",
        action="append",
        default=[],
        help="believe this verifier key and no other (default: the keys that this machine knows)",
    )
    verifying.add_argument(
        "--witness",
        metavar="KEY",
        action="append",
        default=[],
        help="demand that each --checkpoint bears the signature of the witness with this key",
    )
    anchors.add_verifying(verifying)
    extent = verifying.add_mutually_exclusive_group()
    extent.add_argument("--full", action="store_true", help="every line, and every checkpoint (the default)")
    extent.add_argument("--quick", action="store_true", help="the last segment only, what is before it is believed")
    extent.add_argument(
        "--since", metavar="SEQ", type=int, default=-1, help="the segment with this line and later ones"
    )


def given_of(args: Namespace) -> Given:
    """The notes and keys of the command line; ContractError `malformed_key`, `bad_usage` for a file that is none."""
    if is_partial(args) and (args.checkpoint or args.vkey or args.anchors):
        raise options.usage_error("a checkpoint is held against every line: leave out --quick and --since")
    if args.covers_head and not args.anchors:
        raise options.usage_error("--covers-head goes with --anchors")
    if args.witness and not args.checkpoint:
        raise options.usage_error("--witness says who must have signed: name the --checkpoint")
    notes = tuple((str(path), _read(Path(path))) for path in args.checkpoint)
    return Given(
        notes,
        tuple(VerifierKey.parse(text) for text in args.vkey),
        tuple(CosignerKey.parse(text) for text in args.witness),
    )


def is_partial(args: Namespace) -> bool:
    """Whether only a part of the ledger is to be looked at."""
    return bool(args.quick or args.since >= 0)


def verify_part(args: Namespace, place: Path, floor: int) -> VerifyReport:
    """The report on the end of the ledger, and nothing said of what comes before."""
    return verify_files(place, floor, since=_LAST_SEGMENT if args.quick else args.since)


def show_held(held: tuple[Held, ...], entries: int) -> None:
    """What the checkpoints say for an intact ledger."""
    if not held:
        console.show("  held against no checkpoint: a ledger that was rewritten as a whole would look like this one")
        return
    newest = max(one.checkpoint.size for one in held)
    outside = sum(not one.stored for one in held)
    console.show(
        f"  agrees with {len(held)} checkpoints, {outside} of them given;"
        f" {newest} entries are signed, {entries - newest} are not yet"
    )


def checkpoint(args: Namespace, call: Call) -> int:
    """Make a checkpoint, or find it made, and print it."""
    answered = anchors.of_commits(args, call)
    if answered is not None:
        return answered
    if args.new_key:
        options.require_person(call, "a new signing key")
        opened.require_files(call, "a new signing key")
    elif args.reason:
        raise options.usage_error("--reason goes with --new-key")
    out = Path(args.out) if args.out else None
    if out is not None and out.is_dir():
        raise options.usage_error(f"--out {out} is a folder")
    with opened.writing(call) as workspace:
        if args.new_key:
            made = CheckpointDesk(workspace).publish(caller=call.caller, new_key=args.reason)
        else:
            made = publish(workspace, call.caller)
        ledger = workspace.ledger.ledger_id
    note = made.note.encode()
    if out is not None and not call.dry_run:
        out.write_text(note, "utf-8")
    if call.as_json:
        call.answer(_shown(made, ledger))
    else:
        # As bytes: the note is what was signed, whatever encoding the terminal has.
        sys.stdout.buffer.write(note.encode())
        _explain(made, call)
    console.next_step(
        f"autopilot ledger verify --checkpoint {out}" if out else "keep the note where no agent can write"
    )
    return 0


def _shown(made: Published, ledger: str) -> dict[str, Any]:
    return {
        "ledger": ledger,
        "size": made.checkpoint.size,
        "root": made.checkpoint.root.hex(),
        "key": made.key.id,
        "vkey": made.key.encode(),
        "new_key": made.new_key,
        "path": str(made.path),
        "seq": made.seq,
        "note": made.note.encode(),
    }


def _explain(made: Published, call: Call) -> None:
    if call.dry_run:
        console.say("dry run: nothing was appended or kept; a new key would be another one")
        return
    if made.new_key:
        console.say("a new signing key was made; whoever verifies needs its public half:")
        console.say(f"  {made.key.encode()}")
    console.say(f"kept as {made.path}, ledger line {made.seq}")


def prove_line(args: Namespace, call: Call, place: Path, floor: int) -> int:
    """Print the proof: of a line as JSON, of a continued ledger in the form that witnesses take."""
    if (args.seq is None) == (args.size is None):
        raise options.usage_error("SEQ or --from SIZE, one of them")
    if args.size is not None:
        return _prove_continued(args.size, call, place, floor)
    shown = prove(place, floor, args.seq)
    console.emit(shown)
    if shown["checkpoint"] is None:
        console.say("no checkpoint covers this line: the proof leads to a root that nobody signed")
        console.next_step("autopilot ledger checkpoint")
    return 0


def _prove_continued(size: int, call: Call, place: Path, floor: int) -> int:
    made = prove_continued(place, floor, size)
    if call.as_json:
        path = [item.hex() for item in made.path]
        console.emit({"from": size, "path": path, "checkpoint": made.note.decode()})
    else:
        sys.stdout.buffer.write(made.encode())
        console.next_step("autopilot ledger witness --key FILE --store FILE --vkey KEY -")
    return 0


def export(args: Namespace, call: Call, place: Path, floor: int) -> int:
    """Write the pack, and say how it is verified; or the tiles."""
    target = Path(args.dir).absolute()
    if args.format == TILES:
        return _export_tiles(args, call, place, floor)
    if args.checkpoint:
        raise options.usage_error("--checkpoint goes with --format tlog-tiles")
    made = export_pack(place, floor, target, objects=args.objects, dry_run=call.dry_run)
    shown = {"folder": str(target), "objects": args.objects, **dataclasses.asdict(made)}
    call.answer(shown, f"{made.files} files in {target}: {made.entries} lines, the first {made.signed} of them signed")
    console.next_step(f"python3 -I -S {args.dir}/verify.py --vkey KEY")
    return 0


def _export_tiles(args: Namespace, call: Call, place: Path, floor: int) -> int:
    if args.objects:
        raise options.usage_error("--objects goes with an audit pack")
    target, note = Path(args.dir).absolute(), None
    if args.checkpoint:
        note = (args.checkpoint, _read(Path(args.checkpoint)))
    made = export_tiles(place, floor, target, note=note, dry_run=call.dry_run)
    shown = {"folder": str(target), **dataclasses.asdict(made)}
    call.answer(shown, f"{made.size} entries of {made.origin} in {made.files} files, {made.written} of them new")
    console.next_step(f"serve {args.dir} as it is; `checkpoint` is what readers ask for first")
    return 0


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_NOTE_BYTES + 1)
    except OSError as error:
        raise ContractError("bad_usage", where=str(path), detail=str(error), remedy="name a file with a note") from None
