"""Lease records from their stored form. Strict: any other key, type, kind or word is refused.

A record that was read is a record that could have been written: nothing is repaired, defaulted or ignored, because
the log decides who may work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.kernel.ids import parse_task_id
from autopilot.kernel.shapes import INTEGER, LIST, NOTHING, OBJECT, TEXT, Shape, exact_fields
from autopilot.leases.records import (
    Expire,
    Force,
    Grant,
    Lapse,
    LeaseRecord,
    Release,
    Renew,
    Snapshot,
    TaskLeases,
)
from autopilot.leases.terms import NS_PER_US, Holder, Lease, Moment, ProcessIdentity, parse_resource


def parse_record(stored: Mapping[str, Any], *, where: str = "leases.wal") -> LeaseRecord:
    """The record in its stored form; IntegrityError `lease_log_corrupt` if anything about it is not as written."""
    try:
        kind = stored["kind"]
        return _PARSERS[kind]({name: value for name, value in stored.items() if name != "kind"})
    except (KeyError, TypeError, ValueError, ContractError) as error:
        raise IntegrityError(
            "lease_log_corrupt", where=where, detail=f"not a lease record: {type(error).__name__}: {error}"
        ) from None


def parse_lease(stored: Mapping[str, Any]) -> Lease:
    """A lease from the fields of a grant; KeyError, TypeError, ValueError or ContractError where they do not fit."""
    fields = exact_fields(stored, _LEASE)
    granted_ns = fields["granted_us"] * NS_PER_US
    process = fields["process"]
    return Lease(
        resource=parse_resource(fields["resource"]),
        fence=fields["fence"],
        holder=Holder(
            parse_caller(fields["holder"]),
            None if process is None else ProcessIdentity(**exact_fields(process, _PROCESS)),
        ),
        token_sha256=fields["token_sha256"],
        boot=fields["boot"],
        granted_ns=granted_ns,
        since_ns=fields["since_us"] * NS_PER_US,
        deadline_ns=fields["deadline_us"] * NS_PER_US,
        renewed_ns=granted_ns,
    )


def parse_caller(stored: Mapping[str, Any]) -> Caller:
    """A caller from the ledger's `actor` object; raises as `parse_lease` does."""
    fields = exact_fields(stored, _CALLER)
    return Caller(fields["id"], fields["kind"], fields["session"])


_NAMED: Shape = {"resource": TEXT, "fence": INTEGER}
_AT: Shape = {"boot": TEXT, "at_us": INTEGER}
_LEASE: Shape = _NAMED | {
    "holder": OBJECT,
    "process": OBJECT + NOTHING,
    "token_sha256": TEXT,
    "boot": TEXT,
    "granted_us": INTEGER,
    "since_us": INTEGER,
    "deadline_us": INTEGER,
}
_PROCESS: Shape = {"host": TEXT, "namespaces": TEXT, "pid": INTEGER, "start": TEXT}
_CALLER: Shape = {"id": TEXT, "kind": TEXT, "session": TEXT}
_LAPSE: Shape = {"fence": INTEGER, "session": TEXT}
_TASK: Shape = {"task": TEXT, "fence_high": INTEGER, "held": OBJECT + NOTHING, "lapses": LIST}


def _one_of(value: str, known: tuple[str, ...]) -> Any:
    if value not in known:
        raise ValueError(f"{value!r} is none of {', '.join(known)}")
    return value


def _at(fields: Mapping[str, Any]) -> Moment:
    return Moment(fields["at_us"] * NS_PER_US, fields["boot"])


def _parse_grant(stored: dict[str, Any]) -> Grant:
    how = stored.pop("how")
    return Grant(parse_lease(stored), _one_of(how, ("caller", "move")))


def _parse_renew(stored: dict[str, Any]) -> Renew:
    fields = exact_fields(stored, _NAMED | {"at_us": INTEGER, "deadline_us": INTEGER})
    return Renew(
        parse_resource(fields["resource"]),
        fields["fence"],
        fields["at_us"] * NS_PER_US,
        fields["deadline_us"] * NS_PER_US,
    )


def _parse_release(stored: dict[str, Any]) -> Release:
    fields = exact_fields(stored, _NAMED | _AT | {"caller": OBJECT, "how": TEXT})
    how = _one_of(fields["how"], ("caller", "move", "regrant"))
    caller = parse_caller(fields["caller"])
    return Release(parse_resource(fields["resource"]), fields["fence"], caller, _at(fields), how)


def _parse_expire(stored: dict[str, Any]) -> Expire:
    fields = exact_fields(stored, _NAMED | _AT | {"proof": TEXT})
    proof = _one_of(fields["proof"], ("deadline", "reboot", "dead"))
    return Expire(parse_resource(fields["resource"]), fields["fence"], _at(fields), proof)


def _parse_force(stored: dict[str, Any]) -> Force:
    shape = _NAMED | _AT | {"ended": INTEGER + NOTHING, "by": OBJECT, "reason": TEXT, "observed": TEXT}
    fields = exact_fields(stored, shape)
    return Force(
        parse_resource(fields["resource"]),
        fields["fence"],
        fields["ended"],
        _at(fields),
        parse_caller(fields["by"]),
        fields["reason"],
        fields["observed"],
    )


def _parse_snapshot(stored: dict[str, Any]) -> Snapshot:
    fields = exact_fields(stored, {"part": INTEGER, "parts": INTEGER, "wal_seq": INTEGER, "tasks": LIST})
    fields["tasks"] = tuple(_parse_task(task) for task in fields["tasks"])
    return Snapshot(**fields)


def _parse_task(stored: Mapping[str, Any]) -> tuple[str, TaskLeases]:
    fields = exact_fields(stored, _TASK)
    lapses = tuple(
        Lapse(**exact_fields({"fence": fence, "session": session}, _LAPSE)) for fence, session in fields["lapses"]
    )
    held = None if fields["held"] is None else _parse_held(dict(fields["held"]))
    if held is not None and (held.task, held.fence) != (fields["task"], fields["fence_high"]):
        raise ValueError(f"{held.resource} under fence {held.fence} is not the current lease of {fields['task']}")
    return parse_task_id(fields["task"]), TaskLeases(fields["fence_high"], held, lapses)


def _parse_held(stored: dict[str, Any]) -> Lease:
    renewed_us, renewals = stored.pop("renewed_us"), stored.pop("renewals")
    exact_fields({"renewed_us": renewed_us, "renewals": renewals}, {"renewed_us": INTEGER, "renewals": INTEGER})
    return replace(parse_lease(stored), renewed_ns=renewed_us * NS_PER_US, renewals=renewals)


_PARSERS: Mapping[str, Callable[[dict[str, Any]], LeaseRecord]] = {
    "grant": _parse_grant,
    "renew": _parse_renew,
    "release": _parse_release,
    "expire": _parse_expire,
    "force": _parse_force,
    "snapshot": _parse_snapshot,
}
