"""What all processes of a run share: one machine, one disk, one state directory, one seed.

The seed's source is drawn from by whoever has the baton, so that the order of drawing is the order of events. A
process is killed, or the machine loses power, only at an operation on a file; what befalls a call is decided when the
call begins, by the number of operations it will get to.
"""

from __future__ import annotations

import errno
import fcntl
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from autopilot.kernel.configuration import Settings
from autopilot.process.fold import ProcessFold
from autopilot.storage.files import lock
from autopilot.storage.files.creation import Genesis, create_store
from autopilot.storage.files.store import StoreParts
from autopilot.testing.simulation.baton import Baton, KilledError
from autopilot.testing.simulation.callers import ADA
from autopilot.testing.simulation.clock import SimClock
from autopilot.testing.simulation.disk import ProcessFiles, SimDisk, lay_out
from autopilot.testing.simulation.site import Projects, settings

STATE = "state"
_ERRORS = (errno.EIO, errno.ENOSPC)


@dataclass(frozen=True, slots=True)
class Odds:
    """How often, in a thousand calls, a process is killed in one, the power fails in one, the disk fails one."""

    kill: int = 50
    power: int = 15
    disk: int = 12


@dataclass(slots=True)
class _Doom:
    """What happens at the operation that comes `after` so many others of this call."""

    what: str = ""
    after: int = 0


@dataclass
class World:
    """The machine and everything on it. `root` is an empty folder."""

    root: Path
    seed: int
    odds: Odds = field(default_factory=Odds)

    def __post_init__(self) -> None:
        self.random = Random(f"autopilot simulation {self.seed}")  # noqa: S311 - repeatable, not secret
        self.clock = SimClock()
        self.baton = Baton(self.random)
        self.projects = Projects()
        self.settings: Settings = settings()
        self.tally: Counter[str] = Counter()
        self.marker = 0
        self.power_fails = False
        self.numbers = count(1)
        self.state_dir = self.root / STATE
        self.disk = SimDisk(self.root, {})

    def create(self) -> str:
        """Make the store on the empty disk, all of it synced; the ledger's id."""
        parts = StoreParts(self.state_dir, ProcessFold(), _Setting(self), self.clock, draw=self.draw)
        store = create_store(parts, Genesis(ADA, "autopilot simulation"))
        store.close()
        self.disk.give_back()
        self.disk = SimDisk(self.root, self.disk.disk().live())
        return store.ledger_id

    def draw(self, length: int) -> str:
        """`length` random bytes in hex, from the seed."""
        return self.random.getrandbits(8 * length).to_bytes(length, "big").hex()

    def one_in(self, number: int) -> bool:
        """True once in so many times."""
        return self.random.randrange(number) == 0

    # --- what befalls a call

    def doom(self) -> _Doom:
        """What is in store for the next call."""
        drawn, odds = self.random.randrange(1000), self.odds
        after = self.random.randrange(self.random.choice((4, 30)))
        if drawn < odds.kill:
            return _Doom("kill", after)
        if drawn < odds.kill + odds.power:
            return _Doom("power", after)
        if drawn < odds.kill + odds.power + odds.disk:
            self.disk.arm(after, self.random.choice(_ERRORS), short=self.one_in(2))
        return _Doom()

    def files(self) -> DoomedFiles:
        """A port for a process that starts."""
        return DoomedFiles(self)

    # --- the machine

    def lose_power(self) -> None:
        """Everybody is gone, the disk keeps what it keeps, and the machine boots. The caller has unwound already."""
        self.power_fails = False
        self.baton.kill_others()
        disk = self.disk.disk()
        there, image = disk.live(), disk.after_loss(self.random, self.random.randrange(12))
        lay_out(self.root, there, image)
        self._forget_unsynced()
        self.disk = SimDisk(self.root, image)
        self.clock.reboot()
        self.tally["power losses"] += 1

    def _forget_unsynced(self) -> None:
        """Files that are only shown are never synced: any of them may be gone."""
        for folder in ("evidence", "journal"):
            for path in sorted((self.state_dir / folder).rglob("*")):
                shown = ".objects" not in path.parts and path.is_file()
                if shown and self.one_in(4):
                    path.unlink()

    @contextmanager
    def flock(self) -> Iterator[None]:
        """The lock file's system call, for as long as the run lasts: instead of waiting it hands the baton on."""
        with replaced(lock, "fcntl", Flock(self.baton)):
            yield


class DoomedFiles(ProcessFiles):
    """The port of one process, with what is in store for its present call."""

    def __init__(self, world: World) -> None:
        super().__init__(lambda: world.disk, self)
        self.doom = _Doom()
        self._world = world

    def spare(self) -> None:
        """Nothing befalls the process any more."""
        self.doom = _Doom()

    def meet(self, operation: str) -> None:
        """See `disk.Fate`."""
        del operation
        world, doom = self._world, self.doom
        world.clock.tick(world.random.randrange(400) / 1_000_000)
        world.tally["operations"] += 1
        if doom.what:
            doom.after -= 1
            if doom.after < 0:
                world.power_fails = doom.what == "power"
                self.doom = _Doom()
                raise KilledError
        world.baton.pause()

    def torn(self, length: int) -> int:
        """See `disk.Fate`."""
        return self._world.random.choice((0, length // 2, length))

    def number(self) -> int:
        """See `disk.Fate`."""
        return next(self._world.numbers)


class _Setting(ProcessFiles):
    """The port before the processes start: nothing befalls it."""

    def __init__(self, world: World) -> None:
        super().__init__(lambda: world.disk, self)
        self._world = world

    def meet(self, operation: str) -> None:
        """See `disk.Fate`."""

    def torn(self, length: int) -> int:
        """See `disk.Fate`."""
        return length

    def number(self) -> int:
        """See `disk.Fate`."""
        return next(self._world.numbers)


class Flock:
    """Stands for the module `fcntl` in the store's lock: the kernel's own `flock`, asked until it is had.

    The lock is the shipped one, descriptors, queue and all. Only the waiting is simulated.
    """

    LOCK_SH, LOCK_EX, LOCK_NB, LOCK_UN = fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_NB, fcntl.LOCK_UN

    def __init__(self, baton: Baton) -> None:
        self._baton = baton

    def flock(self, descriptor: int, mode: int) -> None:
        """Take or give the lock; another's turn while it is not to be had."""
        if mode == self.LOCK_UN:
            fcntl.flock(descriptor, mode)
            return
        self._baton.pause()
        self._baton.wait_for(lambda: self._taken(descriptor, mode))

    def _taken(self, descriptor: int, mode: int) -> bool:
        try:
            fcntl.flock(descriptor, mode | self.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """`owner.name` is `value` for the time of the block."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
