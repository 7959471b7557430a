"""Kills the program at every operation of a scenario; another goes on at once on what it left; then the power goes.

A killed program loses nothing that it wrote, synced or not: the next one reads it all, builds on it, and tells its own
caller that this stands. So whatever the next one relies on it has to bring to the disk itself, names of files and
folders among them. That is what a kill alone never shows, and a power loss alone never shows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from autopilot.testing.power.disk import Disk, Image
from autopilot.testing.power.files import KilledError, PowerFiles
from autopilot.testing.power.scenarios import CREATE, a_long_line, sealed_line, taken
from autopilot.testing.power.trials import LossError, PowerTrials, Recording, Scenario, Stage, judge, problems


@dataclass(frozen=True, slots=True)
class Killed:
    """A run with a kill in it, and the number of operations that the dead program made."""

    recording: Recording
    before: int


def kill_everywhere(trials: PowerTrials, scenario: Scenario, samples: int, *, every: int = 1, first: int = 0) -> int:
    """Kill at each operation from `first` on, or every so many; how many did. LossError."""
    image, told = trials.prepared(scenario)
    runs = 0
    start = Recording(scenario, image, (), told, len(told))
    while not trials.over and (found := killed(trials, start, first + runs * every)):
        runs += 1
        name = f"{scenario.name} killed at {first + (runs - 1) * every}"
        # Only the end, for the moments before it are those of an undisturbed run; but a creation that is taken up again
        # builds on what it finds from its first step.
        first_moment = found.before if scenario is CREATE else len(found.recording.ops) - 2
        trials.cut_everywhere(found.recording, samples, label=name, first=first_moment)
    return runs


def killed(trials: PowerTrials, start: Recording, at: int, *, torn: bool = False) -> Killed | None:
    """Kill the scenario at operation `at` and go on; None past its end. `torn`: a write is killed in its middle."""
    trials.bench.load(start.image)
    files = PowerFiles(trials.bench.root, start.image)
    files.kill_at, files.torn = at, torn
    stage = Stage(files, trials.bench.root, start.told)
    try:
        for step in start.scenario.steps:
            step(stage)
    except KilledError:
        pass
    finally:
        stage.die()
    if not files.killed:
        files.give_back()
        trials.bench.left_by(files)
        return None
    trials.counts.killed += 1
    before = len(files.ops)
    files.revive()
    follower = Stage(files, trials.bench.root, tuple(stage.told))
    live = files.disk().live()
    with problems(f"seed {trials.seed}, {start.scenario.name} killed at {at}{' in the write' * torn}"):
        try:
            scenario = trials.come_back(follower, start.scenario, Disk(live), live)
            _go_on(follower)
        finally:
            follower.close()
            files.give_back()
            trials.bench.left_by(files)
    scenario = replace(scenario, refusals=scenario.refusals - {"poisoned"})
    return Killed(Recording(scenario, start.image, tuple(files.ops), tuple(follower.told), len(start.told)), before)


def cut_and_killed(trials: PowerTrials, scenario: Scenario) -> int:
    """Three programs: one is killed in a write, the next while it takes the rest out, and the third is open throughout.

    The third has to put on record what the second cut and did not come to tell; how many such kills. LossError.
    """
    image, told = trials.prepared(scenario)
    runs = 0
    while _bystander(trials, Recording(scenario, image, (), told, len(told)), runs):
        runs += 1
    return runs


def _bystander(trials: PowerTrials, start: Recording, at: int) -> bool:
    trials.bench.load(start.image)
    files = PowerFiles(trials.bench.root, start.image)
    bystander = Stage(files, trials.bench.root, start.told)
    victim, mender = Stage(files, trials.bench.root), Stage(files, trials.bench.root)
    with problems(f"{start.scenario.name}, with a bystander, the mender killed at {at}"):
        try:
            with bystander.store.transaction():
                pass
            torn = _tear(files, victim, start.scenario)
            files.revive()
            files.torn = False
            files.kill_at = files.count + at
            _until_killed(mender, replace(start.scenario, steps=(_open_for_writing,)))
            dead = files.killed
            files.revive()
            judge(bystander, torn, start.told, replace(start.scenario, on_record=True))
            trials.counts.killed += dead
            trials.counts.states += 1
            return dead
        finally:
            bystander.close()
            files.give_back()
            trials.bench.left_by(files)


def _tear(files: PowerFiles, victim: Stage, scenario: Scenario) -> Image:
    """Kill `victim` in the middle of the first write it makes; what lies there then."""
    files.kill_write, files.torn = True, True
    _until_killed(victim, scenario)
    return files.disk().live()


def _open_for_writing(stage: Stage) -> None:
    with stage.store.transaction():
        pass


def _until_killed(stage: Stage, scenario: Scenario) -> None:
    try:
        for step in scenario.steps:
            step(stage)
        stage.close()
    except KilledError:
        stage.die()


def _go_on(stage: Stage) -> None:
    """What the next program does and tells: a lease, an object, lines; it leaves in good order."""
    taken(stage)
    sealed_line(stage)
    a_long_line(stage)


__all__ = ["Killed", "LossError", "cut_and_killed", "kill_everywhere", "killed"]
