"""Where the embedded store keeps what, below the state directory. The names are public: auditors rely on them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from autopilot.kernel.canonical import parse
from autopilot.kernel.errors import IntegrityError

FORMAT = 1
SEGMENT_ENTRIES = 4096

_SEGMENT = re.compile(r"([0-9]{16})\.jsonl")


@dataclass(frozen=True, slots=True)
class StorePaths:
    """The files of one state directory."""

    state_dir: Path

    @property
    def ledger(self) -> Path:
        """The ledger's folder."""
        return self.state_dir / "ledger"

    @property
    def identity(self) -> Path:
        """`LEDGER.json`: id and format, written once, last of all when a ledger is made."""
        return self.ledger / "LEDGER.json"

    @property
    def lock(self) -> Path:
        """The lock file; it never holds data and is never removed."""
        return self.ledger / "lock"

    @property
    def head(self) -> Path:
        """The head hint."""
        return self.ledger / "head"

    @property
    def poisoned(self) -> Path:
        """There if a sync failed: nobody opens the store until a person repairs it."""
        return self.ledger / "POISONED"

    @property
    def reserve(self) -> Path:
        """An empty file that becomes `poisoned` by a rename: on a full disk no other could be made."""
        return self.ledger / "reserve"

    @property
    def segments(self) -> Path:
        """The folder of the segments."""
        return self.ledger / "seg"

    @property
    def quarantine(self) -> Path:
        """What recoveries and repairs took out."""
        return self.ledger / "quarantine"

    @property
    def leases(self) -> Path:
        """The lease log."""
        return self.state_dir / "leases" / "leases.wal"

    @property
    def objects(self) -> Path:
        """The sealed objects."""
        return self.state_dir / "evidence" / ".objects"

    def segment(self, first: int) -> Path:
        """The file of the segment that starts with the entry `first`."""
        return self.segments / f"{first:016d}.jsonl"

    def segment_starts(self) -> list[int]:
        """The first entries of the segments that are there, in order. Other names in the folder are ignored."""
        try:
            found = (_SEGMENT.fullmatch(path.name) for path in self.segments.iterdir())
        except FileNotFoundError:
            return []
        return sorted(int(match[1]) for match in found if match)


def read_identity(paths: StorePaths) -> str:
    """The ledger's id as `LEDGER.json` has it; IntegrityError `ledger_missing` if it is not there or not readable."""
    try:
        identity = parse(paths.identity.read_bytes(), where=str(paths.identity))
        if identity["format"] != FORMAT:
            raise IntegrityError("ledger_missing", where=str(paths.identity), detail="another format")
        return str(identity["ledger"])
    except FileNotFoundError:
        raise IntegrityError("ledger_missing", where=str(paths.identity)) from None
    except (KeyError, TypeError):
        raise IntegrityError("ledger_missing", where=str(paths.identity), detail="not an identity") from None
