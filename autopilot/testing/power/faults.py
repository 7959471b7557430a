"""Lets every operation of a scenario fail, once or from then on, and looks at what the store says and keeps.

No failure may cost what was told. A sync that failed is never tried again: whoever opens the store is refused until a
person has repaired it. Every other failure is an error of the store's own, and once it is over the store goes on.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from random import Random

from autopilot.kernel.errors import AutopilotError, IntegrityError
from autopilot.storage.files.store import FileStore
from autopilot.testing.power.disk import Synced, Unnamed
from autopilot.testing.power.files import Fault, PowerFiles
from autopilot.testing.power.trials import LossError, PowerTrials, Recording, Stage, Step, a_line

_LOGS = ("jsonl", "leases.wal")


@dataclass(frozen=True, slots=True)
class Failing:
    """What goes wrong: the error's number, whether it stays, and whether a write leaves half behind."""

    error: int
    sticky: bool = False
    short: bool = False
    allocating: bool = False
    times: int = 1
    dies: bool = False
    """The program ends before the errors do, and another one comes after them."""

    def at(self, number: int) -> Fault:
        """The fault that strikes at the operation `number`."""
        return Fault(number, self.error, self.sticky, self.short, self.allocating, self.times)


def fail_everywhere(trials: PowerTrials, recording: Recording, failing: Failing, losses: int, *, every: int = 1) -> int:
    """Let each operation of the scenario fail in turn, or every so many; how many did. LossError.

    After each run the store is opened by others as it stands, and after `losses` cuts of the power.
    """
    runs = 0
    while not trials.over and _fail(trials, recording, failing, runs * every, losses):
        runs += 1
    return runs


def _fail(trials: PowerTrials, recording: Recording, failing: Failing, at: int, losses: int) -> bool:
    """One run; whether the fault struck."""
    fault = failing.at(at)
    trials.bench.load(recording.image)
    files = PowerFiles(trials.bench.root, recording.image, fault)
    stage = Stage(files, trials.bench.root, recording.told[: recording.count])
    try:
        for step in recording.scenario.steps:
            _try(step, stage)
        if failing.dies:
            stage.die()
        files.heal()
        if fault.sticky and not fault.allocating and stage.opened > 1 and _lost(stage):
            return True  # the one case that no mark can tell the next program of: see `Poison.mark`
        _goes_on(stage)
        _require_no_second_sync(files)
    except (AssertionError, OSError) as error:
        problem = f"{recording.scenario.name}, {fault} at {files.struck[:1]}: {type(error).__name__} {error}"
        raise LossError(problem) from error
    finally:
        with contextlib.suppress(AutopilotError):
            stage.close()
        files.give_back()
        trials.bench.left_by(files)
    disk, told = files.disk(), tuple(stage.told)
    after = replace(recording, scenario=replace(recording.scenario, refusals=_REPAIRED | recording.scenario.refusals))
    trials.look(after, disk, disk.live(), told, f"{recording.scenario.name}, {fault} at {files.struck[:1]}")
    for sample in range(losses):
        name = f"seed {trials.seed}, {recording.scenario.name}, {fault} at {files.struck[:1]}:{sample}"
        drawn = Random(name)  # noqa: S311 - repeatable, not secret
        trials.look(after, disk, disk.after_loss(drawn, sample), told, name)
    return bool(files.struck)


_REPAIRED = frozenset({"poisoned"})


def _try(step: Step, stage: Stage) -> None:
    """A step may be refused; anything but an error of ours is a finding."""
    with contextlib.suppress(AutopilotError):
        step(stage)


def _goes_on(stage: Stage) -> None:
    """The same program goes on once the errors are over, unless a sync of a log failed: then nobody does."""
    if _lost(stage):
        for wanted in (lambda: stage.store.transaction().__enter__(), lambda: FileStore.open(stage.parts)):
            try:
                wanted()
            except IntegrityError as error:
                if error.code != "poisoned":
                    raise LossError(f"after a failed sync the store is {error.code}, not poisoned") from error
            else:
                raise LossError("a sync of a log failed, and the store goes on")
        return
    with contextlib.suppress(IntegrityError), stage.transaction() as tx:
        stage.append(tx, a_line("goes on"))


def _lost(stage: Stage) -> bool:
    """Whether a sync of a log failed since a repair last took the mark away."""
    lost = False
    for op in stage.files.ops:
        if isinstance(op, Synced) and op.failed and any(log in op.site for log in _LOGS):
            lost = True
        elif isinstance(op, Unnamed) and op.name == "POISONED":
            lost = False
    return lost


def _require_no_second_sync(files: PowerFiles) -> None:
    failed: set[int] = set()
    for op in files.ops:
        if isinstance(op, Synced):
            if op.node in failed:
                raise LossError(f"{op.site}: a sync that failed was tried again")
            if op.failed:
                failed.add(op.node)
