"""The answer of a verification, and what is checked beyond the chain itself.

The chain shows that lines follow one another; it cannot show that none is missing at the end. For that there is the
head hint (a line that was acknowledged) and the floor (a size that someone outside remembers).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from autopilot.kernel.errors import IntegrityError

CODE_OF_REASON = {"bad_json": "bad_ledger_json", "missing": "ledger_missing"}
"""The reason codes of IntegrityError where they differ from a report's reason."""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """`status` intact or corrupt; for corrupt the `reason`, the number of the first bad line, and the good entries.

    `entries` counts the lines that verify. For an intact ledger `seq` is its last line.
    """

    status: Literal["intact", "corrupt"]
    reason: str | None
    seq: int
    entries: int
    detail: str = ""
    where: str = ""

    @property
    def intact(self) -> bool:
        """Whether every check passed."""
        return self.status == "intact"

    def as_dict(self) -> dict[str, Any]:
        """The object that `ledger verify --json` prints."""
        return {"status": self.status, "reason": self.reason, "seq": self.seq, "entries": self.entries}

    def error(self) -> IntegrityError:
        """The report of a corrupt ledger as the error an opener raises."""
        reason = self.reason or "bad_link"
        return IntegrityError(CODE_OF_REASON.get(reason, reason), where=self.where, detail=self.detail)


def intact(entries: int) -> VerifyReport:
    """The report of a ledger of `entries` lines in which nothing was found."""
    return VerifyReport("intact", None, entries - 1, entries)


def corrupt(reason: str, seq: int, *, detail: str = "", where: str = "") -> VerifyReport:
    """The report of a ledger whose first bad line is `seq`."""
    return VerifyReport("corrupt", reason, seq, seq, detail, where)


@dataclass(frozen=True, slots=True)
class Anchors:
    """What is known from outside the lines: the acknowledged line of the head hint, and the floor in entries."""

    hint_seq: int = -1
    hint_hash: str = ""
    floor: int = 0

    def shortfall(self, entries: int) -> str:
        """Why `entries` lines are too few, or nothing."""
        if entries <= self.hint_seq:
            return f"{entries} entries, but entry {self.hint_seq} was acknowledged"
        if entries < self.floor:
            return f"{entries} entries, but there were {self.floor}"
        return ""

    def contradicts(self, seq: int, digest: str) -> bool:
        """Whether the line `seq` is not the one that was acknowledged."""
        return seq == self.hint_seq and digest != self.hint_hash
