"""Anchors in commits: what `ledger checkpoint` does for the git hook that makes them, and `ledger verify --anchors`."""

from __future__ import annotations

import sys
from argparse import Namespace
from pathlib import Path

from autopilot.cli import console, opened, options
from autopilot.cli.options import Call, Parser
from autopilot.kernel.errors import ContractError
from autopilot.kernel.files import storage_error
from autopilot.kernel.reason_codes import REASON_CODES
from autopilot.ledger.trailers import trailer_of, with_trailer
from autopilot.onboarding.git_hooks import commit_msg_hook
from autopilot.signing.note import MAX_NOTE_BYTES
from autopilot.vcs.repository import Repository
from autopilot.wiring.anchors import AnchoredReport, anchors_of
from autopilot.wiring.hooks import Hooked, hooks_folder, install, remove
from autopilot.wiring.ledgers import publish

HOOK = "commit-msg"
REFUSED = 1
CORRUPT = 3


def add_making(making: Parser) -> None:
    """What `ledger checkpoint` takes of commits."""
    hooks = making.add_mutually_exclusive_group()
    hooks.add_argument(
        "--commit-msg", metavar="FILE", default="", help="put the checkpoint into this commit message as an anchor"
    )
    hooks.add_argument(
        "--install-hook", action="store_true", help="let git do that at each commit, by a commit-msg hook"
    )
    hooks.add_argument("--remove-hook", action="store_true", help="take that hook out; the one before it comes back")
    making.add_argument(
        "--lenient", action="store_true", help="with --install-hook: commit without an anchor where none can be made"
    )
    making.add_argument(
        "--comment-char", metavar="TEXT", default="#", help="with --commit-msg: what comments begin with"
    )


def add_verifying(verifying: Parser) -> None:
    """What `ledger verify` takes of commits."""
    verifying.add_argument(
        "--anchors",
        metavar="RANGE",
        default="",
        help="hold the anchors in these commits (A..B, or B) against the ledger",
    )
    verifying.add_argument(
        "--covers-head",
        action="store_true",
        help="with --anchors: the last commit's anchor must cover all that the ledger says of phases",
    )


def of_commits(args: Namespace, call: Call) -> int | None:
    """The answer of `ledger checkpoint` where it is about commits, else None."""
    if args.lenient and not args.install_hook:
        raise options.usage_error("--lenient goes with --install-hook")
    if not (args.commit_msg or args.install_hook or args.remove_hook):
        return None
    if args.new_key or args.out:
        raise options.usage_error("--new-key and --out go with a plain `ledger checkpoint`")
    if args.commit_msg:
        return _anchor_message(Path(args.commit_msg), args.comment_char, call)
    repository = Repository.locate(call.directory)
    folder = hooks_folder(repository, call.environ)
    if args.remove_hook:
        return _show_hook(remove(folder, HOOK, dry_run=call.dry_run), call, "taken out")
    wanted = commit_msg_hook(sys.executable, lenient=args.lenient)
    return _show_hook(install(folder, HOOK, wanted, dry_run=call.dry_run), call, "installed")


def _show_hook(done: Hooked, call: Call, act: str) -> int:
    aside = str(done.aside) if done.aside else None
    shown = {"hook": str(done.path), "changed": done.changed, "aside": aside, "diff": done.diff}
    told = f"{done.path} {act}" if done.changed else f"nothing to change at {done.path}"
    before = (f"the hook that was there runs first: {aside}",) if aside and act == "installed" else ()
    call.answer(shown, *(done.diff.rstrip("\n").split("\n") if call.dry_run and done.diff else ()), told, *before)
    console.next_step("git commit" if act == "installed" else "autopilot ledger checkpoint --install-hook")
    return 0


def _anchor_message(path: Path, comment: str, call: Call) -> int:
    message, mark = _read(path), b"#" if comment in ("", "auto") else comment.encode()
    held = anchors_of(message, path.name)
    if all(not line.strip() or line.startswith(mark) for line in message.split(b"\n")):
        call.answer({"trailer": None, "path": str(path)}, "the message is empty: git will give the commit up")
        return 0
    with opened.writing(call) as workspace:
        made = publish(workspace, call.caller, held)
    anchored = with_trailer(message, made.checkpoint, mark)
    if anchored is None:
        raise ContractError("bad_usage", where=str(path), detail="the message holds an anchor and nothing else")
    if not call.dry_run:
        try:
            path.write_bytes(anchored)
        except OSError as error:
            raise storage_error(error, path) from error
    # No next step: git shows what a hook says at each commit.
    call.answer({"trailer": trailer_of(made.checkpoint), "path": str(path)}, trailer_of(made.checkpoint))
    return 0


def show_report(report: AnchoredReport, call: Call) -> int:
    """The answer of `ledger verify --anchors`; its exit code."""
    found = report.verified.report
    if call.as_json:
        console.emit(report.as_dict())
    elif report.status == "corrupt":
        console.show(f"corrupt: {report.reason} at line {found.seq}; {found.entries} entries verify before it")
        console.show(f"  {console.clean(found.detail)} [{console.clean(found.where)}]")
        console.next_step(found.error().reasons()[0].remedy)
    else:
        console.show(f"{report.status}: {found.entries} entries, last line {found.seq}")
        _tell_anchors(report)
        if report.reason:
            console.show(f"  {report.reason}: {console.clean(report.detail)}")
            console.next_step(REASON_CODES[report.reason].remedy)
    return {"intact": 0, "corrupt": CORRUPT}.get(report.status, REFUSED)


def _tell_anchors(report: AnchoredReport) -> None:
    if report.anchors:
        newest = max(report.anchors, key=lambda one: one.checkpoint.size)
        console.show(
            f"  agrees with {len(report.anchors)} anchors in {report.commits} commits of {console.clean(report.span)};"
            f" the newest, in {newest.commit[:12]}, covers {newest.checkpoint.size}"
        )
    for origin in sorted({one.checkpoint.origin for one in report.others}):
        count = sum(one.checkpoint.origin == origin for one in report.others)
        console.show(f"  {count} anchors are of another ledger: {console.clean(origin)}")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_NOTE_BYTES + 1)
    except OSError as error:
        raise ContractError("bad_usage", where=str(path), detail=str(error), remedy="name the message's file") from None
    if len(data) > MAX_NOTE_BYTES:
        raise ContractError("bad_usage", where=str(path), detail=f"a message of more than {MAX_NOTE_BYTES} bytes")
    return data
