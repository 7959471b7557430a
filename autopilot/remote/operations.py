"""What can be asked of a daemon: one literal table, and nothing else can be.

A row says which desk's method is called, the type of each argument and of the answer. The name that comes over the
line is looked up here and nowhere else; it never reaches `getattr`. `caller` is no argument of the client's: the daemon
puts in whom the kernel names. Bytes (documents, prompts, sealed objects) go beside the JSON object, one argument at
most.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator

from autopilot.approvals.requests import Asked
from autopilot.attestation.drift import Attestation
from autopilot.kernel.errors import ContractError
from autopilot.kernel.reasons import Verdict
from autopilot.leases.book import LeaseBook
from autopilot.leases.terms import Claim, Lease
from autopilot.ledger.chain import Head
from autopilot.ledger.verify import VerifyReport
from autopilot.process.desks.flagging import FlagStatus
from autopilot.process.desks.inspecting import Changes
from autopilot.process.desks.leasing import Granted
from autopilot.process.enforcer import Verified
from autopilot.process.guidance import NextSteps
from autopilot.process.router import Judgement, ToolCall
from autopilot.process.state import ApprovalRequest, EngineState, Evidence, TaskState
from autopilot.process.watch import Escalation
from autopilot.remote.wire import Entry, incoming, outgoing

ENTRIES_PAGE = 200
"""The most ledger lines in one answer."""

_REQUIRED = object()


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: its type, and its value where the client names none."""

    kind: Any
    default: Any = _REQUIRED

    @property
    def required(self) -> bool:
        """Whether the client must name it."""
        return self.default is _REQUIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One row: where the method is (`of`), what goes in and what comes out.

    `caller`: it is given the bound caller. `blob`: the argument that travels as bytes. `answers_blob`: the answer is a
    pair, of a value and bytes. `unnamed`: the arguments that callers may give without their names, in their order,
    where these are not simply the first. `approver`: only for a user that is configured as one.
    """

    of: Callable[[Any], Callable[..., Any]]
    takes: Mapping[str, Argument] = field(default_factory=dict)
    gives: Any = None
    caller: bool = False
    blob: str = ""
    unnamed: tuple[str, ...] = ()
    answers_blob: bool = False
    approver: bool = False

    @property
    def order(self) -> tuple[str, ...]:
        """The arguments in the order of the desk's method."""
        return self.unnamed or (*self.takes, *((self.blob,) if self.blob else ()))

    def arguments(self, plain: Mapping[str, Any], blob: bytes) -> dict[str, Any]:
        """The arguments that the client's plain data stands for; ContractError `bad_frame` for any other."""
        if unknown := sorted(set(plain) - set(self.takes)):
            raise ContractError("bad_frame", where=unknown[0][:80], detail="no such argument")
        found: dict[str, Any] = {self.blob: blob} if self.blob else {}
        for name, argument in self.takes.items():
            if name in plain:
                found[name] = incoming(plain[name], argument.kind, where=name)
            elif argument.required:
                raise ContractError("bad_frame", where=name, detail="the argument is missing")
        return found

    def plain(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The client's arguments as plain data."""
        return {name: outgoing(value, self.takes[name].kind) for name, value in given.items()}


def _verified_out(found: Verified) -> dict[str, Any]:
    return {"verdict": outgoing(found.verdict, Verdict), "entry": outgoing(found.entry, Entry)}


def _verified_in(value: Any) -> Verified:
    return Verified(
        incoming(value["verdict"], Verdict, where="verdict"),
        incoming(value["entry"], Entry, where="entry"),
    )


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint that the daemon made: the note, its key, the ledger line, and where the daemon keeps it."""

    note: str
    vkey: str
    seq: int
    path: str
    new_key: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A view as it travels: what is true at one head."""

    state: EngineState
    head: Head
    leases: LeaseBook


_Verified = Annotated[Verified, PlainSerializer(_verified_out), PlainValidator(_verified_in)]
_TEXT = Argument(str)
_TASK = {"task_id": _TEXT}
_LEASE = {"lease": Argument(Claim | None, None)}
_REASON = {"reason": _TEXT}
_PROFILE = {"profile": Argument(str, "code-change")}

OPERATIONS: Mapping[str, Operation] = {
    "tasks.open": Operation(
        of=lambda desks: desks.tasks.open, takes={**_TASK, "title": _TEXT, **_PROFILE}, gives=TaskState, caller=True
    ),
    "tasks.list": Operation(of=lambda desks: desks.tasks.list, gives=tuple[TaskState, ...]),
    "tasks.show": Operation(of=lambda desks: desks.tasks.show, takes=_TASK, gives=TaskState),
    "tasks.abandon": Operation(
        of=lambda desks: desks.tasks.abandon, takes={**_TASK, **_REASON}, gives=Entry, caller=True
    ),
    "tasks.resume": Operation(
        of=lambda desks: desks.tasks.resume, takes={**_TASK, **_REASON}, gives=Entry, caller=True
    ),
    "enforcer.advance_phase": Operation(
        of=lambda desks: desks.enforcer.advance_phase,
        takes={**_TASK, "to": Argument(str | None, None), **_LEASE},
        gives=Entry,
        caller=True,
    ),
    "enforcer.preview": Operation(
        of=lambda desks: desks.enforcer.preview,
        takes={**_TASK, "to": Argument(str | None, None), **_LEASE},
        gives=Verdict,
        caller=True,
    ),
    "enforcer.verify": Operation(
        of=lambda desks: desks.enforcer.verify, takes={**_TASK, **_LEASE}, gives=_Verified, caller=True
    ),
    "enforcer.backtrack": Operation(
        of=lambda desks: desks.enforcer.backtrack,
        takes={**_TASK, "to": _TEXT, **_REASON, **_LEASE},
        gives=Entry,
        caller=True,
    ),
    "leases.acquire": Operation(of=lambda desks: desks.leases.acquire, takes=_TASK, gives=Granted, caller=True),
    "leases.renew": Operation(of=lambda desks: desks.leases.renew, takes={**_TASK, **_LEASE}, gives=Lease, caller=True),
    "leases.release": Operation(
        of=lambda desks: desks.leases.release, takes={**_TASK, **_LEASE}, gives=type(None), caller=True
    ),
    "leases.force": Operation(
        of=lambda desks: desks.leases.force,
        takes={**_TASK, **_REASON, "observed": Argument(str, "")},
        gives=int,
        caller=True,
    ),
    "leases.held": Operation(of=lambda desks: desks.leases.held, takes=_TASK, gives=Lease | None),
    "leases.observed": Operation(of=lambda desks: desks.leases.observed, takes=_TASK, gives=str),
    "evidence.add_bytes": Operation(
        of=lambda desks: desks.evidence.add_bytes,
        takes={**_TASK, "name": _TEXT, **_LEASE},
        gives=Entry,
        caller=True,
        blob="data",
        unnamed=("task_id", "name", "data"),
    ),
    "evidence.list": Operation(of=lambda desks: desks.evidence.list, takes=_TASK, gives=tuple[Evidence, ...]),
    "evidence.show": Operation(
        of=lambda desks: desks.evidence.show,
        takes={**_TASK, "name": _TEXT, "phase": Argument(str, "")},
        gives=Evidence,
        answers_blob=True,
    ),
    "approvals.waiting": Operation(
        of=lambda desks: desks.approvals.waiting, takes=_TASK, gives=tuple[ApprovalRequest, ...]
    ),
    "approvals.approve": Operation(
        of=lambda desks: desks.approvals.approve,
        takes={**_TASK, "subject": _TEXT, **_REASON},
        gives=Entry,
        caller=True,
        approver=True,
    ),
    "approvals.reject": Operation(
        of=lambda desks: desks.approvals.reject,
        takes={**_TASK, "subject": _TEXT, **_REASON},
        gives=Entry,
        caller=True,
        approver=True,
    ),
    "approvals.asked": Operation(
        of=lambda desks: desks.approvals.asked, takes={**_TASK, "subject": _TEXT}, gives=Asked
    ),
    # Anybody may bring a signed approval: the signature is what counts.
    "approvals.bring": Operation(
        of=lambda desks: desks.approvals.bring, takes=_TASK, gives=Entry, caller=True, blob="data"
    ),
    "attestation.check": Operation(
        of=lambda desks: desks.attestation.check, takes=_TASK, gives=Attestation, caller=True, blob="prompt"
    ),
    "attestation.change_baseline": Operation(
        of=lambda desks: desks.attestation.change_baseline,
        takes={**_TASK, **_REASON},
        gives=Entry,
        caller=True,
        blob="prompt",
        unnamed=("task_id", "prompt"),
    ),
    "flags.list": Operation(of=lambda desks: desks.flags.list, gives=tuple[FlagStatus, ...]),
    "flags.set": Operation(
        of=lambda desks: desks.flags.set,
        takes={"name": _TEXT, "mode": _TEXT, **_REASON},
        gives=Entry,
        caller=True,
    ),
    "flags.note_requests": Operation(of=lambda desks: desks.flags.note_requests, gives=type(None), caller=True),
    "config.seal": Operation(of=lambda desks: desks.config.seal, gives=Entry | None, caller=True, blob="signed"),
    "config.asked": Operation(of=lambda desks: desks.config.asked, gives=Asked),
    "watchdog.look_at_all": Operation(
        of=lambda desks: desks.watchdog.look_at_all, gives=tuple[Escalation, ...], caller=True
    ),
    "guidance.next_steps": Operation(
        of=lambda desks: desks.guidance.next_steps, takes=_TASK, gives=NextSteps, caller=True
    ),
    "guidance.skeletons": Operation(
        of=lambda desks: desks.guidance.skeletons, takes=_TASK, gives=tuple[tuple[str, str], ...], caller=True
    ),
    "inspection.changes": Operation(of=lambda desks: desks.inspection.changes, takes=_TASK, gives=Changes),
    "inspection.uncommitted": Operation(
        of=lambda desks: desks.inspection.uncommitted, takes=_TASK, gives=tuple[str, ...]
    ),
    "recording.impostor": Operation(
        of=lambda desks: desks.recording.impostor, takes={"act": _TEXT}, gives=int, caller=True
    ),
    "router.judge": Operation(
        of=lambda desks: desks.router.judge,
        takes={"call": Argument(ToolCall), "record": Argument(bool, True)},
        gives=Judgement,
        caller=True,
    ),
    "ledger.view": Operation(of=lambda desks: desks.ledger.picture, gives=Picture),
    "ledger.page": Operation(
        of=lambda desks: desks.ledger.page,
        takes={"start": Argument(int), "stop": Argument(int | None, None)},
        gives=tuple[Entry, ...],
    ),
    "ledger.verify": Operation(
        of=lambda desks: desks.ledger.verify,
        takes={
            "notes": Argument(tuple[tuple[str, str], ...], ()),
            "keys": Argument(tuple[str, ...], ()),
            "anchors": Argument(tuple[tuple[str, str], ...], ()),
            "witnesses": Argument(tuple[str, ...], ()),
        },
        gives=VerifyReport,
    ),
    "ledger.checkpoint": Operation(
        of=lambda desks: desks.ledger.checkpoint,
        takes={"anchors": Argument(tuple[tuple[str, str], ...], ())},
        gives=SignedCheckpoint,
        caller=True,
    ),
    "ledger.object": Operation(
        of=lambda desks: desks.ledger.object, takes={"sha256": _TEXT}, gives=type(None), answers_blob=True
    ),
}


def operation(name: object) -> Operation:
    """The row of that name; ContractError `unknown_operation` where there is none."""
    found = OPERATIONS.get(name) if isinstance(name, str) else None
    if found is None:
        raise ContractError("unknown_operation", where=str(name)[:80], detail="no such operation")
    return found
