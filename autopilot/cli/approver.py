"""`autopilot approver`: the keys of those who may sign approvals. A person's, apart from where the agent works.

`keygen`, `show` and `sign` need no repository and no ledger: they are for the machine that has the key.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from autopilot.approvals.grants import MAX_LIFETIME, Grant, Terms
from autopilot.approvals.requests import MAX_REQUEST_BYTES, Asked
from autopilot.approvals.signatures import as_note, sign_grant
from autopilot.approvals.subjects import KINDS
from autopilot.cli import approver_key, console, opened, options
from autopilot.cli.options import Call, Parser
from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError, RefusedError
from autopilot.kernel.ids import drawn
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.kernel.stamps import stamp
from autopilot.signing.locked import lock, write_locked
from autopilot.signing.note import SigningKey, VerifierKey, is_key_name

_DIGITS = 8
_SAID_CHARS = 1000


def parser() -> Parser:
    """The parser of `autopilot approver`."""
    approver = options.command("approver", "the keys of those who may sign approvals")
    verbs = options.verbs_of(approver)
    making = options.verb(verbs, "keygen", "make a key, under a passphrase; at a terminal only")
    making.add_argument("--name", required=True, help="who approves with it; the approver's name on the ledger")
    making.add_argument("--out", required=True, metavar="FILE", help="the new file, outside of every repository")
    showing = options.verb(verbs, "show", "the public half of a key file, as autopilot.toml takes it")
    showing.add_argument("file", metavar="FILE", help="the key file")
    signing = options.verb(verbs, "sign", "show what a request asks, and sign it; at a terminal only")
    signing.add_argument("file", metavar="REQUEST", help="as `autopilot approve --request` wrote it")
    signing.add_argument("--key", required=True, metavar="FILE", help="the key file")
    signing.add_argument("--reason", required=True, help="why, in your words")
    signing.add_argument("--out", required=True, metavar="FILE", help="the new file with the signed approval")
    signing.add_argument("--hours", type=options.count, default=24, metavar="N", help="how long it holds (default 24)")
    options.verb(verbs, "list", "who may sign here, and whether an approval must be signed")
    return approver


def run(name: str, words: list[str]) -> int:
    """Run one verb."""
    del name
    args = parser().parse_args(words)
    return _VERBS[args.verb](args, options.read_call(args))


def signed(asked: Asked, key: SigningKey, reason: str, *, hours: int = 24) -> Grant:
    """The request, granted and signed, from now on; time and nonce are this machine's, not the request's."""
    terms = Terms(now=datetime.now(UTC), nonce=drawn(16), lifetime=timedelta(hours=hours))
    return sign_grant(asked.grant(key.verifier.name, reason, terms), key)


def registration(key: VerifierKey) -> str:
    """The lines of autopilot.toml that register the key."""
    return f'[approvals]\nsigned = "required"\napprovers = ["{key.encode()}"]'


def _keygen(args: Namespace, call: Call) -> int:
    _require_terminal("approver keygen")
    if not is_key_name(args.name):
        raise ContractError("bad_usage", where="--name", detail="not empty, no blanks, no plus", remedy="as in: ada")
    Caller(args.name, "human")  # a name that the ledger can hold
    path = Path(args.out)
    approver_key.refuse_within_reach(call, path)
    key = SigningKey.generate(args.name)
    write_locked(path, lock(key, approver_key.chosen_passphrase()))
    return _show_public(key.verifier, path, call)


def _show(args: Namespace, call: Call) -> int:
    path = Path(args.file)
    return _show_public(approver_key.public_half(path), path, call)


def _show_public(key: VerifierKey, path: Path, call: Call) -> int:
    shown = {"name": key.name, "id": key.id, "vkey": key.encode(), "path": str(path)}
    call.answer(shown, key.encode())
    console.say("to register it, a person writes into autopilot.toml, and seals that with `autopilot init`:")
    for line in registration(key).split("\n"):
        console.say(f"  {line}")
    console.next_step("autopilot approver list")
    return 0


def _sign(args: Namespace, call: Call) -> int:
    _require_terminal("approver sign")
    if timedelta(hours=args.hours) > MAX_LIFETIME:
        raise ContractError("bad_usage", where="--hours", detail="no approval holds longer than 7 days", remedy="less")
    asked = Asked.parse(read_small(Path(args.file), MAX_REQUEST_BYTES))
    for line in described(asked):
        console.say(line)
    confirm(asked)
    key = approver_key.opened_key(call, Path(args.key))
    grant = signed(asked, key, args.reason, hours=args.hours)
    out = Path(args.out)
    write_new(out, as_note(grant))
    shown = {
        "subject": asked.subject.sha256,
        "approver": grant.approver.actor,
        "key": grant.key,
        "expires_at": stamp(grant.expires_at),
        "path": str(out),
    }
    call.answer(shown, f"signed by {grant.approver.actor} ({grant.key}) until {stamp(grant.expires_at)}: {out}")
    console.next_step(f"autopilot approve {asked.subject.task or 'TASK'} --grant {out}")
    return 0


def _list(args: Namespace, call: Call) -> int:
    del args
    with opened.reading(call) as workspace:
        signers, named = workspace.approvals.signers(), workspace.approvals.named()
    keys = [(key, "registered") for key in signers.keys]
    waiting = [VerifierKey.parse(text) for text in named]
    keys += [(key, "inert until a person seals autopilot.toml") for key in waiting if key not in signers.keys]
    rows = [{"name": key.name, "id": key.id, "vkey": key.encode(), "standing": standing} for key, standing in keys]
    signed = "required" if signers.required else "optional"
    if call.as_json:
        console.emit({"signed": signed, "approvers": rows})
        return 0
    console.show(f"signed approvals are {signed}")
    console.table(("approver", "key", "standing"), [(row["name"], row["id"], row["standing"]) for row in rows])
    return 0


def described(asked: Asked) -> tuple[str, ...]:
    """The request for a person's eyes: first what the requester says; last, next to the question, what is signed."""
    subject = asked.subject
    signed = (
        ("ledger", subject.ledger),
        ("task", subject.task),
        ("move", f"{subject.move}, epoch {subject.epoch}"),
        ("question", f"{subject.kind}, {KINDS[subject.kind]}"),
        ("digest", subject.digest),
        ("subject", subject.sha256),
        ("evidence", asked.evidence),
    )
    caller = asked.requester
    said = (asked.title, f"asked by {caller.actor}, session {caller.session}", *asked.facts, asked.why)
    return (
        "What the machine that asks says of it",
        *(f"  | {_clipped(line)}" for line in said),
        "What would be signed",
        *(f"  {name:<9} {console.clean(value)}" for name, value in signed),
    )


def _clipped(text: str) -> str:
    shown = console.clean(text)
    return shown if len(shown) <= _SAID_CHARS else f"{shown[:_SAID_CHARS]} ({len(shown) - _SAID_CHARS} more not shown)"


def confirm(asked: Asked) -> None:
    """RefusedError `not_confirmed` unless the person types the subject's first digits."""
    digits = asked.subject.sha256[:_DIGITS]
    console.say(f"To approve, type the first {_DIGITS} digits of the subject.")
    if console.ask(f"{digits} to approve, anything else to leave: ") != digits:
        detail = "the digits typed are not the subject's"
        raise RefusedError(Verdict((Reason("not_confirmed", detail=detail),)))


def read_small(path: Path, most: int) -> bytes:
    """A file that somebody names, at most `most` bytes of it and one; ContractError `bad_usage`."""
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise ContractError("bad_usage", where=str(path), detail=f"cannot be read: {error.strerror}") from None


def _require_terminal(act: str) -> None:
    if not console.at_terminal():
        raise RefusedError(Verdict((Reason("not_a_terminal", where=act, detail="a passphrase is typed by a person"),)))


def write_new(path: Path, data: bytes) -> None:
    """A new file; ContractError `target_exists` where something is."""
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        raise ContractError("target_exists", where=str(path), remedy="name a file that is not there") from None
    except OSError as error:
        raise ContractError("bad_usage", where=str(path), detail=f"cannot be written: {error.strerror}") from None


_VERBS: dict[str, Callable[[Namespace, Call], int]] = {
    "keygen": _keygen,
    "show": _show,
    "sign": _sign,
    "list": _list,
}
