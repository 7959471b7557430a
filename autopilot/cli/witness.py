"""`autopilot ledger witness`: sign, as somebody else, that a checkpoint continues the one signed before.

Meant for a CI job, where the agent reaches neither the key nor what is remembered. It needs no repository.
"""

from __future__ import annotations

import contextlib
import sys
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path

from autopilot.cli import console, options
from autopilot.cli.options import Call, Parser, Verbs
from autopilot.kernel.clock import SystemClock
from autopilot.kernel.errors import ContractError
from autopilot.kernel.files import storage_error
from autopilot.ledger.witnessing import parse_submission
from autopilot.signing.cosignature import CosignerKey, cosigner_of
from autopilot.signing.keys import read_secret, write_secret
from autopilot.signing.note import MAX_NOTE_BYTES, SigningKey, VerifierKey
from autopilot.wiring.packs import opened_copy
from autopilot.wiring.witness import Trusted, Witness, Witnessed


def add_verb(verbs: Verbs[Parser]) -> None:
    """The parser of the verb."""
    witnessing = options.verb(
        verbs, "witness", "sign as a witness that a checkpoint continues the one signed before", mutating=True
    )
    witnessing.add_argument(
        "file", metavar="FILE", nargs="?", help="the checkpoint, or what `ledger prove --from` printed; - for stdin"
    )
    witnessing.add_argument("--key", metavar="FILE", required=True, help="the witness's secret key, its owner's alone")
    witnessing.add_argument("--store", metavar="FILE", default="", help="where the witness remembers what it signed")
    witnessing.add_argument(
        "--vkey", metavar="KEY", action="append", default=[], help="a verifier key of a ledger that is witnessed"
    )
    witnessing.add_argument(
        "--state", metavar="DIR", default="", help="the ledger itself: a copy of the state directory, or an audit pack"
    )
    witnessing.add_argument("--first", action="store_true", help="sign for a ledger that was never seen before")
    witnessing.add_argument(
        "--former", metavar="KEY", action="append", default=[], help="an earlier verifier key of this witness"
    )
    witnessing.add_argument("--out", metavar="FILE", default="", help="write the cosigned checkpoint to FILE as well")
    witnessing.add_argument("--new-key", action="store_true", help="make the key, print its public half, sign nothing")
    witnessing.add_argument(
        "--name", default="", help="with --new-key: the witness's name, such as ci.example.org/shop"
    )


def witness(args: Namespace, call: Call) -> int:
    """Sign one checkpoint, or make the key."""
    if args.new_key:
        return _make_key(args, call)
    if args.name or not args.file or not args.store or not args.vkey:
        raise options.usage_error("FILE, --store and --vkey are needed; --name goes with --new-key")
    trusted = Trusted(
        tuple(VerifierKey.parse(text) for text in args.vkey),
        tuple(CosignerKey.parse(text) for text in args.former),
        args.first,
    )
    key, submission = read_secret(Path(args.key)), parse_submission(_read(args.file))
    with contextlib.ExitStack() as stack:
        ledger = stack.enter_context(opened_copy(Path(args.state))) if args.state else None
        made = Witness(Path(args.store).absolute(), key).sign(
            submission, trusted, seconds=int(SystemClock().wall().timestamp()), ledger=ledger, keep=not call.dry_run
        )
    return _answer(args, call, made)


def _answer(args: Namespace, call: Call, made: Witnessed) -> int:
    # A signature that nobody remembers must not get out: a rehearsal shows none.
    note = "" if call.dry_run else made.note.encode()
    if args.out and note:
        Path(args.out).write_text(note, "utf-8")
    if call.as_json:
        shown = {
            "origin": made.checkpoint.origin,
            "size": made.checkpoint.size,
            "root": made.checkpoint.root.hex(),
            "before": made.before,
            "witness": made.witness.encode(),
            "seconds": made.seconds,
            "note": note or None,
        }
        call.answer(shown)
        return 0
    sys.stdout.flush()
    sys.stdout.buffer.write(note.encode())
    sys.stdout.buffer.flush()
    before = "nothing" if made.before is None else f"{made.before} entries"
    console.say(
        f"{'dry run: ' if call.dry_run else ''}{made.witness.name} signed for {made.checkpoint.size} entries of"
        f" {made.checkpoint.origin} at {datetime.fromtimestamp(made.seconds, UTC):%Y-%m-%dT%H:%M:%SZ}; before: {before}"
    )
    where = args.out or "FILE"
    console.next_step(f"autopilot ledger verify --checkpoint {where} --witness {made.witness.encode()}")
    return 0


def _make_key(args: Namespace, call: Call) -> int:
    if not args.name:
        raise options.usage_error("--new-key needs --name, such as ci.example.org/shop")
    key, path = SigningKey.generate(args.name), Path(args.key).absolute()
    public = cosigner_of(key)
    if call.dry_run:
        if path.exists() or path.is_symlink():
            raise ContractError("target_exists", where=str(path))
    else:
        write_secret(path, key)
    call.answer({"name": public.name, "key": public.id, "vkey": public.encode(), "path": str(path)}, public.encode())
    console.say(f"the secret is in {path}: give it to the CI job and to nobody else; the line above is for everybody")
    console.next_step(f"autopilot ledger witness --key {args.key} --store FILE --vkey KEY --first CHECKPOINT")
    return 0


def _read(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read(MAX_NOTE_BYTES + 1)
    try:
        with Path(name).open("rb") as file:
            return file.read(MAX_NOTE_BYTES + 1)
    except FileNotFoundError:
        raise ContractError("bad_usage", where=name, detail="no such file", remedy="name a checkpoint") from None
    except OSError as error:
        raise storage_error(error, Path(name)) from error
