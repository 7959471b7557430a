"""A fold small enough to check by hand: how many lines of each kind, and the last one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autopilot.kernel.canonical import encode, parse
from autopilot.ledger.entry import LedgerEntry

Tally = dict[str, Any]


class TallyFold:
    """Counts kinds. `each`, if given, is called with every entry as it is folded in."""

    def __init__(self, each: Callable[[LedgerEntry], None] | None = None) -> None:
        self._each = each

    def initial(self) -> Tally:
        """Nothing counted."""
        return {"kinds": {}, "last": -1, "hash": ""}

    def apply(self, state: Tally, entry: LedgerEntry) -> Tally:
        """One more."""
        if self._each is not None:
            self._each(entry)
        state["kinds"][entry.kind] = state["kinds"].get(entry.kind, 0) + 1
        state["last"], state["hash"] = entry.seq, entry.hash
        return state

    def copy(self, state: Tally) -> Tally:
        """Apart from the first."""
        return {**state, "kinds": dict(state["kinds"])}

    def dump(self, state: Tally) -> bytes:
        """As JSON."""
        return encode(state)

    def load(self, data: bytes) -> Tally:
        """From JSON."""
        state: Tally = parse(data)
        return state
