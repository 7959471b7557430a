"""The table of what can be asked agrees with the desks it speaks for, and takes nothing else."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import Any

import pytest

from autopilot.kernel.errors import ContractError
from autopilot.leases.terms import Claim
from autopilot.process.desks.approving import ApprovalDesk
from autopilot.process.desks.attesting import AttestationDesk
from autopilot.process.desks.configuring import ConfigDesk
from autopilot.process.desks.evidencing import EvidenceDesk
from autopilot.process.desks.flagging import FlagDesk
from autopilot.process.desks.inspecting import InspectionDesk
from autopilot.process.desks.leasing import LeaseDesk
from autopilot.process.desks.tasks import TaskRegister
from autopilot.process.desks.watching import Watchdog
from autopilot.process.enforcer import WorkProcessEnforcer
from autopilot.process.guidance import Guidance
from autopilot.process.recording import Recording
from autopilot.process.router import ToolRouter
from autopilot.remote.operations import OPERATIONS, operation
from autopilot.wiring.daemon import LedgerDoor

DESKS = SimpleNamespace(
    tasks=TaskRegister,
    enforcer=WorkProcessEnforcer,
    leases=LeaseDesk,
    evidence=EvidenceDesk,
    approvals=ApprovalDesk,
    attestation=AttestationDesk,
    flags=FlagDesk,
    config=ConfigDesk,
    watchdog=Watchdog,
    guidance=Guidance,
    inspection=InspectionDesk,
    recording=Recording,
    router=ToolRouter,
    ledger=LedgerDoor,
)


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_row_is_a_method_with_these_arguments(name: str) -> None:
    """A row that the desk has outgrown would fail only when somebody asks."""
    row = OPERATIONS[name]
    method = row.of(DESKS)
    assert method.__name__ == {"ledger.view": "picture"}.get(name, name.partition(".")[2])
    parameters = dict(inspect.signature(method).parameters)
    parameters.pop("self")
    assert ("caller" in parameters) == row.caller
    parameters.pop("caller", None)
    # `as_process` names a process of the engine's own: a client's is not the daemon's to prove dead.
    parameters.pop("as_process", None)
    given = {**row.takes, **({row.blob: None} if row.blob else {})}
    assert set(parameters) == set(given)
    unnamed = [key for key, value in parameters.items() if value.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert list(row.order)[: len(unnamed)] == unnamed
    for key, argument in row.takes.items():
        default = parameters[key].default
        assert argument.required == (default is inspect.Parameter.empty), key
        assert argument.required or argument.default == default, key


@pytest.mark.parametrize("name", ["tasks.__init__", "ledger.transaction", "tasks", "", "tasks.show.x", 7, None, ["a"]])
def test_what_is_not_in_the_table_cannot_be_asked(name: Any) -> None:
    """No name from the line is ever looked up on an object."""
    with pytest.raises(ContractError) as caught:
        operation(name)
    assert caught.value.code == "unknown_operation"


@pytest.mark.parametrize(
    "plain",
    [
        {},
        {"task_id": 7},
        {"task_id": None},
        {"task_id": ["T-1"]},
        {"task_id": "T-1", "caller": {"actor": "root", "kind": "human"}},
        {"task_id": "T-1", "self": 1},
        {"task_id": "T-1", "lease": {"session": "s", "fence": "1"}},
        {"task_id": "T-1", "lease": "1:token"},
    ],
)
def test_arguments_that_do_not_fit_are_refused(plain: dict[str, Any]) -> None:
    """Types are exact, names are those of the table, and `caller` is no argument."""
    with pytest.raises(ContractError) as caught:
        OPERATIONS["leases.renew"].arguments(plain, b"")
    assert caught.value.code == "bad_frame"


def test_arguments_that_fit_come_in_as_values() -> None:
    """As the desk takes them."""
    row = OPERATIONS["leases.renew"]
    plain = row.plain({"task_id": "T-1", "lease": Claim("s", 3, "t")})
    assert row.arguments(plain, b"") == {"task_id": "T-1", "lease": Claim("s", 3, "t")}
