"""`autopilot evidence export --format in-toto`: the evidence of a task as signed statements.

Without `--out` the envelopes are the answer, one in each line; with it they are a file beside the public key.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from autopilot.cli import console, opened, options
from autopilot.cli.options import Call
from autopilot.kernel.canonical import parse, sha256_hex
from autopilot.kernel.placing import place_file
from autopilot.supplychain.dsse import key_id_of, pem_of
from autopilot.wiring.statements import Bundle, Signed, signed_statements

KEY_FILE = "key.pem"


def export(args: Namespace, call: Call) -> int:
    """Sign and hand out; nothing is appended, and a dry run writes no file."""
    task_id = options.task_named(args)
    opened.require_files(call, "evidence export --format in-toto")
    with opened.reading(call) as workspace:
        bundle = signed_statements(workspace, task_id)
    files = _files(bundle, Path(args.out).absolute()) if args.out else {}
    if not call.dry_run:
        for path, data in files.items():
            place_file(path.parent, path.name, data)
    shown = [{"path": str(path), "sha256": sha256_hex(data)} for path, data in files.items()]
    if call.as_json:
        call.answer(_answer(bundle, shown, whole=not args.out))
    elif args.out:
        call.answer({}, *(f"{file['sha256']}  {file['path']}" for file in shown))
    else:
        sys.stdout.write(bundle.lines().decode())
    _explain(bundle, call)
    return 0


def _files(bundle: Bundle, folder: Path) -> dict[Path, bytes]:
    return {
        folder / f"{bundle.task}.intoto.jsonl": bundle.lines(),
        folder / KEY_FILE: pem_of(bundle.key).encode(),
    }


def _answer(bundle: Bundle, files: list[dict[str, str]], *, whole: bool) -> dict[str, Any]:
    key = {"keyid": key_id_of(bundle.key), "vkey": bundle.key.encode(), "pem": pem_of(bundle.key)}
    statements = [_statement(signed, whole=whole) for signed in bundle.signed]
    return {"task": bundle.task, "key": key, "statements": statements, "files": files}


def _statement(signed: Signed, *, whole: bool) -> dict[str, Any]:
    move = signed.phase.move
    shown: dict[str, Any] = {
        "phase": move.origin,
        "epoch": move.epoch,
        "seq": move.line.seq,
        "predicate_type": signed.statement.predicate_type,
        "subjects": [subject.as_dict() for subject in signed.statement.subjects],
    }
    return {**shown, "envelope": parse(signed.envelope)} if whole else shown


def _explain(bundle: Bundle, call: Call) -> None:
    phases = list(dict.fromkeys(signed.phase.move.origin for signed in bundle.signed))
    told = f"{len(phases)} phases" if len(phases) > 1 else f"the phase {phases[0]}"
    console.say(f"{len(bundle.signed)} statements on {told}, signed by key {key_id_of(bundle.key)[:16]}")
    if call.dry_run:
        console.say("dry run: no file was written")
    console.next_step("autopilot ledger checkpoint")
