"""What the ledger needs from others: the fold that a store keeps beside it, and the objects that lines name."""

from __future__ import annotations

from typing import Any, Protocol

from autopilot.ledger.entry import LedgerEntry


class Fold(Protocol):
    """The state that the lines add up to. Handed in by wiring; the store only carries it."""

    def initial(self) -> Any:
        """The state before the first line."""
        ...

    def apply(self, state: Any, entry: LedgerEntry) -> Any:
        """The state after `entry`; may be the same object, changed."""
        ...

    def copy(self, state: Any) -> Any:
        """The same state again, that `apply` can take further without changing the first."""
        ...

    def dump(self, state: Any) -> bytes:
        """The state as bytes, for the object a segment opens with."""
        ...

    def load(self, data: bytes) -> Any:
        """The state that `dump` wrote."""
        ...


class Objects(Protocol):
    """Sealed bytes, by digest."""

    def put(self, data: bytes) -> str:
        """Keep `data` durably and return its SHA-256 in hex. The same bytes again are no error."""
        ...

    def get(self, sha256: str) -> bytes:
        """The bytes; IntegrityError `object_missing`, or `evidence_edited` if they are not what was put."""
        ...

    def has(self, sha256: str) -> bool:
        """Whether an object of that digest is there; its bytes are not looked at."""
        ...
