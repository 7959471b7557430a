"""Governance for AI coding agents that holds when the agent lies, forgets or races.

    from autopilot import Caller, Workspace

    with Workspace.open(".") as workspace:
        workspace.tasks.open("T-1", title="Take the discount off once", caller=Caller("agent-7"))
        workspace.enforcer.advance_phase("T-1", caller=Caller("agent-7"))

Importing this package imports nothing else of it: a name is looked up when it is first used (PEP 562), so that the
command line and the hooks start quickly.
"""

TYPE_CHECKING = False  # as type checkers read it; importing typing would slow every start
if TYPE_CHECKING:
    from autopilot.kernel.callers import Caller as Caller
    from autopilot.kernel.errors import ApprovalRefusedError as ApprovalRefusedError
    from autopilot.kernel.errors import AutopilotError as AutopilotError
    from autopilot.kernel.errors import ContractError as ContractError
    from autopilot.kernel.errors import IntegrityError as IntegrityError
    from autopilot.kernel.errors import LeaseRefusedError as LeaseRefusedError
    from autopilot.kernel.errors import RefusedError as RefusedError
    from autopilot.kernel.errors import StorageError as StorageError
    from autopilot.kernel.errors import TransitionRefusedError as TransitionRefusedError
    from autopilot.kernel.phases import Phase as Phase
    from autopilot.kernel.phases import Terminal as Terminal
    from autopilot.kernel.reasons import Reason as Reason
    from autopilot.kernel.reasons import Verdict as Verdict
    from autopilot.leases.terms import Claim as Claim
    from autopilot.leases.terms import Lease as Lease
    from autopilot.ledger.entry import LedgerEntry as LedgerEntry
    from autopilot.process.enforcer import WorkProcessEnforcer as WorkProcessEnforcer
    from autopilot.process.router import ToolCall as ToolCall
    from autopilot.process.router import ToolRouter as ToolRouter
    from autopilot.wiring.full import Workspace as Workspace

_PLACES = {
    "ApprovalRefusedError": "kernel.errors",
    "AutopilotError": "kernel.errors",
    "Caller": "kernel.callers",
    "Claim": "leases.terms",
    "ContractError": "kernel.errors",
    "IntegrityError": "kernel.errors",
    "Lease": "leases.terms",
    "LeaseRefusedError": "kernel.errors",
    "LedgerEntry": "ledger.entry",
    "Phase": "kernel.phases",
    "Reason": "kernel.reasons",
    "RefusedError": "kernel.errors",
    "StorageError": "kernel.errors",
    "Terminal": "kernel.phases",
    "ToolCall": "process.router",
    "ToolRouter": "process.router",
    "TransitionRefusedError": "kernel.errors",
    "Verdict": "kernel.reasons",
    "WorkProcessEnforcer": "process.enforcer",
    "Workspace": "wiring.full",
}

__all__ = sorted(_PLACES)


def __getattr__(name: str) -> object:
    place, wanted = ("version", "VERSION") if name == "__version__" else (_PLACES.get(name), name)
    if place is None:
        raise AttributeError(f"module 'autopilot' has no attribute {name!r}")
    found: object = getattr(__import__(f"autopilot.{place}", fromlist=[wanted]), wanted)
    return found


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
