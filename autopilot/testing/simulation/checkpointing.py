"""Checkpoints and keys in a simulation: the shipped desk, with keys whose seeds are drawn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from autopilot.signing.note import SigningKey
from autopilot.testing.simulation.callers import ADA
from autopilot.testing.simulation.process import SimProcess
from autopilot.testing.simulation.world import World, replaced
from autopilot.wiring.checkpoints import CheckpointDesk


def checkpoint(process: SimProcess) -> object:
    """Sign what stands on the ledger."""
    return _desk(process).publish(caller=process.caller)


def rotate(process: SimProcess) -> object:
    """A person has a new key made; now and then an agent tries."""
    who = process.caller if process.world.one_in(3) else ADA
    return _desk(process).publish(caller=who, new_key="the old one may be known")


def seeded_keys(world: World) -> Any:
    """For the time of a run, new keys come from the seed."""

    def generate(name: str) -> SigningKey:
        return SigningKey(name, bytes.fromhex(world.draw(32)))

    return replaced(SigningKey, "generate", staticmethod(generate))


def _desk(process: SimProcess) -> CheckpointDesk:
    desks = process.desks
    # Of the workspace the desk takes the ledger and the two places.
    place = SimpleNamespace(ledger=desks.store, state_dir=process.world.state_dir, engine=desks.engine)
    return CheckpointDesk(cast("Any", place))
