"""`autopilot approve` and `autopilot reject`: a person's answer, given at a terminal and nowhere else.

What the engine knows is shown first; what the requester says comes last and is marked as such. The person then types
the first digits of the subject: an answer that was not looked at is not an answer. In trust mode 0 nothing proves who
sat there, and the grant says so (`advisory`); with `--key` the person's key signs it, and that does.

The key can be on another machine: `--request` writes what is to be signed, `--grant` brings in what `autopilot
approver sign` made of it. Anybody may do these two, an agent too: the signature is what counts.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from autopilot.approvals.signatures import MAX_GRANT_BYTES, as_note
from autopilot.approvals.subjects import KINDS
from autopilot.cli import approver_key, console, opened, options
from autopilot.cli.approver import read_small, signed, write_new
from autopilot.cli.options import Call, Parser
from autopilot.evidence.spec import parse_spec
from autopilot.kernel.errors import ApprovalRefusedError, AutopilotError, ContractError
from autopilot.kernel.phases import Phase
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.ledger.entry import LedgerEntry
from autopilot.process.state import ApprovalRequest, TaskState
from autopilot.wiring.full import Workspace

_DIGITS = 8
_PATHS_SHOWN = 40


def parser(name: str = "approve") -> Parser:
    """The parser of `autopilot approve` or `autopilot reject`."""
    answering = options.command(name, f"{name} what waits for a person; at a terminal only", mutating=True, task=True)
    if name != "approve":
        answering.add_argument(
            "--subject", required=True, metavar="DIGEST", help="what is answered: 8 or more of its digits"
        )
        answering.add_argument("--reason", required=True, help="why, in your words")
        return answering
    answering.add_argument("--subject", metavar="DIGEST", help="what is answered: 8 or more of its digits")
    answering.add_argument("--reason", default="", help="why, in your words")
    answering.add_argument("--key", default="", metavar="FILE", help="sign with the approver's key in this file")
    answering.add_argument("--request", default="", metavar="FILE", help="write what is to be signed elsewhere")
    answering.add_argument("--grant", default="", metavar="FILE", help="bring in what was signed elsewhere")
    return answering


def run(name: str, words: list[str]) -> int:
    """Show the facts, ask, and record the answer."""
    args = parser(name).parse_args(words)
    call, task_id = options.read_call(args), options.task_named(args)
    if name == "approve" and (args.request or args.grant):
        return _detached(args, call, task_id)
    options.require_terminal(call, name)
    if args.subject is None:
        raise options.usage_error("--subject DIGEST is missing", f"autopilot {name}")
    if not args.reason.strip():
        raise ContractError("reason_missing", where="--reason", detail=f"why do you {name}?")
    with opened.writing(call) as workspace:
        request = _waiting(workspace, task_id, args.subject)
        _show_facts(workspace, workspace.tasks.show(task_id), request)
        if not call.dry_run:
            _confirm(name, request)
        desk = workspace.approvals
        if name == "approve" and args.key:
            asked = desk.asked(task_id, request.subject)
            key = approver_key.opened_key(call, Path(args.key))
            entry = desk.bring(task_id, as_note(signed(asked, key, args.reason)), caller=call.caller)
        else:
            answer = desk.approve if name == "approve" else desk.reject
            entry = answer(task_id, request.subject, reason=args.reason, caller=call.caller)
        _tell(name, call, task_id, request.subject, entry)
    console.next_step(f"autopilot advance {task_id}" if name == "approve" else f"autopilot next {task_id}")
    return 0


def _detached(args: Namespace, call: Call, task_id: str) -> int:
    """Write a request for a signature, or bring in a signed approval. Nobody is asked: nothing is decided here."""
    if args.request and args.grant:
        raise options.usage_error("--request or --grant, not both", "autopilot approve")
    if args.grant:
        with opened.writing(call) as workspace:
            data = read_small(Path(args.grant), MAX_GRANT_BYTES)
            entry = workspace.approvals.bring(task_id, data, caller=call.caller)
            _tell("approve", call, task_id, str(entry.data["subject_sha256"]), entry)
        console.next_step(f"autopilot advance {task_id}")
        return 0
    if args.subject is None:
        raise options.usage_error("--subject DIGEST is missing", "autopilot approve")
    with opened.reading(call) as workspace:
        request = _waiting(workspace, task_id, args.subject)
        task = workspace.tasks.show(task_id)
        facts = (*_accept_blocks(workspace, task, request), *_changes(workspace, task))
        asked = replace(workspace.approvals.asked(task_id, request.subject), facts=facts)
    if not call.dry_run:
        write_new(Path(args.request), asked.encode())
    shown = {"task": task_id, "subject": request.subject, "answer": "asked", "path": args.request}
    call.answer(shown, f"to be signed: {args.request}, subject {request.subject}")
    console.next_step(f"autopilot approver sign {args.request} --key FILE --reason TEXT --out FILE")
    return 0


def _tell(name: str, call: Call, task_id: str, subject: str, entry: LedgerEntry) -> None:
    shown: dict[str, Any] = {"task": task_id, "subject": subject, "seq": entry.seq}
    if name != "approve":
        call.answer({**shown, "answer": "refused"}, f"rejected; ledger line {entry.seq}")
        return
    data = entry.data
    by = f"signed by {data['approver']['id']}, key {data['key']}" if data["key"] else "advisory: trust mode 0"
    if not data["key"] and not data["advisory"]:
        by = f"by {data['approver']['id']}, a user of its own: trust mode 1"
    shown |= {"answer": "granted", "expires_at": data["expires_at"], "advisory": data["advisory"], "key": data["key"]}
    call.answer(shown, f"approved until {data['expires_at']} ({by}); ledger line {entry.seq}")


def _waiting(workspace: Workspace, task_id: str, subject: str) -> ApprovalRequest:
    """The request that the digits name. One that was granted is found too, so that it can be withdrawn."""
    requests = workspace.tasks.show(task_id).requests
    found = [request for key, request in requests.items() if key.startswith(subject)]
    if len(subject) < _DIGITS or len(found) != 1:
        detail = "the digits name more than one subject" if len(found) > 1 else "nothing waits under this subject"
        raise _refused("unknown_subject", detail, where=subject[:64])
    return found[0]


def _confirm(name: str, request: ApprovalRequest) -> None:
    console.say(f"To {name}, type the first {_DIGITS} digits of the subject.")
    typed = console.ask(f"{request.subject[:_DIGITS]} to {name}, anything else to leave: ")
    if typed != request.subject[:_DIGITS]:
        raise _refused("not_confirmed", "the digits typed are not the subject's")


def _show_facts(workspace: Workspace, task: TaskState, request: ApprovalRequest) -> None:
    facts = (
        ("task", f"{task.id}, {console.clean(task.title)}"),
        ("phase", f"{task.stage}, epoch {task.epoch}"),
        ("question", f"{request.kind}, {KINDS.get(request.kind, 'of a kind this version does not know')}"),
        ("move", request.move),
        ("digest", request.digest),
        ("subject", request.subject),
        ("asked by", f"{console.clean(request.requester)}, session {console.clean(request.session)}"),
    )
    console.say("What the engine knows")
    for name, value in facts:
        console.say(f"  {name:<9} {value}")
    for line in (*_accept_blocks(workspace, task, request), *_changes(workspace, task)):
        console.say(f"  {line}")
    console.say("What is said for it")
    console.say(f"  {console.clean(request.why)}")


def _accept_blocks(workspace: Workspace, task: TaskState, request: ApprovalRequest) -> list[str]:
    spec = task.live(Phase.SPEC, "spec.md")
    if request.kind != "accept_unisolated" or spec is None:
        return []
    sealed = workspace.evidence.show(task.id, "spec.md", phase=str(Phase.SPEC))[1]
    parsed = parse_spec(sealed.decode("utf-8", "replace"))
    return [f"would run  {block.id}: {console.clean(' '.join(block.argv))}" for block in parsed.accepts]


def _changes(workspace: Workspace, task: TaskState) -> list[str]:
    """What differs from the task's base: the judged tree where there is one, else the working tree."""
    try:
        found = workspace.inspection.changes(task.id)
    except AutopilotError as error:
        return [f"changes   cannot be read: {error.code} {console.clean(error.detail)}"]
    tree, changes = found.tree, found.changes
    if not changes:
        return ["changes   none"]
    added, deleted = sum(c.added_lines for c in changes), sum(c.deleted_lines for c in changes)
    size = f"{len(changes)} files, +{added} -{deleted} lines"
    lines = [f"changes   {size}, tree {tree[:12]} against base {task.base_tree[:12]}"]
    lines += [
        f"  {c.change:<8} +{c.added_lines} -{c.deleted_lines} {console.clean(c.path)}" for c in changes[:_PATHS_SHOWN]
    ]
    if len(changes) > _PATHS_SHOWN:
        lines.append(f"  and {len(changes) - _PATHS_SHOWN} more")
    return lines


def _refused(code: str, detail: str, where: str = "") -> ApprovalRefusedError:
    return ApprovalRefusedError(Verdict((Reason(code, detail=detail, where=where),)))
