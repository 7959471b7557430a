"""The real half of T3 and of T4: the command line itself, with errors injected and killed by strace."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random

from autopilot.kernel.phases import Phase
from autopilot.testing.power.trials import LossError
from crash import governed, tracing
from crash.plan.counting import Ask, Tried
from crash.trials import ADVANCES, OTHERS, Kills

CALLS = ("openat", "write", "fdatasync", "fsync", "rename", "link", "unlink", "ftruncate", "mkdir", "lseek", "flock")
ERRORS = ("EIO", "ENOSPC", "EINTR", "EACCES")
PLACES = ("seg/0000000000000000.jsonl", "head", "LEDGER.json", "lock", "seg")
RUNS_SHORT = 10
KILLS_SHORT = 3
_WORDS = ("lease", "acquire", governed.TASK, "--json")


def errors(ask: Ask) -> Iterator[Tried]:
    """One call fails, once or from then on, in `lease acquire`: acknowledged and there, or refused and not counted."""
    random = Random(f"T3b:{ask.seed}")
    prepared = governed.prepare(ask.folder / "prepared", Phase.STRATEGIZE)
    governed.settle(prepared)
    for number in count():
        place, call = random.choice(PLACES), random.choice(CALLS)
        when = f"{random.randint(1, 4)}{random.choice(('', '+'))}"
        inject = f"inject={call}:error={random.choice(ERRORS)}:when={when}"
        yield _inject(governed.copy(prepared, ask.folder / "repository"), place, call, inject)
        if not ask.long and number + 1 >= RUNS_SHORT:
            return


def _inject(folder: Path, place: str, call: str, inject: str) -> Tried:
    ledger = (folder / "state" / "ledger").resolve()
    wal = (folder / "state" / "leases").resolve()
    places = [ledger / place, wal / "leases.wal", wal]
    words = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", inject]
    answer = governed.autopilot(folder, *_WORDS, prefix=[*words, *(f"-P{path}" for path in places)])
    what = f"{inject} at {place}: exit {answer.code}"
    poisoned = (ledger / "POISONED").exists()
    verified = governed.autopilot(folder, "ledger", "verify")
    if verified.code != 0 and not poisoned:
        raise LossError(f"{what}: verification says {verified}")
    if answer.code == 0:
        granted = [line.body["lease"]["fence"] for line in governed.chain(folder) if line.kind == "lease.granted"]
        if answer.document["fence"] not in granted and not poisoned:
            again = governed.autopilot(folder, *_WORDS)
            if again.code != 0 or again.document["fence"] < answer.document["fence"]:
                raise LossError(f"{what}: acknowledged, and then {again}")
    elif not poisoned and governed.autopilot(folder, *_WORDS).code != 0:
        raise LossError(f"{what}: nobody can go on after it")
    return Tried(1, int(answer.code != 0))


def kills(ask: Ask) -> Iterator[Tried]:
    """kill -9 of the command line at a drawn moment; see `crash.trials` for what must hold after it."""
    random = Random(f"T4b:{ask.seed}")
    made = Kills(ask.folder)
    for number in count():
        commands = ADVANCES if number % 3 else OTHERS
        (moment,) = made.draw(random, commands, 1)
        outcome = made.run(moment)
        if outcome.problems:
            raise LossError(f"{outcome.moment} [{outcome.zone}; {outcome.left}]: {outcome.problems}")
        yield Tried()
        if not ask.long and number + 1 >= KILLS_SHORT:
            return


def missing() -> str:
    """Why calls cannot be traced here, or nothing."""
    return tracing.missing()
