"""One simulated process: a store of its own on the shared disk, and the shipped desks over it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from autopilot.evidence.contracts import RULES
from autopilot.kernel.callers import Caller
from autopilot.process.desks.approving import ApprovalDesk
from autopilot.process.desks.attesting import AttestationDesk
from autopilot.process.desks.configuring import ConfigDesk
from autopilot.process.desks.evidencing import EvidenceDesk
from autopilot.process.desks.flagging import FlagDesk
from autopilot.process.desks.journaling import JournalDesk
from autopilot.process.desks.leasing import LeaseDesk
from autopilot.process.desks.tasks import TaskRegister
from autopilot.process.desks.watching import Watchdog
from autopilot.process.enforcer import WorkProcessEnforcer
from autopilot.process.engine import Engine
from autopilot.process.fold import ProcessFold
from autopilot.process.router import ToolRouter
from autopilot.process.runners import RunnerDesk
from autopilot.process.site import Site
from autopilot.storage.files.store import FileStore, StoreParts
from autopilot.testing.simulation.disk import ProcessFiles
from autopilot.testing.simulation.site import SimRunner, Standing, tools
from autopilot.testing.simulation.world import World


@dataclass(slots=True)
class _Renewal:
    every_seconds: float
    due_ns: int
    renew: Callable[[], bool]
    goes_on: bool = True


class SimRenewals:
    """Renewal in the background, without a background: due whenever simulated time passes while the engine works."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._under_way: list[_Renewal] = []

    @contextmanager
    def every(self, seconds: float, renew: Callable[[], bool]) -> Iterator[None]:
        """See `desks.renewal.Renewing`."""
        one = _Renewal(seconds, self._world.clock.boot_ns() + int(seconds * 1e9), renew)
        self._under_way.append(one)
        try:
            yield
        finally:
            self._under_way.remove(one)

    def pass_time(self, seconds: float) -> None:
        """Time passes for everybody, and what is due of this process's renewals is done."""
        for _ in range(int(seconds)):
            self._world.clock.tick(1)
            for one in self._under_way:
                if one.goes_on and self._world.clock.boot_ns() >= one.due_ns:
                    one.due_ns = self._world.clock.boot_ns() + int(one.every_seconds * 1e9)
                    one.goes_on = in_a_thread(one.renew)


def in_a_thread(call: Callable[[], bool]) -> bool:
    """`call` in a thread of its own, waited for: what the engine keeps for each thread is not the caller's there."""
    answers: list[bool] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            answers.append(call())
        except BaseException as failure:  # noqa: BLE001 - handed on to the caller's thread
            failures.append(failure)

    thread = threading.Thread(target=work, name="simulated-renewal")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return answers[0]


@dataclass
class Desks:
    """The shipped engine, put together as `wiring.full` does, over simulated surroundings."""

    world: World
    files: ProcessFiles
    standing: Standing
    store: FileStore
    renewals: SimRenewals = field(init=False)

    def __post_init__(self) -> None:
        world, store = self.world, self.store
        self.renewals = SimRenewals(world)
        self.engine = engine = Engine(
            store=store,
            clock=world.clock,
            settings=world.settings,
            root=world.root,
            state_dir=world.state_dir,
            draw=world.draw,
        )
        site = Site(
            root=world.root,
            state_dir=world.state_dir,
            repository=self.standing,
            trees=self.standing,
            objects=store.objects,
            tools=tools,
            runner=self._runner,
        )
        self.leases = LeaseDesk(engine, self.renewals)
        self.enforcer = WorkProcessEnforcer(engine, self.leases, RunnerDesk(engine, site, RULES))
        self.tasks = TaskRegister(engine, site)
        self.evidence = EvidenceDesk(engine, self.leases)
        self.approvals = ApprovalDesk(engine)
        self.attestation = AttestationDesk(engine)
        self.flags = FlagDesk(engine)
        self.config = ConfigDesk(engine)
        self.watchdog = Watchdog(engine)
        self.journal = JournalDesk(engine)
        self.router = ToolRouter(engine)

    def _runner(self, isolation: str) -> SimRunner:
        del isolation
        return SimRunner(self.world.clock, self.renewals.pass_time, self.world.draw)


@dataclass
class SimProcess:
    """A process that starts when it is first asked for something, and anew after it was killed."""

    world: World
    caller: Caller
    repairing: bool = False
    strikes: int = 0
    """How many errors of the disk there had been when its present call began."""
    _desks: Desks | None = None

    def __post_init__(self) -> None:
        self.files = self.world.files()

    @property
    def opened(self) -> Desks | None:
        """The engine of this process, if it is open."""
        return self._desks

    @property
    def desks(self) -> Desks:
        """The engine of this process, opened if it is not."""
        if self._desks is None:
            world = self.world
            parts = StoreParts(
                world.state_dir, ProcessFold(), self.files, world.clock, floor=world.marker, draw=world.draw
            )
            self._desks = Desks(world, self.files, Standing(world.projects), FileStore.open(parts))
            self._desks.journal.mend()
        self._desks.engine.settings = self.world.settings
        return self._desks

    def close(self) -> None:
        """End properly, as `Workspace.close` does: the ledger's length is noted outside."""
        desks, self._desks = self._desks, None
        if desks is not None:
            self.world.marker = max(self.world.marker, desks.store.durable)
            desks.store.close()

    def die(self) -> None:
        """What the kernel does with a process that was killed: its files are closed, its locks are gone."""
        desks, self._desks = self._desks, None
        self.files.give_back()
        if desks is not None:
            with suppress(OSError):
                desks.store._lock.close()
        self.files = self.world.files()
