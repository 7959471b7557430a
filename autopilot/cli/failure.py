"""How errors leave the command line: four families, exit codes, one message form. Nothing else maps errors."""

from __future__ import annotations

import json
import sys
import traceback
from typing import Any

from autopilot.cli import console, remedies
from autopilot.kernel.errors import (
    AutopilotError,
    ContractError,
    IntegrityError,
    MissingComponentError,
    RefusedError,
    StorageError,
)
from autopilot.kernel.reason_codes import REASON_CODES
from autopilot.kernel.reasons import Reason

BUG = 70

# code: (headline, what it says to a script). In the order of judgement, gravest first, behind the clean answer.
EXIT_CODES: dict[int, tuple[str, str]] = {
    0: ("done", "done, or the check passed"),
    BUG: ("internal error", "a bug in autopilot; the trace is on stderr"),
    3: ("integrity failure", "stored data does not verify: ledger, lease log or sealed evidence"),
    2: ("usage", "the command line, the configuration or a name in them (an unknown task) cannot be used"),
    1: ("refused", "checked and refused; the reasons say what is unmet"),
    5: ("lease lost", "the lease is lost, fenced, or held by another; contention, never a violation"),
    6: ("missing here", "something needed is not on this machine; the remedy says how to get it"),
    4: ("waiting for a person", "nothing is unmet but what a person must approve or resume"),
}


def exit_code(error: BaseException) -> int:
    """The process exit code for an error."""
    if isinstance(error, RefusedError):
        return error.verdict.exit_code
    if isinstance(error, IntegrityError):
        return 3
    if isinstance(error, MissingComponentError):
        return 6
    if isinstance(error, ContractError):
        return 2
    if isinstance(error, StorageError):
        known = REASON_CODES.get(error.code)
        return known.standing.exit_code if known else 6
    return BUG


def error_dict(error: BaseException, task: str = "") -> dict[str, Any]:
    """The `error` object of `--json`; remedies speak of `task` where the call was about one."""
    if isinstance(error, AutopilotError):
        family, code, reasons = error.family, error.code, error.reasons()
    else:
        remedy = "this is a bug in autopilot; please report it with the trace"
        detail = f"{type(error).__name__}: {error}"
        family, code, reasons = "bug", "internal_error", (Reason("internal_error", detail=detail, remedy=remedy),)
    seq = getattr(error, "seq", None)
    shown = [remedies.spelt_out(reason.as_dict(), task) for reason in reasons]
    return {"family": family, "code": code, "reasons": shown, "seq": seq}


def report(error: BaseException, *, as_json: bool, task: str = "") -> int:
    """Write the error to where its reader looks and return the exit code. `task` is what the call was about."""
    code, shown = exit_code(error), error_dict(error, task)
    if as_json:
        sys.stdout.write(json.dumps({"schema_version": console.SCHEMA_VERSION, "error": shown}) + "\n")
    sys.stdout.flush()
    if code == BUG:
        traceback.print_exception(error, file=sys.stderr)
    place = f", ledger line {shown['seq']}" if shown["seq"] is not None else ""
    console.say(f"{EXIT_CODES[code][0]} ({shown['code']}){place}")
    show_reasons(shown["reasons"])
    return code


def show_reasons(reasons: list[dict[str, Any]]) -> None:
    """Each reason with its place and remedy, on stderr."""
    for reason in reasons:
        place = f" [{console.clean(reason['where'])}]" if reason["where"] else ""
        console.say(f"  {reason['code']}{place}: {console.clean(reason['detail']) or _title(reason['code'])}")
        told = reason.get("subject", "") in reason["remedy"]
        subject = "" if told else f" (subject {reason['subject']})"
        console.say(f"    next: {console.clean(reason['remedy'])}{subject}")


def _title(code: str) -> str:
    known = REASON_CODES.get(code)
    return known.title if known else code
