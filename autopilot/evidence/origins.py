"""Where evidence comes from, as a rank: asserted < observed < executed.

The rank is kept in the ledger, never in the file: a file that says of itself that it was executed is asserted.
"""

from __future__ import annotations

from enum import StrEnum


class Origin(StrEnum):
    """How the engine came by an artifact, weakest first."""

    ASSERTED = "asserted"
    """Someone wrote the file."""
    OBSERVED = "observed"
    """The engine derived it itself: the diff, the file list, digests."""
    EXECUTED = "executed"
    """The engine ran the command and captured exit code and output."""

    @property
    def rank(self) -> int:
        """0 for asserted, 2 for executed."""
        return _ORDER.index(self.value)

    # str's own comparisons are alphabetical, where executed < observed: they are replaced, all four.
    def __lt__(self, other: str) -> bool:
        return self.rank < Origin(other).rank

    def __le__(self, other: str) -> bool:
        return self.rank <= Origin(other).rank

    def __gt__(self, other: str) -> bool:
        return self.rank > Origin(other).rank

    def __ge__(self, other: str) -> bool:
        return self.rank >= Origin(other).rank


_ORDER = ("asserted", "observed", "executed")
