"""Who goes on: threads of which only the one with the baton runs, handed on where the seed says so.

A runner stands for one process. The shipped code calls `pause` at every operation on a file and `wait_for` at a lock
that another has; both may hand the baton on, and a runner that gets it back may learn there that it was killed. No
real time passes anywhere: nobody sleeps, nobody waits for anything but the baton.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from random import Random

SWITCH_ONE_IN = 6
STUCK_AFTER = 20_000


class KilledError(BaseException):
    """The process ends here, without a word: no handler of the engine's catches it."""


class DeadlockError(AssertionError):
    """Everybody waits for somebody."""


class Runner:
    """One thread, running only while it has the baton."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.name = name
        self.work = work
        self.killed = False
        self.over = False
        self.gate = threading.Semaphore(0)


class Baton:
    """Hands out turns, all of them drawn from one seeded source."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._runners: list[Runner] = []
        self._main = threading.Semaphore(0)
        self._holder: Runner | None = None
        self._failure: BaseException | None = None
        self._back: Runner | None = None
        self._fruitless = 0

    @property
    def holder(self) -> Runner:
        """Who runs now."""
        if self._holder is None:
            raise RuntimeError("nobody runs")
        return self._holder

    def add(self, name: str, work: Callable[[], None]) -> None:
        """A runner that will do `work`."""
        self._runners.append(Runner(name, work))

    def run(self) -> None:
        """Let them all work to their ends; raises what the first that failed raised."""
        threads = [
            threading.Thread(target=self._life, args=(one,), name=f"simulated-{one.name}") for one in self._runners
        ]
        for thread in threads:
            thread.start()
        self._hand_to(self._random.choice(self._runners))
        self._main.acquire()
        for thread in threads:
            thread.join()
        if self._failure is not None:
            raise self._failure

    def pause(self) -> None:
        """A place where another may go on; while nobody runs yet, or any more, it is none."""
        if self._holder is None:
            return
        self._fruitless = 0
        self._require_alive()
        if self._back is None and self._random.randrange(SWITCH_ONE_IN) == 0:
            self._switch(self._alive())
        self._require_alive()

    def between(self) -> None:
        """Between two calls of a runner: anybody may be next."""
        self._require_alive()
        self._switch(self._alive())
        self._require_alive()

    def wait_for(self, try_it: Callable[[], bool]) -> None:
        """Until `try_it` succeeds, let others go on."""
        while not try_it():
            others = [one for one in self._alive() if one is not self.holder]
            self._fruitless += 1
            if not others or self._fruitless > STUCK_AFTER:
                raise DeadlockError(f"{self.holder.name} waits for a lock that nobody gives back")
            self._switch(others)
            self._require_alive()
        self._fruitless = 0

    def kill_others(self) -> None:
        """End everybody else where they stand; returns once each has unwound."""
        me = self.holder
        for one in self._alive():
            if one is not me:
                one.killed = True
                self._back = me
                self._switch([one])
        self._back = None

    def unwound(self) -> None:
        """Called by a runner whose process has ended: gives the baton back to whoever ended it."""
        me = self.holder
        me.killed = False
        while self._back is not None and self._back is not me:
            # Whoever ended it goes on; the machine may lose power again before this one's turn comes.
            self._switch([self._back])
            me.killed = False
        if self._failure is not None:
            raise KilledError

    # --- inside

    def _life(self, runner: Runner) -> None:
        runner.gate.acquire()
        try:
            if self._failure is None:
                runner.work()
        except KilledError:
            pass
        except BaseException as error:  # noqa: BLE001 - whatever it is, the run ends with it
            self._failure = self._failure or error
        runner.over = True
        self._fruitless = 0
        left = self._alive()
        if left:
            self._hand_to(left[0] if self._failure is not None else self._random.choice(left))
        else:
            self._holder = None
            self._main.release()

    def _alive(self) -> list[Runner]:
        return [one for one in self._runners if not one.over]

    def _switch(self, candidates: list[Runner]) -> None:
        me, following = self.holder, self._random.choice(candidates)
        if following is not me:
            self._hand_to(following)
            me.gate.acquire()

    def _hand_to(self, runner: Runner) -> None:
        self._holder = runner
        runner.gate.release()

    def _require_alive(self) -> None:
        if self.holder.killed or self._failure is not None:
            raise KilledError
