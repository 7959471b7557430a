"""Values on the wire: the engine's own frozen dataclasses, as JSON and back, checked against their types on the way in.

pydantic reads the types; nothing is ever built from a name that came over the line. Three things have a form of their
own: a ledger line travels as its stored body with its hash, and is checked against it; a verdict's reasons bring their
remedies along, so that an older client can show a newer daemon's; an error is one of the kernel's families by name.
"""

from __future__ import annotations

import functools
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, TypeAdapter, ValidationError

from autopilot.kernel.canonical import encode, parse
from autopilot.kernel.errors import (
    ApprovalRefusedError,
    AutopilotError,
    ContractError,
    IntegrityError,
    LeaseRefusedError,
    MissingComponentError,
    RefusedError,
    StorageError,
    ToolCallRefusedError,
    TransitionRefusedError,
)
from autopilot.kernel.framing import body_hash
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.ledger.entry import LedgerEntry

_FAMILIES: dict[str, type[AutopilotError]] = {
    "RefusedError": RefusedError,
    "TransitionRefusedError": TransitionRefusedError,
    "ToolCallRefusedError": ToolCallRefusedError,
    "LeaseRefusedError": LeaseRefusedError,
    "ApprovalRefusedError": ApprovalRefusedError,
    "IntegrityError": IntegrityError,
    "ContractError": ContractError,
    "StorageError": StorageError,
    "MissingComponentError": MissingComponentError,
}
_FAULT = "fault"


class DaemonFaultError(Exception):
    """A bug in the daemon: it says so, and what it was doing is in its own log. The exit code is that of a bug."""


def _entry_out(entry: LedgerEntry) -> dict[str, Any]:
    return {"hash": entry.hash, "body": entry.body.decode()}


def _entry_in(value: Any) -> LedgerEntry:
    if isinstance(value, LedgerEntry):
        return value
    body = value["body"].encode()
    if body_hash(body) != value["hash"]:
        raise ValueError("the line does not have its hash")
    record = parse(body, where="ledger line")
    return LedgerEntry(record["seq"], value["hash"], body, record)


Entry = Annotated[LedgerEntry, PlainSerializer(_entry_out), PlainValidator(_entry_in)]


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def outgoing(value: Any, kind: Any) -> Any:
    """`value`, which is of type `kind`, as plain data."""
    return _adapter(kind).dump_python(value, mode="json")


def incoming(plain: Any, kind: Any, *, where: str) -> Any:
    """The value of type `kind` that `plain` is the form of; ContractError `bad_frame` names what does not fit."""
    try:
        return _adapter(kind).validate_json(encode(plain), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ContractError("bad_frame", where=f"{where} {place}".strip(), detail=str(first["msg"])[:200]) from None


def error_out(error: BaseException) -> dict[str, Any]:
    """An error as plain data. Anything but the kernel's families is a fault, of which only the kind is told."""
    name = next((kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _FAMILIES), "")
    if not isinstance(error, AutopilotError) or not name:
        return {"family": _FAULT, "detail": type(error).__name__}
    told: dict[str, Any] = {
        "family": name,
        "code": error.code,
        "detail": error.detail,
        "where": error.where,
        "remedy": error.reasons()[0].remedy if error.reasons() else "",
    }
    if isinstance(error, RefusedError):
        told |= {"verdict": outgoing(error.verdict, Verdict), "seq": error.seq}
    if isinstance(error, StorageError):
        told["retryable"] = error.retryable
    return told


def error_in(plain: Any) -> Exception:
    """The error that `plain` is the form of, to be raised."""
    name = plain.get("family") if isinstance(plain, dict) else None
    if not isinstance(name, str) or name not in _FAMILIES:
        said = str(plain.get("detail", "")) if isinstance(plain, dict) else ""
        return DaemonFaultError(f"the daemon failed ({said or 'no reason given'}); its log has the trace")
    family = _FAMILIES[name]
    if issubclass(family, RefusedError):
        verdict: Verdict = incoming(plain.get("verdict"), Verdict, where="error")
        if not verdict.reasons:
            verdict = Verdict((Reason("bad_frame", detail="a refusal without a reason"),))
        seq = plain.get("seq")
        return family(verdict, seq=seq if isinstance(seq, int) else None)
    code, words = str(plain.get("code", "")), {key: str(plain.get(key, "")) for key in ("detail", "where", "remedy")}
    if family is StorageError:
        return StorageError(code, **words, retryable=bool(plain.get("retryable")))
    return family(code, **words)
