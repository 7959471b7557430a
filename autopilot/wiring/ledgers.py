"""A ledger that is asked what stands in it: the files of a state directory, or a daemon's over its socket.

What both can say is all that the commits of a clone are held against, so that a commit carries its anchor and CI finds
it in every trust mode. A daemon's answers are the daemon's; what the commits say was read here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import parse
from autopilot.ledger.anchoring import Held
from autopilot.ledger.trailers import read_trailers, trailer_of
from autopilot.signing.checkpoint import checkpoint_of, origin_of
from autopilot.signing.note import Note, VerifierKey
from autopilot.storage.files.checkpoints import read_line
from autopilot.storage.files.layout import StorePaths
from autopilot.storage.files.store import read_identity
from autopilot.wiring.checkpoints import CheckpointDesk, Given, Published, Verified, verify_state

Told = tuple[tuple[str, str], ...]
"""Checkpoints as they travel: where each was found, and its anchor line."""

_MAX_WHERE = 200


class AskedLedger(Protocol):
    """What a verification against commits asks."""

    def origin(self) -> str:
        """Whose checkpoints are this ledger's; empty where there is no ledger, which `verify` says."""
        ...

    def verify(self, held: tuple[Held, ...] = ()) -> Verified:
        """Every line, and every checkpoint that is known, given or `held`."""
        ...

    def kinds(self, start: int, stop: int) -> dict[int, str]:
        """The kinds of these lines, which were verified before."""
        ...


@dataclass(frozen=True, slots=True)
class LedgerFiles:
    """The ledger in a state directory, or in a copy of one."""

    place: Path
    floor: int
    given: Given

    def origin(self) -> str:
        """See `AskedLedger`."""
        paths = StorePaths(self.place)
        return origin_of(read_identity(paths)) if paths.identity.exists() else ""

    def verify(self, held: tuple[Held, ...] = ()) -> Verified:
        """See `AskedLedger`."""
        return verify_state(self.place, self.floor, replace(self.given, held=(*self.given.held, *held)))

    def kinds(self, start: int, stop: int) -> dict[int, str]:
        """See `AskedLedger`."""
        return {seq: str(parse(read_line(self.place, seq))["kind"]) for seq in range(start, stop)}


@dataclass(frozen=True, slots=True)
class LedgerServed:
    """The ledger that a daemon has; `ledger` is what a workspace that is served has in the place of a store."""

    ledger: Any
    given: Given

    def origin(self) -> str:
        """See `AskedLedger`."""
        return origin_of(self.ledger.ledger_id)

    def verify(self, held: tuple[Held, ...] = ()) -> Verified:
        """See `AskedLedger`."""
        report = self.ledger.verify(
            tuple((where, note.decode("utf-8", "replace")) for where, note in self.given.notes),
            tuple(key.encode() for key in self.given.keys),
            told(held),
            tuple(key.encode() for key in self.given.witnesses),
        )
        return Verified(report)

    def kinds(self, start: int, stop: int) -> dict[int, str]:
        """See `AskedLedger`."""
        return {entry.seq: entry.kind for entry in self.ledger.entries(start, stop)}


def told(held: tuple[Held, ...]) -> Told:
    """Checkpoints that commits vouch for, as they travel."""
    return tuple((one.where, trailer_of(one.checkpoint)) for one in held)


def heard(anchors: Told) -> tuple[Held, ...]:
    """What `told` gave; IntegrityError `malformed_anchor`."""
    found = ((where[:_MAX_WHERE], one) for where, line in anchors for one in read_trailers(line.encode()))
    return tuple(Held(one, where, vouched="committed") for where, one in found)


def publish(workspace: Any, caller: Caller, held: tuple[Held, ...] = ()) -> Published:
    """Make a checkpoint of the workspace's ledger, here or by its daemon, which must agree with `held` first."""
    if not workspace.is_remote:
        return CheckpointDesk(workspace).publish(caller=caller, held=held)
    signed = workspace.ledger.checkpoint(told(held), caller=caller)
    note = Note.parse(signed.note.encode())
    key = VerifierKey.parse(signed.vkey)
    return Published(checkpoint_of(note), note, Path(signed.path), key, signed.seq, signed.new_key)
