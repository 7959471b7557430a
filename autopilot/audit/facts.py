"""What an audit is made of: values that wiring reads once, and two callables that read one object each.

Nothing here reads a file. `wiring/auditing.py` fills it from the files of a state directory; a test fills it by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from autopilot.audit.findings import Finding
from autopilot.audit.trail import Trail
from autopilot.ledger.verify import VerifyReport
from autopilot.signing.note import VerifierKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who remembers which ledger: `LEDGER.json`, the marker and `autopilot.toml`; empty where nothing is named."""

    ledger: str
    marker: str = ""
    marker_fault: str = ""
    named: str = ""
    linked: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseLogFacts:
    """The lease log's records in their stored form, or what is wrong with the file."""

    records: tuple[dict[str, Any], ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """A file below `state/evidence/<TASK>`: its digest, or why it cannot be read.

    `shelf` is the epoch whose superseded folder it lies in, empty for the present one.
    """

    task: str
    phase: str
    name: str
    sha256: str
    fault: str = ""
    shelf: str = ""

    @property
    def path(self) -> str:
        """Below `state/evidence`."""
        shelf = f".superseded/{self.shelf}/" if self.shelf else ""
        return f"{self.task}/{shelf}{self.phase.lower()}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """The object store: which digests have a file, what is wrong with one (empty: nothing), and its bytes."""

    stored: frozenset[str]
    fault: Callable[[str], str]
    read: Callable[[str], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryFacts:
    """What the telemetry files say: moves that spans call admitted (line to task), counters, lines that do not read."""

    present: bool = False
    moves: Mapping[int, str] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)
    unreadable: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFacts:
    """The stored notes by size (bytes, or why one cannot be read), the keys that are believed, and the head hint."""

    notes: Mapping[int, bytes | str] = field(default_factory=dict)
    keys: tuple[VerifierKey, ...] = ()
    keys_fault: str = ""
    hint_seq: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything. `trail` is None where the lines do not verify.

    `refolded` is what folding them again found, `counters` what the fold counted.
    """

    report: VerifyReport
    identity: Identity
    trail: Trail | None = None
    refolded: tuple[Finding, ...] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    segments: int = 0
    leases: LeaseLogFacts = LeaseLogFacts()
    objects: Objects | None = None
    files: tuple[EvidenceFile, ...] = ()
    journals: Mapping[str, bytes] = field(default_factory=dict)
    telemetry: TelemetryFacts = TelemetryFacts()
    checkpoints: CheckpointFacts = CheckpointFacts()
    task: str = ""

    def concerns(self, task: str) -> bool:
        """Whether what is about `task` is looked at."""
        return self.task in ("", task)
