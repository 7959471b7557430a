"""How often each operation is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from autopilot.testing.simulation import operations as do
from autopilot.testing.simulation.checkpointing import checkpoint, rotate
from autopilot.testing.simulation.operations import Operation

MIX: Mapping[Operation, int] = MappingProxyType(
    {
        do.work: 50,
        do.approve: 16,
        do.verify: 5,
        do.add_evidence: 5,
        do.attest: 5,
        do.resume: 4,
        do.pass_time: 4,
        do.open_task: 3,
        do.damage: 3,
        do.acquire: 4,
        do.renew: 3,
        do.release: 4,
        do.reopen: 3,
        do.backtrack: 2,
        do.skip: 2,
        do.hurry: 2,
        do.wrong_claim: 2,
        do.stale_append: 2,
        do.replay_approval: 2,
        do.guarded_tool: 2,
        do.force: 2,
        do.baseline: 2,
        do.flag: 2,
        do.configure: 2,
        do.watch: 2,
        do.verify_ledger: 2,
        checkpoint: 2,
        do.reject: 1,
        do.abandon: 1,
        rotate: 1,
    }
)
