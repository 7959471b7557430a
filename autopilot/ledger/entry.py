"""What goes onto the ledger (`Draft`) and what stands there (`LedgerEntry`).

A body has all keys of `KEYS`, always, in this order, so that the same fact has one form. Nothing here reads a clock
or a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autopilot.kernel.callers import Caller

VERSION = 1

KEYS = (
    "v",
    "ledger",
    "seq",
    "prev",
    "ts",
    "kind",
    "task",
    "phase",
    "epoch",
    "actor",
    "lease",
    "artifacts",
    "prompt",
    "persona",
    "data",
)


@dataclass(frozen=True, slots=True)
class ArtifactRef:
    """An artifact as a line names it: the sealed object's digest and length, and how much it is worth."""

    name: str
    sha256: str
    bytes: int
    media_type: str
    origin: str


@dataclass(frozen=True, slots=True)
class LeaseRef:
    """The lease a line was written under."""

    resource: str
    fence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A line to be: everything but its place in the chain and its time. `phase` is (from, to)."""

    kind: str
    caller: Caller
    task: str | None = None
    phase: tuple[str, str] | None = None
    epoch: int | None = None
    lease: LeaseRef | None = None
    artifacts: tuple[ArtifactRef, ...] = ()
    prompt: str | None = None
    persona: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A line of the ledger: its number, hash and stored body, and the body parsed. `record` must not be changed."""

    seq: int
    hash: str
    body: bytes
    record: dict[str, Any]

    @property
    def kind(self) -> str:
        """What the line records; see `kinds`."""
        return str(self.record["kind"])

    @property
    def ts(self) -> str:
        """When it was written, RFC 3339 UTC. For people: no rule reads it."""
        return str(self.record["ts"])

    @property
    def task(self) -> str | None:
        """The task it concerns, if one."""
        task = self.record["task"]
        return None if task is None else str(task)

    @property
    def move(self) -> tuple[str, str]:
        """The move's (from, to), two empty strings on a line that is no move."""
        phase = self.record["phase"]
        return ("", "") if phase is None else (str(phase["from"]), str(phase["to"]))

    @property
    def epoch(self) -> int | None:
        """The task's epoch."""
        epoch = self.record["epoch"]
        return None if epoch is None else int(epoch)

    @property
    def actor(self) -> dict[str, str]:
        """Who caused it: `id`, `kind`, `session`."""
        actor: dict[str, str] = self.record["actor"]
        return actor

    @property
    def caller(self) -> Caller:
        """The actor as a value."""
        return Caller(self.actor["id"], self.actor["kind"], self.actor["session"])  # type: ignore[arg-type]

    @property
    def lease(self) -> LeaseRef | None:
        """The lease it was written under."""
        lease = self.record["lease"]
        return None if lease is None else LeaseRef(lease["resource"], lease["fence"])

    @property
    def artifacts(self) -> tuple[ArtifactRef, ...]:
        """The artifacts it names."""
        return tuple(ArtifactRef(**artifact) for artifact in self.record["artifacts"])

    @property
    def prompt(self) -> str | None:
        """SHA-256 of the prompt, if one was submitted."""
        prompt = self.record["prompt"]
        return None if prompt is None else str(prompt["sha256"])

    @property
    def persona(self) -> str | None:
        """SHA-256 of the persona, if there is one."""
        persona = self.record["persona"]
        return None if persona is None else str(persona["sha256"])

    @property
    def data(self) -> dict[str, Any]:
        """What is particular to the kind."""
        data: dict[str, Any] = self.record["data"]
        return data


def body_of(draft: Draft, *, ledger: str, seq: int, prev: str, ts: str) -> dict[str, Any]:
    """The body's fields in their order."""
    lease, phase = draft.lease, draft.phase
    return {
        "v": VERSION,
        "ledger": ledger,
        "seq": seq,
        "prev": prev,
        "ts": ts,
        "kind": draft.kind,
        "task": draft.task,
        "phase": None if phase is None else {"from": str(phase[0]), "to": str(phase[1])},
        "epoch": draft.epoch,
        "actor": draft.caller.as_dict(),
        "lease": None if lease is None else {"resource": lease.resource, "fence": lease.fence},
        "artifacts": [
            {
                "name": artifact.name,
                "sha256": artifact.sha256,
                "bytes": artifact.bytes,
                "media_type": artifact.media_type,
                "origin": str(artifact.origin),
            }
            for artifact in draft.artifacts
        ],
        "prompt": None if draft.prompt is None else {"sha256": draft.prompt},
        "persona": None if draft.persona is None else {"sha256": draft.persona},
        "data": dict(draft.data),
    }
