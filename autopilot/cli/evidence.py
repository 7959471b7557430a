"""`autopilot evidence`: add, list, show, export."""

from __future__ import annotations

import base64
import contextlib
import sys
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from autopilot.cli import console, opened, options, statements
from autopilot.cli.options import Call, Parser
from autopilot.cli.shapes import evidence_dict
from autopilot.kernel.errors import ContractError
from autopilot.kernel.phases import parse_phase


def parser() -> Parser:
    """The parser of `autopilot evidence`."""
    evidence = options.command("evidence", "seal, list, show and restore evidence")
    verbs = options.verbs_of(evidence)
    adding = options.verb(verbs, "add", "seal a file as evidence of the task's current phase", mutating=True, task=True)
    adding.add_argument("file", metavar="FILE", help="a plain file")
    adding.add_argument(
        "--as", dest="name", default="", metavar="NAME", help="the artifact's name (default: the file's)"
    )
    options.verb(verbs, "list", "the sealed evidence of the current epoch", task=True)
    showing = options.verb(verbs, "show", "one sealed artifact, as it was sealed", task=True)
    showing.add_argument("name", metavar="NAME", help="the artifact's name")
    showing.add_argument("--phase", default="", help="the phase, where two have the name")
    exporting = options.verb(verbs, "export", "write every sealed artifact to its file", mutating=True, task=True)
    exporting.add_argument(
        "--out", metavar="DIR", help="below this folder (default: back to state/evidence; in-toto: stdout)"
    )
    exporting.add_argument(
        "--format",
        choices=("files", "in-toto"),
        default="files",
        help="files, or signed in-toto statements in DSSE envelopes for other verifiers (default: files)",
    )
    return evidence


def run(name: str, words: list[str]) -> int:
    """Run one verb."""
    del name
    args = parser().parse_args(words)
    return _VERBS[args.verb](args, options.read_call(args))


@contextlib.contextmanager
def _advised(codes: set[str], remedy: str) -> Iterator[None]:
    """Errors of these codes leave with the remedy of this command: the table's is for whoever works on the phase."""
    try:
        yield
    except ContractError as error:
        if error.code not in codes:
            raise
        raise ContractError(error.code, where=error.where, detail=error.detail, remedy=remedy) from None


def _add(args: Namespace, call: Call) -> int:
    task_id = options.task_named(args, then="FILE")
    remedy = f"say which artifact of the phase it is: --as NAME; `autopilot next {task_id}` lists what is missing"
    with opened.writing(call) as workspace, _advised({"malformed_artifact_name", "unknown_artifact"}, remedy):
        path = Path(args.file)
        if not path.is_absolute():
            path = Path.cwd() / path
        entry = workspace.evidence.add(task_id, path, caller=call.caller, name=args.name, lease=call.claim())
        ref = entry.artifacts[0]
        item = next(e for e in workspace.evidence.list(task_id) if (e.name, e.sha256) == (ref.name, ref.sha256))
    shown = {"task": task_id, "evidence": [evidence_dict(item)], "seq": entry.seq}
    call.answer(shown, f"sealed {ref.name} of {item.phase}, sha256 {ref.sha256}, ledger line {entry.seq}")
    console.next_step(f"autopilot next {task_id}")
    return 0


def _list(args: Namespace, call: Call) -> int:
    task_id = options.task_named(args)
    with opened.reading(call) as workspace:
        items = [evidence_dict(item) for item in workspace.evidence.list(task_id)]
    if call.as_json:
        console.emit({"task": task_id, "evidence": items})
        return 0
    rows = [(i["phase"], i["name"], i["origin"], str(i["seq"]), i["isolation"], i["sha256"][:16]) for i in items]
    console.table(("phase", "artifact", "origin", "line", "isolation", "sha256"), rows)
    console.next_step(f"autopilot next {task_id}")
    return 0


def _show(args: Namespace, call: Call) -> int:
    task_id = options.task_named(args, then="NAME")
    phase = str(parse_phase(args.phase)) if args.phase else ""
    remedy = f"see what is sealed: `autopilot evidence list {task_id}`"
    with opened.reading(call) as workspace, _advised({"artifact_missing"}, remedy):
        item, data = workspace.evidence.show(task_id, args.name, phase=phase)
    if call.as_json:
        console.emit({"task": task_id, "evidence": [{**evidence_dict(item), **_content(data)}]})
    elif sys.stdout.isatty():
        console.show(console.clean_lines(data.decode("utf-8", "replace")))
    else:
        # To a file or a pipe the bytes that were sealed, all of them and nothing else.
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
    return 0


def _content(data: bytes) -> dict[str, Any]:
    try:
        return {"content": data.decode("utf-8"), "encoding": "utf-8"}
    except UnicodeDecodeError:
        return {"content": base64.b64encode(data).decode(), "encoding": "base64"}


def _export(args: Namespace, call: Call) -> int:
    if args.format == "in-toto":
        return statements.export(args, call)
    task_id = options.task_named(args)
    with opened.writing(call) as workspace:
        # A rehearsal writes below a folder that goes away; what it says is where the files would be.
        target = Path(args.out).absolute() if args.out else None
        rehearsed = workspace.engine.state_dir / "out" if call.dry_run and target is not None else target
        if call.dry_run and workspace.is_remote:
            raise ContractError("bad_usage", where="--dry-run", detail="what the client writes are your own files")
        exported = workspace.evidence.export(task_id, rehearsed)
        real = target or workspace.state_dir / "evidence"
        written = rehearsed or workspace.engine.state_dir / "evidence"
        files = [{"path": str(real / e.path.relative_to(written)), "sha256": e.sha256} for e in exported]
    call.answer({"task": task_id, "files": files}, *(f"{file['sha256']}  {file['path']}" for file in files))
    console.next_step(f"autopilot evidence list {task_id}")
    return 0


_VERBS: dict[str, Callable[[Namespace, Call], int]] = {"add": _add, "list": _list, "show": _show, "export": _export}
