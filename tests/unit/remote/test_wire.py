"""Values and errors on the wire: what comes in is what went out, or is refused."""

from __future__ import annotations

from typing import Any

import pytest

from autopilot.cli.failure import exit_code
from autopilot.kernel.callers import Caller
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
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.ledger.chain import Head, compose
from autopilot.ledger.entry import Draft
from autopilot.remote.wire import DaemonFaultError, Entry, error_in, error_out, incoming, outgoing

VERDICT = Verdict(
    (Reason("artifact_missing", detail="none", where="spec.md"), Reason("approval_needed", subject="a" * 64)),
    observed=(Reason("lease_held"),),
)
ERRORS: tuple[AutopilotError, ...] = (
    RefusedError(VERDICT, seq=7),
    TransitionRefusedError(VERDICT, seq=None),
    ToolCallRefusedError(VERDICT, seq=0),
    LeaseRefusedError(Verdict((Reason("lease_held"),)), seq=3),
    ApprovalRefusedError(Verdict((Reason("human_only"),))),
    IntegrityError("ledger_missing", where="here", detail="gone", remedy="look"),
    ContractError("unknown_task", where="T-1", detail="no such task"),
    StorageError("storage_failed", detail="full", retryable=True),
    MissingComponentError("isolation_missing", where="bwrap", detail="none", remedy="install it"),
)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_comes_in_as_it_went_out(error: AutopilotError) -> None:
    """Class, reasons, ledger line and exit code: a caller cannot tell where it was raised."""
    heard = error_in(error_out(error))
    assert type(heard) is type(error)
    assert isinstance(heard, AutopilotError)
    assert heard.reasons() == error.reasons()
    assert (heard.code, heard.detail, heard.where) == (error.code, error.detail, error.where)
    assert getattr(heard, "seq", None) == getattr(error, "seq", None)
    assert getattr(heard, "retryable", None) == getattr(error, "retryable", None)
    assert exit_code(heard) == exit_code(error)


def test_a_fault_tells_its_kind_and_no_more() -> None:
    """The text of an unforeseen error may hold anything."""
    told = error_out(ValueError("the key is 1234"))
    assert "1234" not in str(told)
    heard = error_in(told)
    assert isinstance(heard, DaemonFaultError)
    assert exit_code(heard) == 70


@pytest.mark.parametrize("plain", [None, 7, {}, {"family": "SystemExit"}, {"family": "object"}, {"family": ["x"]}])
def test_what_is_no_error_of_ours_is_a_fault(plain: Any) -> None:
    """No class is ever made from a name on the line."""
    assert isinstance(error_in(plain), DaemonFaultError)


def test_a_refusal_without_reasons_is_still_one() -> None:
    """A daemon that says no without saying why has said no."""
    heard = error_in(
        {"family": "RefusedError", "code": "x", "verdict": {"reasons": [], "observed": [], "consumed": []}}
    )
    assert isinstance(heard, RefusedError)
    assert not heard.verdict.admitted


def test_a_line_that_does_not_have_its_hash_is_refused() -> None:
    """The client holds every line against it."""
    entry, _ = compose(
        Head(), "0" * 32, Draft(kind="genesis", caller=Caller("a"), data={}), "2026-01-01T00:00:00.000000Z"
    )
    plain = outgoing(entry, Entry)
    assert incoming(plain, Entry, where="line") == entry
    changed = {**plain, "body": plain["body"].replace('"a"', '"b"', 1)}
    with pytest.raises(ContractError) as caught:
        incoming(changed, Entry, where="line")
    assert caught.value.code == "bad_frame"
