"""Who calls: agents, each a session of its own, and two persons."""

from __future__ import annotations

from autopilot.kernel.callers import Caller

ADA = Caller("ada", "human", "tty-ada")
BOB = Caller("bob", "human", "tty-bob")
PERSONS = (ADA, BOB)
AGENTS = tuple(Caller(f"agent-{number}", "agent", f"s-{number}") for number in range(4))
