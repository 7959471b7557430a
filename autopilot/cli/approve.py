"""`autopilot approve` and `autopilot reject`: a person's answer, given at a terminal and nowhere else.

What the engine knows is shown first; what the requester says comes last and is marked as such. The person then types
the first digits of the subject: an answer that was not looked at is not an answer. In trust mode 0 nothing proves who
sat there, and the grant says so (`advisory`).
"""

from __future__ import annotations

from typing import Any

from autopilot.approvals.subjects import KINDS
from autopilot.cli import console, opened, options
from autopilot.cli.options import Call, Parser
from autopilot.evidence.spec import parse_spec
from autopilot.kernel.errors import ApprovalRefusedError, AutopilotError, ContractError
from autopilot.kernel.phases import Phase
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.process.origin import origin_tree
from autopilot.process.state import ApprovalRequest, TaskState
from autopilot.wiring.full import Workspace

_DIGITS = 8
_PATHS_SHOWN = 40


def parser(name: str = "approve") -> Parser:
    """The parser of `autopilot approve` or `autopilot reject`."""
    answering = options.command(name, f"{name} what waits for a person; at a terminal only", mutating=True, task=True)
    answering.add_argument(
        "--subject", required=True, metavar="DIGEST", help="what is answered: 8 or more of its digits"
    )
    answering.add_argument("--reason", required=True, help="why, in your words")
    return answering


def run(name: str, words: list[str]) -> int:
    """Show the facts, ask, and record the answer."""
    args = parser(name).parse_args(words)
    call, task_id = options.read_call(args), options.task_named(args)
    options.require_terminal(call, name)
    if not args.reason.strip():
        raise ContractError("reason_missing", where="--reason", detail=f"why do you {name}?")
    with opened.writing(call) as workspace:
        request = _waiting(workspace, task_id, args.subject)
        _show_facts(workspace, workspace.tasks.show(task_id), request)
        if not call.dry_run:
            _confirm(name, request)
        desk = workspace.approvals
        answer = desk.approve if name == "approve" else desk.reject
        entry = answer(task_id, request.subject, reason=args.reason, caller=call.caller)
        _tell(name, call, task_id, request, entry.seq, expires=str(entry.data.get("expires_at", "")))
    console.next_step(f"autopilot advance {task_id}" if name == "approve" else f"autopilot next {task_id}")
    return 0


def _tell(name: str, call: Call, task_id: str, request: ApprovalRequest, seq: int, *, expires: str) -> None:
    answer = "granted" if name == "approve" else "refused"
    shown: dict[str, Any] = {"task": task_id, "subject": request.subject, "answer": answer, "seq": seq}
    done = f"approved until {expires} (advisory: trust mode 0)" if expires else "rejected"
    call.answer({**shown, "expires_at": expires, "advisory": True} if expires else shown, f"{done}; ledger line {seq}")


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
    parsed = parse_spec(workspace.ledger.objects.get(spec.sha256).decode("utf-8", "replace"))
    return [f"would run  {block.id}: {console.clean(' '.join(block.argv))}" for block in parsed.accepts]


def _changes(workspace: Workspace, task: TaskState) -> list[str]:
    """What differs from the task's base: the judged tree where there is one, else the working tree."""
    trees = workspace.site.trees
    try:
        tree = task.judged_tree or trees.snapshot(base_tree=task.base_tree).tree
        changes = trees.changes(origin_tree(workspace.site, task), tree)
    except AutopilotError as error:
        return [f"changes   cannot be read: {error.code} {console.clean(error.detail)}"]
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
