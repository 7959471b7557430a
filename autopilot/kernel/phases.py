"""The nine phases and the two ends of a task, in their one order.

Phases are upper case in the ledger, the command line and JSON (any case is accepted on the way in) and
lower case in paths. `Stage` is what a task can be in: a phase, or one of the two terminal states.
"""

from __future__ import annotations

from enum import StrEnum

from autopilot.kernel.errors import ContractError


class Phase(StrEnum):
    """One of the nine phases of the work process, in order."""

    STRATEGIZE = "STRATEGIZE"
    SPEC = "SPEC"
    PLAN = "PLAN"
    THINK = "THINK"
    IMPLEMENT = "IMPLEMENT"
    VERIFY = "VERIFY"
    REVIEW = "REVIEW"
    PR = "PR"
    MONITOR = "MONITOR"

    @property
    def folder(self) -> str:
        """The phase's name in paths: `state/evidence/<TASK>/<folder>/`."""
        return self.value.lower()

    @property
    def position(self) -> int:
        """Position in the process, from 0."""
        return PHASES.index(self)

    @property
    def following(self) -> Stage:
        """The only stage a forward move may reach from here."""
        following = self.position + 1
        return PHASES[following] if following < len(PHASES) else Terminal.CLOSED


class Terminal(StrEnum):
    """How a task ends."""

    CLOSED = "CLOSED"
    ABANDONED = "ABANDONED"


Stage = Phase | Terminal

PHASES: tuple[Phase, ...] = tuple(Phase)


def parse_phase(text: str) -> Phase:
    """The phase named by `text` in any case; ContractError `unknown_phase` otherwise."""
    try:
        return Phase(text.strip().upper())
    except ValueError:
        raise ContractError(
            "unknown_phase",
            where=text,
            detail=f"{text!r} is not a phase",
            remedy="use one of " + ", ".join(PHASES),
        ) from None


def parse_stage(text: str) -> Stage:
    """The phase or terminal state named by `text` in any case; ContractError `unknown_phase` otherwise."""
    upper = text.strip().upper()
    if upper in Terminal.__members__:
        return Terminal(upper)
    return parse_phase(upper)
