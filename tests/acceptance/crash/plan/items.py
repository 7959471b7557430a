"""The rows of the plan. `ITEMS` in their short tier belong to `make test`, with `LONG_ITEMS` to `make soak`."""

from __future__ import annotations

from crash.plan import injected, lease_machine, power, processes, simulated, tails, tampering
from crash.plan.counting import Item

ITEMS = (
    Item("T1", "the end of a log damaged at every byte", tails.trials),
    Item("T2", "power cut and kill at every operation", power.cuts),
    Item("T3", "every operation fails, once and for good", power.errors),
    Item("T3b", "calls of the command line fail (strace)", injected.errors, injected.missing),
    Item("T4", "writers killed (kill -9), half of the writes split", processes.kills),
    Item("T4b", "the command line killed (kill -9)", injected.kills, injected.missing),
    Item("T5", "eight processes on one ledger", processes.crowd),
    Item("T6", "changed, deleted, swapped, cut, rewritten by hand", tampering.trials),
    Item("T7", "leases against a model, steps", lease_machine.trials),
    Item("T8", "holders stopped past their lease, appends after it", processes.stopped),
    Item("T9", "a full disk, a limited file", processes.full),
)
LONG_ITEMS = (Item("SIM", "the whole engine, simulated, steps", simulated.trials),)
