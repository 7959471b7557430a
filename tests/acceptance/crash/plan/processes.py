"""T4, T5, T8 and T9: real processes that are killed, crowded, stopped past their lease, and out of disk."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random

from autopilot.kernel.callers import Caller
from autopilot.kernel.clock import SystemClock
from autopilot.kernel.errors import AutopilotError, StorageError
from autopilot.leases import decisions
from autopilot.leases.terms import Holder, LeaseTimes, Moment, token_digest
from autopilot.ledger.entry import LeaseRef
from autopilot.storage.files.creation import create_store
from autopilot.storage.files.store import FileStore, FileTransaction
from autopilot.testing.power.trials import GENESIS, LossError, a_line
from crash.plan.children import Child, Say, append_for_ever, parts, require_acked
from crash.plan.counting import Ask, Tried

KILLS_PER_STORE = 60
KILLS_SHORT = 180
WRITERS = 8
STOPPED_SHORT = 20
CLOCK = SystemClock()
TIMES = LeaseTimes(ttl_seconds=1)


def kills(ask: Ask) -> Iterator[Tried]:
    """T4: kill -9 of a writer at a random moment, half of its writes in two halves: what was acknowledged is there."""
    random = Random(f"T4:{ask.seed}")
    for round_ in count():
        folder = ask.folder / f"t4-{round_}"
        create_store(parts(folder), GENESIS).close()
        acked: dict[int, str] = {}
        for number in range(KILLS_PER_STORE):
            since = max(acked, default=0)
            child = Child(append_for_ever(folder, f"{round_}-{number}", split=True))
            child.line()
            time.sleep(random.uniform(0, 0.012))
            child.kill()
            acked |= _acked(child.rest())
            child.end()
            store = FileStore.open(parts(folder))
            with contextlib.closing(store), store.transaction():
                pass
            with contextlib.closing(store):
                require_acked(store, acked, since if number % 20 else 0)
            yield Tried()
        if not ask.long and (round_ + 1) * KILLS_PER_STORE >= KILLS_SHORT:
            return


def _acked(lines: list[str]) -> dict[int, str]:
    pairs = (line.split() for line in lines if " " in line)
    return {int(seq): digest for seq, digest in pairs}


def crowd(ask: Ask) -> Iterator[Tried]:
    """T5: eight processes append to one ledger. Long: they are stopped and killed at random while they do."""
    random = Random(f"T5:{ask.seed}")
    for round_ in count():
        folder = ask.folder / f"t5-{round_}"
        create_store(parts(folder), GENESIS).close()
        each = random.randint(20, 120) if ask.long else 30
        children = [Child(append_for_ever(folder, f"w{name}", split=False, count=each)) for name in range(WRITERS)]
        killed = _harass(children, random) if ask.long else set()
        acked: dict[int, str] = {}
        for child in children:
            told = _acked(child.rest())
            if acked.keys() & told.keys():
                raise LossError("two processes were given one number")
            acked |= told
            if child.end() != 0 and child.pid not in killed:
                raise LossError("a writer failed")
        if not killed and len(acked) != WRITERS * each:
            raise LossError(f"{len(acked)} acknowledged of {WRITERS * each}")
        store = FileStore.open(parts(folder))
        with contextlib.closing(store):
            with store.transaction():
                pass
            require_acked(store, acked)
        yield Tried(len(acked))
        if not ask.long and round_ == 1:
            return


def _harass(children: list[Child], random: Random) -> set[int]:
    """Stop and let go, and now and then kill, one every 50 ms; who was killed."""
    killed: set[int] = set()
    for _ in range(random.randint(5, 25)):
        child = random.choice(children)
        if child.pid in killed:
            continue
        if random.random() < 0.15:
            child.kill()
            killed.add(child.pid)
            continue
        child.signal(signal.SIGSTOP)
        time.sleep(0.05)
        child.signal(signal.SIGCONT)
    return killed


def stopped(ask: Ask) -> Iterator[Tried]:
    """T8: a holder is stopped past its lease time, another takes over; what the first then appends is fenced out."""
    folder = ask.folder / "t8"
    create_store(parts(folder), GENESIS).close()
    store = FileStore.open(parts(folder))
    with contextlib.closing(store):
        for round_ in count():
            tasks = [f"T-{round_ * STOPPED_SHORT + number + 1}" for number in range(STOPPED_SHORT)]
            holders = [Child(_hold(folder, task)) for task in tasks]
            fences = [int(holder.line()) for holder in holders]
            for holder in holders:
                holder.signal(signal.SIGSTOP)
            time.sleep(TIMES.ttl_seconds + 0.1)
            for task, fence in zip(tasks, fences, strict=True):
                with store.transaction() as tx:
                    if _take(tx, task, "s-2") <= fence:
                        raise LossError(f"{task}: the fence did not rise over {fence}")
            (folder / f"go-{round_}").touch()
            for holder in holders:
                holder.signal(signal.SIGCONT)
            (folder / "go").touch()
            said = [holder.rest() for holder in holders]
            (folder / "go").unlink()
            for holder in holders:
                holder.end()
            if any(line != ["stale_fence"] for line in said):
                raise LossError(
                    f"a stopped holder was answered {[line for line in said if line != ['stale_fence']][:3]}"
                )
            yield Tried(len(tasks), len(tasks))
            if not ask.long:
                return


def _hold(folder: Path, task: str) -> object:
    def work(say: Say) -> None:
        store = FileStore.open(parts(folder))
        with store.transaction() as tx:
            fence = _take(tx, task, "s-1")
        say(str(fence))
        while not (folder / "go").exists():
            time.sleep(0.01)
        try:
            with store.transaction() as tx:
                tx.append(a_line("late", task=task, lease=LeaseRef(f"{task}/PLAN", fence)))
            say("appended")
        except AutopilotError as error:
            say(",".join(getattr(error, "verdict", None).codes()) if hasattr(error, "verdict") else error.code)

    return work


def _take(tx: FileTransaction, task: str, session: str) -> int:
    holder = Holder(Caller(f"agent-{session}", "agent", session))
    asking = decisions.Asking(f"{task}/PLAN", holder, token_digest("t"))
    decision = decisions.grant(tx.leases, asking, Moment(CLOCK.boot_ns(), CLOCK.boot_id()), TIMES)
    for record in decision.records:
        tx.record_lease(record)
    if decision.lease is None:
        raise LossError(f"{task} was not granted to {session}: {decision.verdict.codes()}")
    return decision.lease.fence


def full(ask: Ask) -> Iterator[Tried]:
    """T9: no room for a file to grow, and no room on the disk: refused, and all there once there is room."""
    random = Random(f"T9:{ask.seed}")
    for round_ in count():
        yield _limited(ask.folder / f"t9-limit-{round_}", random)
        for kind in ("tmpfs", "ext4"):
            tried = _on_small_disk(ask.folder / f"t9-{kind}-{round_}", kind, random)
            if tried is not None:
                yield tried
        if not ask.long:
            return


def _limited(folder: Path, random: Random) -> Tried:
    """RLIMIT_FSIZE in the child: a write is cut short, the next one fails."""
    create_store(parts(folder), GENESIS).close()
    limit = random.randint(4_000, 40_000)

    def work(say: Say) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        store = FileStore.open(parts(folder))
        _fill(store, say)

    child = Child(work)
    lines = child.rest()
    child.end()
    _goes_on(folder, _acked(lines[:-1]))
    return Tried(1, 1)


def _fill(store: FileStore, say: Say) -> None:
    """Append until the store refuses; say the reason. LossError if it never does."""
    for number in range(20_000):
        try:
            with store.transaction() as tx:
                entry = tx.append(a_line("z" * (number % 900)))
        except StorageError as error:
            say(f"refused {error.code}")
            return
        say(f"{entry.seq} {entry.hash}")
    raise LossError("the disk never was full")


def _goes_on(folder: Path, acked: dict[int, str]) -> None:
    store = FileStore.open(parts(folder))
    with contextlib.closing(store):
        with store.transaction() as tx:
            tx.append(a_line("there is room again"))
        require_acked(store, acked)


def _on_small_disk(folder: Path, kind: str, random: Random) -> Tried | None:
    """A disk of its own, filled to the last block by the store itself; None where none can be mounted."""
    folder.mkdir(parents=True)
    where, filler = folder / "disk", folder / "disk" / "filler"
    where.mkdir()
    if not _mount(folder, where, kind):
        return None
    try:
        create_store(parts(where), GENESIS).close()
        with filler.open("wb") as file, contextlib.suppress(OSError):
            free = os.statvfs(where).f_bavail * os.statvfs(where).f_frsize
            file.write(bytes(max(0, free - random.randint(20_000, 60_000))))
        told: list[str] = []
        store = FileStore.open(parts(where))
        with contextlib.closing(store):
            _fill(store, told.append)
            filler.unlink()
            poisoned = store.paths.poisoned.exists()
            if not poisoned:
                with store.transaction() as tx:
                    tx.append(a_line("in the same process"))
        if not poisoned:
            _goes_on(where, _acked(told[:-1]))
        return Tried(1, 1)
    finally:
        subprocess.run(["umount", "-l", str(where)], check=False, capture_output=True)


def _mount(folder: Path, where: Path, kind: str) -> bool:
    if os.geteuid() != 0:
        return False
    if kind == "tmpfs":
        words = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(where)]
    else:
        image = folder / "image"
        image.write_bytes(bytes(8 << 20))
        made = subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=False, capture_output=True)
        if made.returncode != 0:
            return False
        words = ["mount", "-o", "loop", str(image), str(where)]
    return subprocess.run(words, check=False, capture_output=True).returncode == 0
