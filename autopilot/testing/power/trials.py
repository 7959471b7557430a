"""Runs a store on a disk that forgets, cuts the power after every operation, and looks at what is left.

A scenario runs once and leaves the list of its operations, with a mark wherever its caller was told that something
stands. Every beginning of that list is a moment at which the power can go, and for each the disk has many contents. On
each the store is opened by the shipped code, and has to keep what it told: every line that was acknowledged, byte for
byte, every object that a line names, every fence. It must be fit for work again at once, and where a tail was cut that
must be on record. The only refusals are those that the tail rule asks for: two writes to one log of which neither was
synced cannot always be told from damage. Then a person's repair has to keep what was told.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from math import inf
from random import Random
from typing import Any

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import AutopilotError, IntegrityError
from autopilot.ledger.chain import Head, walk
from autopilot.ledger.entry import Draft, LedgerEntry
from autopilot.signing.keys import KeyRing
from autopilot.storage.files.checkpoints import CheckpointFiles
from autopilot.storage.files.creation import Genesis, create_store
from autopilot.storage.files.repair import repair
from autopilot.storage.files.store import FileStore, FileTransaction, StoreParts
from autopilot.testing.clock import FakeClock
from autopilot.testing.folds import TallyFold
from autopilot.testing.power.disk import Disk, Image, Mark, Op
from autopilot.testing.power.files import Bench, PowerFiles
from autopilot.wiring.checkpoints import KEYS_FOLDER, verify_state

PERSON = Caller("ops", "human")
GENESIS = Genesis(PERSON, "autopilot test")
AMBIGUOUS = frozenset({"bad_ledger_json", "bad_hash", "bad_link", "lease_log_corrupt"})
_SEGMENTS = "state/ledger/seg/"
_RECOVERED = b'"kind":"ledger.recovered"'


class LossError(AssertionError):
    """Something that was told did not survive, or the store did not come back. The message names seed and state."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a caller was told: `what` is line, object, fence, free, created, repaired, key or note."""

    what: str
    key: Any = None
    value: Any = None


class Stage:
    """A store under the simulated disk. What it tells its caller is kept, each with its place among the operations."""

    def __init__(self, files: PowerFiles, root: Any, told: tuple[Told, ...] = ()) -> None:
        self.files = files
        self.told = list(told)
        self.clock = FakeClock()
        self.parts = StoreParts(root / "state", TallyFold(self._see), files, self.clock)
        self._bodies: dict[int, bytes] = {}
        self._lines = sum(one.what == "line" for one in told)
        self._store: FileStore | None = None
        self._untold: list[Told] | None = None
        self.opened = 0

    @property
    def store(self) -> FileStore:
        """The store, opened when first asked for."""
        if self._store is None:
            self.opened += 1
            self._store = FileStore.open(self.parts)
        return self._store

    def create(self) -> None:
        """Make the store."""
        self._store = create_store(self.parts, GENESIS)
        self.tell(Told("created"))

    def close(self) -> None:
        """Close the store, if it is open; the next use opens it anew."""
        store, self._store = self._store, None
        if store is not None:
            store.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[FileTransaction]:
        """A transaction of the store. What is told in it is told when it is left, for nothing stands before."""
        with self.store.transaction() as tx:
            self._untold = []
            try:
                yield tx
            finally:
                untold, self._untold = self._untold, None
        self.tell(*untold)

    def append(self, tx: FileTransaction, draft: Draft) -> LedgerEntry:
        """A synced line. It and all before it stand once the transaction is left."""
        entry = tx.append(draft)
        self._bodies[entry.seq] = entry.body
        new = range(self._lines, entry.seq + 1)
        # Opening reads the last segment only: what lies before it, this run did not see.
        lines = [Told("line", seq, self._bodies[seq]) for seq in new if seq in self._bodies]
        self._lines = entry.seq + 1
        self.tell(*lines)
        return entry

    def die(self) -> None:
        """The program is killed: its files and locks go back to the machine, and nothing else happens."""
        store, self._store = self._store, None
        if store is not None:
            store._ledger.close()
            store._leases.close()
            store._lock.close()

    def repair(self, reason: str) -> None:
        """A person repairs the store, and is told that it is done."""
        self.close()
        repair(self.parts, caller=PERSON, reason=reason)
        self.tell(Told("repaired"))

    def put(self, data: bytes) -> str:
        """An object that stands from now on."""
        digest = self.store.objects.put(data)
        self.tell(Told("object", digest))
        return digest

    def tell(self, *facts: Told) -> None:
        """The caller knows `facts` from here on, or from the end of the transaction."""
        if self._untold is not None:
            self._untold += facts
            return
        self.told += facts
        self.files.mark(len(self.told))

    def _see(self, entry: LedgerEntry) -> None:
        self._bodies[entry.seq] = entry.body


@contextlib.contextmanager
def problems(where: str) -> Iterator[None]:
    """Whatever goes wrong inside is a LossError that says where."""
    try:
        yield
    except (AutopilotError, LossError, OSError) as error:
        raise LossError(f"{where}: {type(error).__name__} {error}") from error


Step = Callable[[Stage], None]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is done while the power can go: `steps`, on what `before` left. `refusals` are codes it may end in."""

    name: str
    steps: tuple[Step, ...]
    before: tuple[Step, ...] = ()
    damage: Callable[[Image], None] | None = None
    refusals: frozenset[str] = frozenset()
    on_record: bool = False
    """Whether the ledger must say afterwards that something was recovered."""
    cause: str = ""
    """And why it must say so, wherever it does."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A run: what the disk held, what was asked of it, what the caller was told."""

    scenario: Scenario
    image: Image
    ops: tuple[Op, ...]
    told: tuple[Told, ...]
    count: int
    """How many facts were told before the first operation."""


@dataclass(slots=True)
class Counts:
    """What was tried: moments, states drawn, states that differ, refusals that a repair mended."""

    moments: int = 0
    drawn: int = 0
    states: int = 0
    nested: int = 0
    mended: int = 0
    killed: int = 0


@dataclass(slots=True)
class PowerTrials:
    """Cuts the power under scenarios, in one folder, from one seed."""

    bench: Bench
    seed: int
    counts: Counts = field(default_factory=Counts)
    until: float = inf
    """The monotonic time at which a sweep stops where it is."""

    @property
    def over(self) -> bool:
        """Whether that time has come."""
        return time.monotonic() >= self.until

    def record(self, scenario: Scenario) -> Recording:
        """Run the scenario once, undisturbed."""
        image, told = self.prepared(scenario)
        files = PowerFiles(self.bench.root, image)
        stage = Stage(files, self.bench.root, told)
        for step in scenario.steps:
            step(stage)
        stage.close()
        files.give_back()
        self.bench.left_by(files)
        return Recording(scenario, image, tuple(files.ops), tuple(stage.told), len(told))

    def prepared(self, scenario: Scenario) -> tuple[Image, tuple[Told, ...]]:
        """Do what comes before the scenario; what the folder holds then, and what was told."""
        self.bench.load({})
        files = PowerFiles(self.bench.root, {})
        stage = Stage(files, self.bench.root)
        for step in scenario.before:
            step(stage)
        stage.close()
        image = dict(self.bench.left_by(files))
        if scenario.damage is not None:
            scenario.damage(image)
        self.bench.load(image)
        return image, tuple(stage.told)

    def cut_everywhere(
        self, recording: Recording, samples: int, *, nested: int = 0, label: str = "", first: int = 0
    ) -> None:
        """Cut the power after each operation from `first` on, `samples` times; LossError.

        `nested`: and in what mends it, so often.
        """
        label = label or recording.scenario.name
        disk, count, seen = Disk(recording.image), recording.count, set[int]()
        following = [*recording.ops[1:], None]
        for point, (op, after) in enumerate(zip(recording.ops, following, strict=True)):
            if self.over:
                return
            disk.apply(op)
            count = op.count if isinstance(op, Mark) else count
            if isinstance(after, Mark) or point < first:
                continue  # the same disk, and less was told
            self.counts.moments += 1
            for sample in range(samples):
                name = f"{label}:{point}:{sample}"
                drawn = Random(f"{self.seed}:{name}")  # noqa: S311 - repeatable, not secret
                image = disk.after_loss(drawn, sample)
                self.counts.drawn += 1
                state = hash((count, *image.items()))
                if state in seen:
                    continue
                seen.add(state)
                found = self.look(recording, disk, image, recording.told[:count], name)
                if nested and len(found.ops) > _PLAIN_OPS:
                    self.counts.nested += 1
                    self.cut_everywhere(found, nested, label=name)

    def look(self, recording: Recording, disk: Disk, image: Image, told: tuple[Told, ...], name: str) -> Recording:
        """Open the store on `image`, which `disk` may hold, and judge it; the run. LossError."""
        self.counts.states += 1
        self.bench.load(image)
        files = PowerFiles(self.bench.root, image)
        stage = Stage(files, self.bench.root, told)
        with problems(f"seed {self.seed}, state {name}"):
            try:
                scenario = self.come_back(stage, recording.scenario, disk, image)
                judge(stage, image, told, recording.scenario)
            finally:
                with contextlib.suppress(AutopilotError):
                    stage.close()
                self.bench.left_by(files)
        return Recording(scenario, image, tuple(files.ops), tuple(stage.told), len(told))

    def come_back(self, stage: Stage, scenario: Scenario, disk: Disk, image: Image) -> Scenario:
        """Open the store for writing; where it may refuse, let a person repair it. The scenario, as far as it got."""
        try:
            with stage.store.transaction():
                return scenario
        except IntegrityError as error:
            stage.close()
            if error.code == "ledger_missing" and not any(one.what == "created" for one in stage.told):
                stage.create()
                return scenario
            ambiguous = max(disk.unsynced_writes(".jsonl"), disk.unsynced_writes(".wal")) > 1
            poisoned = error.code == "poisoned" and "state/ledger/POISONED" in image
            poisoned = poisoned and not any(one.what == "repaired" for one in stage.told)
            if not (poisoned or error.code in scenario.refusals or (ambiguous and error.code in AMBIGUOUS)):
                raise
        self.counts.mended += 1
        repair(stage.parts, caller=PERSON, reason="after a power loss")
        # What was refused is refused again if the power goes before the repair is through.
        return replace(scenario, refusals=scenario.refusals | AMBIGUOUS | {"poisoned"})


_PLAIN_OPS = 6
"""What a look at a whole store asks of the disk: a line, its sync, the hint."""


def judge(stage: Stage, image: Image, told: tuple[Told, ...], scenario: Scenario) -> None:
    """Hold the store against what was told, and against `image`, what it was opened on; LossError."""
    store = stage.store
    with stage.transaction() as tx:
        stage.append(tx, a_line("afterwards"))
    entries = list(store.entries())
    for one in told:
        _KEPT[one.what](store, entries, one)
    for entry in entries:
        for artifact in entry.record["artifacts"]:
            store.objects.get(artifact["sha256"])
        if entry.kind == "ledger.recovered":
            for dropped in entry.data["dropped"]:
                data = (store.paths.quarantine / dropped["name"]).read_bytes()
                _require(sha256(data).hexdigest() == dropped["sha256"], f"{dropped['name']} is not what was cut")
    causes = [entry.data["cause"] for entry in entries if entry.kind == "ledger.recovered"]
    _require(not scenario.cause or causes[0] == scenario.cause, f"the ledger says the cause was {causes[:1]}")
    before, torn = _recoveries(image, store.ledger_id)
    now = sum(entry.kind == "ledger.recovered" for entry in entries)
    _require(now >= before + torn, "a tail was cut and is not on record")
    _require(now > 0 or not scenario.on_record, "something was taken out and is not on record")
    report = store.verify()
    _require(report.intact, f"verification says {report}")


def _recoveries(image: Image, ledger: str) -> tuple[int, bool]:
    """How many recoveries the good lines of the image speak of, and whether something follows them."""
    head, count, rest = Head(), 0, False
    for path in sorted(path for path in image if path.startswith(_SEGMENTS) and path.endswith(".jsonl")):
        data = image[path] or b""
        found = walk(data, head, ledger)
        head, rest = found.head, found.consumed < len(data)
        count += data[: found.consumed].count(_RECOVERED)
    return count, rest


def _line(_: FileStore, entries: list[LedgerEntry], one: Told) -> None:
    _require(one.key < len(entries), f"line {one.key} of {len(entries)} was acknowledged and is gone")
    _require(entries[one.key].body == one.value, f"line {one.key} is not the acknowledged one")


def _object(store: FileStore, _: list[LedgerEntry], one: Told) -> None:
    store.objects.get(one.key)


def _fence(store: FileStore, _: list[LedgerEntry], one: Told) -> None:
    high = store.view().leases.fence_high(one.key)
    _require(high >= one.value, f"fence {one.value} of {one.key} was granted, {high} is the highest known")


def _free(store: FileStore, _: list[LedgerEntry], one: Told) -> None:
    held = store.view().leases.held(one.key)
    _require(held is None or held.fence > one.value, f"{one.key} was given back and is held under {one.value}")


def _created(_: FileStore, entries: list[LedgerEntry], __: Told) -> None:
    _require(bool(entries), "the store was made and is empty")


def _key(store: FileStore, entries: list[LedgerEntry], one: Told) -> None:
    """The key that signs now is there; the told one has signed, and may have been replaced and forgotten since."""
    keys = [entry.data["to"] for entry in entries if entry.kind == "key.rotated"]
    _require(one.key in keys, f"the key {one.key} is not on the ledger")
    KeyRing(store.paths.state_dir / KEYS_FOLDER).load(keys[-1])


def _note(store: FileStore, _: list[LedgerEntry], one: Told) -> None:
    kept = CheckpointFiles(store.paths.state_dir).read(one.key)
    _require(one.value in kept, f"the checkpoint over {one.key} lines is not the one that was published")
    verified = verify_state(store.paths.state_dir)
    _require(verified.report.intact, f"verification against the checkpoints says {verified.report}")


_KEPT: dict[str, Callable[[FileStore, list[LedgerEntry], Told], None]] = {
    "line": _line,
    "object": _object,
    "fence": _fence,
    "free": _free,
    "created": _created,
    "repaired": _created,
    "key": _key,
    "note": _note,
}


def a_line(text: str, **changed: Any) -> Draft:
    """A plain line about T-1."""
    data = {"verdict": "fail", "reasons": [{"code": "artifact_missing", "where": text}]}
    return Draft(**{"kind": "gate.verdict", "caller": PERSON, "task": "T-1", "epoch": 0, "data": data, **changed})


def _require(holds: bool, problem: str) -> None:
    if not holds:
        raise LossError(problem)
