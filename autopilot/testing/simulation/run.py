"""One run: processes, operations, the checker after each step, and what came of it.

    outcome = run(folder, seed=7, steps=400)

A step is one call of an operation, come back, refused, or ended by a crash. The run is the seed's: two of the same
seed and length write the same bytes.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from autopilot.kernel.errors import (
    AutopilotError,
    ContractError,
    IntegrityError,
    RefusedError,
    StorageError,
)
from autopilot.process.fold import ProcessFold
from autopilot.storage.files.repair import RepairReport
from autopilot.storage.files.repair import repair as repair_store
from autopilot.storage.files.store import StoreParts
from autopilot.testing.simulation.baton import KilledError
from autopilot.testing.simulation.callers import ADA, AGENTS, PERSONS
from autopilot.testing.simulation.checker import Checker
from autopilot.testing.simulation.checkpointing import seeded_keys
from autopilot.testing.simulation.mix import MIX
from autopilot.testing.simulation.plants import PLANTS
from autopilot.testing.simulation.process import SimProcess
from autopilot.testing.simulation.world import Odds, World, replaced

SEGMENT_LINES = 64
COMPACT_RECORDS = 40
# After a power loss two writes of which neither was synced cannot always be told from damage: a person repairs.
AMBIGUOUS = frozenset({"bad_ledger_json", "bad_hash", "bad_link", "lease_log_corrupt"})


@dataclass(slots=True)
class Outcome:
    """What a run came to. `head` is the last line's hash; `broken` the rule that did not hold, empty if all did."""

    seed: int
    steps: int = 0
    head: str = ""
    lines: int = 0
    moves: int = 0
    broken: str = ""
    tally: Counter[str] = field(default_factory=Counter)


def run(folder: Path, *, seed: int, steps: int, plant: str = "", odds: Odds | None = None) -> Outcome:
    """Simulate in the empty `folder`, with the bug `plant` put in if one is named. Never raises for a broken rule."""
    if plant:
        odds = odds or PLANTS[plant].odds
    return Simulation(folder, seed, steps, odds or Odds()).run(plant)


class Simulation:
    """A run under way."""

    def __init__(self, folder: Path, seed: int, steps: int, odds: Odds) -> None:
        self.world = World(folder, seed, odds)
        self.outcome = Outcome(seed, tally=self.world.tally)
        self._left = steps
        self._mix = dict(MIX)
        self._repair_due = False
        self._excused: frozenset[str] = frozenset()

    def run(self, plant: str) -> Outcome:
        """Run to the end or to the first rule that does not hold."""
        world, outcome = self.world, self.outcome
        with ExitStack() as stack:
            stack.enter_context(scaled_down())
            stack.enter_context(world.flock())
            stack.enter_context(seeded_keys(world))
            world.create()
            self.checker = Checker(world.state_dir, world.clock, SEGMENT_LINES)
            if plant:
                stack.enter_context(PLANTS[plant].put_in(world))
                self._mix = {one: 40 if one.__name__ in PLANTS[plant].likely else often for one, often in MIX.items()}
            for caller in AGENTS:
                process = SimProcess(world, caller)
                world.baton.add(caller.session, lambda process=process: self._live(process))  # type: ignore[misc]
            try:
                world.baton.run()
            except AssertionError as error:
                outcome.broken = f"{type(error).__name__}: {error}"
            except (LookupError, TypeError, ValueError, AttributeError, OSError) as error:
                # What the engine may raise is an AutopilotError; anything else is a bug in it.
                outcome.broken = f"{type(error).__name__}: {error}"
            world.disk.give_back()
        chain = self.checker.chain
        outcome.head, outcome.lines = (chain.hashes or [""])[-1], len(chain.hashes)
        outcome.moves = self.checker.process.moves
        world.tally.update({f"left {phase}": count for phase, count in self.checker.process.left.items()})
        return outcome

    def _live(self, process: SimProcess) -> None:
        """One process after another in the same place, until the steps are done."""
        world = self.world
        while self._left > 0:
            try:
                world.baton.between()
                if self._left <= 0:
                    break
                self._left -= 1
                self.outcome.steps += 1
                process.files.doom = world.doom()
                self._step(process)
            except KilledError:
                self._end(process)
            else:
                world.disk.heal()
        process.files.spare()
        process.close()

    def _end(self, process: SimProcess) -> None:
        """The process was killed, or everybody is about to lose power."""
        world = self.world
        process.die()
        world.disk.heal()
        if process.repairing:
            self._repaired(process)
            self.checker.look_anew()
        self.checker.look()
        if world.power_fails:
            world.lose_power()
            self.checker.look_anew()
            self._excused = AMBIGUOUS if self.checker.chain.torn or self.checker.leases.torn else frozenset()
        else:
            world.tally["kills"] += 1
        world.baton.unwound()

    def _step(self, process: SimProcess) -> None:
        """One call, and a look at what it left."""
        world, before = self.world, len(self.checker.chain.records)
        self.checker.begins(process.caller.session)
        process.strikes = len(world.disk.struck)
        returned: object = None
        repairing = self._repair_due and world.one_in(2)
        operation = world.random.choices(tuple(self._mix), tuple(self._mix.values()))[0]
        name = "repair" if repairing else operation.__name__
        world.clock.tick(world.random.randrange(3000) / 1000)
        try:
            returned = self._repair(process) if repairing else operation(process)
            world.tally[name] += 1
        except RefusedError as error:
            world.tally["refused"] += 1
            world.tally[f"{name} refused {error.code}"] += 1
            self.checker.look()
            self.checker.refused(error, (process.caller, *PERSONS), before)
        except (ContractError, IntegrityError, StorageError) as error:
            self._judge(process, error)
        self._look(process, returned, before)

    def _look(self, process: SimProcess, returned: object, before: int) -> None:
        desks = process.opened
        self.checker.look()
        if isinstance(returned, RepairReport):
            return
        durable = desks.store.durable if desks is not None else 0
        self.checker.acknowledge(durable, returned)
        undisturbed = not self._repair_due and process.strikes == len(self.world.disk.struck)
        if undisturbed and before < durable == len(self.checker.chain.records):
            # This process has written, and nobody after it: it mended both logs before. Where the disk refused a record
            # of a hand-over, the next writer makes it again.
            self._excused = frozenset()
            self.checker.require_agreement()
            self.checker.require_leases_told()

    def _judge(self, process: SimProcess, error: AutopilotError) -> None:
        """An error that is no refusal: it is due where a wish makes no sense, a disk fails, a store is poisoned."""
        self.world.tally[f"error {error.code}"] += 1
        if isinstance(error, ContractError):
            return
        if isinstance(error, StorageError):
            # A sync that failed may be told to others, and later.
            struck = self.world.disk.struck[0 if error.code == "sync_failed" else process.strikes :]
            expected = bool(struck) or error.code == "lock_timeout"
        else:
            # A torn tail is told by a verification; the next writer mends it.
            torn = error.code == "torn_tail" and self.checker.chain.torn
            expected = error.code in self._excused or error.code == "poisoned" or torn
            self._repair_due = self._repair_due or not torn
        if not expected:
            raise AssertionError(f"{error.code}: {error.detail} at {error.where}")

    def _repair(self, process: SimProcess) -> RepairReport:
        """A person repairs the store; everybody else goes on trying meanwhile."""
        world = self.world
        process.close()
        parts = StoreParts(world.state_dir, ProcessFold(), process.files, world.clock, world.marker)
        process.repairing = True
        self.checker.repairs += 1
        try:
            report = repair_store(parts, caller=ADA, reason="the disk failed")
        except AutopilotError:
            self._repaired(process)
            raise
        world.marker = report.entries
        self._repaired(process)
        self._repair_due = False
        self.checker.look_anew()
        return report

    def _repaired(self, process: SimProcess) -> None:
        """The process repairs no more, whatever came of it."""
        self.checker.repairs -= process.repairing
        process.repairing = False


@contextmanager
def scaled_down() -> Iterator[None]:
    """Small segments and short lease logs, so that a run of some hundred steps comes to many of each."""
    sizes = {"SEGMENT_ENTRIES": SEGMENT_LINES, "COMPACT_RECORDS": COMPACT_RECORDS}
    modules = [module for name, module in sorted(sys.modules.items()) if name.startswith("autopilot.")]
    with ExitStack() as stack:
        for module in modules:
            for name in sizes.keys() & vars(module).keys():
                stack.enter_context(replaced(module, name, sizes[name]))
        yield
