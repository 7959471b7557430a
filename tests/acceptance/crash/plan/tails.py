"""T1: the end of a log damaged at every byte, in five ways, for six shapes of its last record.

    acknowledged <= recovered <= written, else a refusal; and what was acknowledged is never cut silently.

The rule (`split_tail` after `walk`) is asked about every state; every so many of them lie on a disk and are opened by
the store, which has to say the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from autopilot.kernel.errors import IntegrityError
from autopilot.kernel.framing import split_tail
from autopilot.ledger.chain import Head, walk
from autopilot.ledger.entry import ArtifactRef, Draft
from autopilot.storage.files.creation import create_store
from autopilot.storage.files.store import FileStore, StoreParts
from autopilot.testing.clock import FakeClock
from autopilot.testing.folds import TallyFold
from autopilot.testing.power.trials import GENESIS, LossError, a_line
from crash.plan.counting import Ask, Tried
from crash.plan.unsynced import UnsyncedFiles

WAYS = ("cut", "zero", "garbage", "flip", "duplicate")
BLOCKS = (512, 4096)
ON_DISK_EVERY = 40


def shapes() -> tuple[Draft, ...]:
    """The last record: shortest, plain, past one sector, past one page, text beyond ASCII, many artifacts."""
    artifact = ArtifactRef("plan.md", "ab" * 32, 12, "text/markdown", "asserted")
    return (
        a_line(""),
        a_line("plan.md"),
        a_line("x" * 700),
        a_line("y" * 4300),
        a_line("Ünïcödé \N{SNOWMAN}\N{GRINNING FACE} \\n \\u0000 " * 8),
        a_line("sealed", artifacts=(artifact,) * 6),
    )


@dataclass(frozen=True, slots=True)
class Bed:
    """A store of some lines, and the bytes of its only segment with and without the last."""

    parts: StoreParts
    segment: Path
    acked: bytes
    whole: bytes
    ledger: str


def trials(ask: Ask) -> Iterator[Tried]:
    """Every byte of every shape, each way; then torn blocks. Long: the same for records drawn at random."""
    random = Random(f"T1:{ask.seed}")
    drafts = shapes()
    while True:
        for number, draft in enumerate(drafts):
            bed = _bed(ask.folder / f"t1-{number}", draft)
            # The shortest steps that still touch each byte of short records and each block of long ones.
            step = 1 if ask.long or len(bed.whole) - len(bed.acked) < 1200 else 3
            yield from _damaged(bed, random, step)
            yield from _torn(bed, random, 400 if ask.long else 120)
        if not ask.long:
            return
        drafts = tuple(a_line(random.choice("aé\N{SNOWMAN}") * random.randint(0, 6000)) for _ in range(6))


def _bed(folder: Path, draft: Draft) -> Bed:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    parts = StoreParts(folder / "state", TallyFold(), UnsyncedFiles(), FakeClock())
    store = create_store(parts, GENESIS)
    with store.transaction() as tx:
        tx.append(a_line("first"))
    segment = store.paths.segment(0)
    acked = segment.read_bytes()
    store.close()
    store = FileStore.open(parts)
    with store.transaction() as tx:
        tx.append(draft)
    whole = segment.read_bytes()
    store.paths.head.unlink()
    ledger = store.ledger_id
    store._ledger.close()
    store._leases.close()
    store._lock.close()
    return Bed(parts, segment, acked, whole, ledger)


def damaged(whole: bytes, start: int, at: int, way: str, random: Random) -> bytes:
    """`whole` with its last record, from `start`, damaged at the byte `at`."""
    tail = len(whole) - at
    if way == "cut":
        return whole[:at]
    if way == "zero":
        return whole[:at] + bytes(tail)
    if way == "garbage":
        return whole[:at] + random.randbytes(tail)
    if way == "flip":
        return whole[:at] + bytes([whole[at] ^ 1 << random.randrange(8)]) + whole[at + 1 :]
    return whole + whole[start:at]


def _damaged(bed: Bed, random: Random, step: int) -> Iterator[Tried]:
    start = len(bed.acked)
    for way in WAYS:
        states = refused = 0
        for at in range(start, len(bed.whole), step):
            data = damaged(bed.whole, start, at, way, random)
            # A whole record after which its beginning stands again was written, and is to be kept.
            kept = len(bed.whole) if way == "duplicate" else start
            refused += _ask(bed, data, kept, f"{way} at {at}", on_disk=states % ON_DISK_EVERY == 0)
            states += 1
        yield Tried(states, refused)


def _torn(bed: Bed, random: Random, states: int) -> Iterator[Tried]:
    """Blocks of the last record that did not reach the disk, under its full length."""
    start, refused = len(bed.acked), 0
    for number in range(states):
        block, data = random.choice(BLOCKS), bytearray(bed.whole)
        for at in range(start // block * block, len(data), block):
            if random.random() < 0.5:
                low, high = max(at, start), min(at + block, len(data))
                data[low:high] = bytes(high - low)
        refused += _ask(bed, bytes(data), start, f"torn {block}", on_disk=number % ON_DISK_EVERY == 0)
    yield Tried(states, refused)


def _ask(bed: Bed, data: bytes, kept: int, what: str, *, on_disk: bool) -> bool:
    """Whether the state is refused; LossError if more is cut than was damaged."""
    found = walk(data, Head(), bed.ledger)
    rest = data[found.consumed :]
    refused = bool(rest) and split_tail(rest, found.consumed).status != "torn"
    if found.consumed < kept:
        raise LossError(f"{what}: {kept} bytes stood, {found.consumed} are taken for good")
    if found.consumed > len(data):
        raise LossError(f"{what}: more is taken for good than is there")
    if on_disk:
        bed.segment.write_bytes(data)
        if _opens(bed, found.head.seq) == refused:
            raise LossError(f"{what}: the rule and the store do not say the same")
    return refused


def _opens(bed: Bed, last: int) -> bool:
    """Whether the store opens for writing and still has its lines up to `last`."""
    try:
        store = FileStore.open(bed.parts)
    except IntegrityError:
        return False
    try:
        with store.transaction() as tx:
            tx.append(a_line("afterwards"))
        if len(list(store.entries())) <= last or not store.verify().intact:
            raise LossError("opened, and lines are gone")
    except IntegrityError:
        return False
    else:
        return True
    finally:
        store.close()
        store.paths.head.unlink(missing_ok=True)
