"""Kill trials: one command killed at one moment, on a fresh copy of a prepared repository, and what must then hold.

- The ledger verifies, or has a torn tail that the next writer mends; what stood on it before stands unchanged.
- What the command acknowledged (an object on stdout that names a line) is on the ledger.
- The task is where it was, or where the command was to take it: nowhere else.
- The same command again succeeds, or says that it is done; the work goes on; the lease is to be had; no honest
  retry is a violation.
- Every object, tree and journal entry that the ledger names is there, with its digest.
"""

from __future__ import annotations

import itertools
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autopilot.kernel.errors import AutopilotError
from autopilot.kernel.phases import Phase
from autopilot.storage.files.verify import verify_files
from autopilot.wiring.full import Workspace
from crash import governed, tracing
from crash.governed import AGENT, TASK, Answer

ENDED_SECONDS = 60
BY_THE_CLOCK = "by the clock"
LONG_LEASE = "[lease]\nttl_seconds = 86400\n"
Standing = tuple[str, int]
"""Phase and epoch of a task; ("", 0) for a task that is not there."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command line to be killed: where it starts, the kind of line that is its commit, and where it leads.

    `again`: the exit code and reason code of the same command where the killed one was done already ("" for 0).
    """

    name: str
    until: Phase
    words: tuple[str, ...]
    kind: str
    before: Standing
    after: Standing
    again: tuple[int, str]
    task: str = TASK
    is_advance: bool = False
    answers: int = 0
    prepare: Callable[[Path], None] = field(default=lambda folder: None)


def _advance(origin: Phase) -> Command:
    target = str(origin.following)
    return Command(
        name=f"advance {origin}",
        until=origin,
        words=("advance", TASK, "--to", target, "--json"),
        kind="phase.transition",
        before=(str(origin), 0),
        after=(target, 0),
        again=(1, "already_in_phase"),
        is_advance=True,
    )


def _second_strategy(folder: Path) -> None:
    document = folder / "state" / "evidence" / TASK / "strategize" / "strategy.md"
    (folder.parent / f"{folder.name}-strategy").mkdir()
    (folder.parent / f"{folder.name}-strategy" / "strategy.md").write_text(document.read_text() + "\n")


def _drop_strategy(folder: Path) -> None:
    (folder / "state" / "evidence" / TASK / "strategize" / "strategy.md").unlink()


ADVANCES = tuple(_advance(origin) for origin in (Phase.STRATEGIZE, Phase.SPEC, Phase.THINK, Phase.IMPLEMENT))

OTHERS = (
    Command(
        name="backtrack to SPEC",
        until=Phase.THINK,
        words=("backtrack", TASK, "--to", "SPEC", "--reason", "a criterion was forgotten", "--json"),
        kind="phase.backtrack",
        before=("THINK", 0),
        after=("SPEC", 1),
        again=(1, "already_in_phase"),
    ),
    Command(
        name="backtrack to IMPLEMENT",
        until=Phase.VERIFY,
        words=("backtrack", TASK, "--to", "IMPLEMENT", "--reason", "a test was forgotten", "--json"),
        kind="phase.backtrack",
        before=("VERIFY", 0),
        after=("IMPLEMENT", 1),
        again=(1, "already_in_phase"),
    ),
    Command(
        name="lease acquire",
        until=Phase.STRATEGIZE,
        words=("lease", "acquire", TASK, "--json"),
        kind="lease.granted",
        before=("STRATEGIZE", 0),
        after=("STRATEGIZE", 0),
        again=(0, ""),
    ),
    Command(
        name="task open",
        until=Phase.STRATEGIZE,
        words=("task", "open", "T-2", "--title", "Another discount in shop pricing", "--json"),
        kind="task.opened",
        before=("", 0),
        after=("STRATEGIZE", 0),
        again=(1, "task_exists"),
        task="T-2",
    ),
    Command(
        name="evidence add",
        until=Phase.STRATEGIZE,
        words=("evidence", "add", TASK, "../{name}-strategy/strategy.md", "--json"),
        kind="evidence.added",
        before=("STRATEGIZE", 0),
        after=("STRATEGIZE", 0),
        again=(0, ""),
        prepare=_second_strategy,
    ),
    Command(
        name="advance, refused",
        until=Phase.STRATEGIZE,
        words=("advance", TASK, "--json"),
        kind="gate.verdict",
        before=("STRATEGIZE", 0),
        after=("STRATEGIZE", 0),
        again=(1, "artifact_missing"),
        answers=1,
        prepare=_drop_strategy,
    ),
)


@dataclass(frozen=True, slots=True)
class Moment:
    """When to kill: before the `count`-th call of `call`, or (call "") `seconds` after the start."""

    command: Command
    call: str = ""
    count: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        when = f"{self.call} #{self.count}" if self.call else f"after {self.seconds:.3f} s"
        return f"{self.command.name}, {when}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a trial came to. `left` is where the task stood: before or after the command's move."""

    moment: Moment
    zone: str
    left: str
    acknowledged: bool
    torn: bool
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bed:
    """Where a command is tried: the prepared repository, the calls of a run to its end, its lock, how long it took."""

    command: Command
    prepared: Path
    calls: tuple[tracing.Call, ...]
    lock: int
    seconds: float

    def draw(self, chance: random.Random, zone: str) -> Moment:
        """A call of the reference run in `zone`; before the lock, half of them among those on the repository."""
        places = tracing.zones(self.calls, self.lock)
        calls = [call for call, place in zip(self.calls, places, strict=False) if place == zone]
        touching = [call for call in calls if str(self.prepared.parent) in call.text]
        if zone == tracing.BEFORE and touching and chance.random() < 0.5:
            calls = touching
        call = chance.choice(calls)
        return Moment(self.command, call.name, call.count)

    def at(self, zone: str, *, last: bool = False) -> Moment:
        """The first or the last call of the reference run in `zone`."""
        places = tracing.zones(self.calls, self.lock)
        calls = [call for call, place in zip(self.calls, places, strict=False) if place == zone]
        call = calls[-1 if last else 0]
        return Moment(self.command, call.name, call.count)


class Kills:
    """Prepares repositories and reference runs as they are needed, draws moments, and runs trials."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._prepared: dict[Phase, Path] = {}
        self._beds: dict[str, Bed] = {}
        self._numbers = itertools.count(1)

    def bed(self, command: Command) -> Bed:
        """The command's bed, made on first use."""
        if command.name not in self._beds:
            self._beds[command.name] = self._make_bed(command)
        return self._beds[command.name]

    def _make_bed(self, command: Command) -> Bed:
        if command.until not in self._prepared:
            place = self._folder / f"prepared-{command.until.folder}"
            # No renewal that comes due and no lease that runs out may change what a later trial does.
            self._prepared[command.until] = governed.prepare(place, command.until, settings=LONG_LEASE)
        prepared = self._prepared[command.until]
        folder, trace = self._fresh(prepared, command), self._folder / "reference.trace"
        started = time.monotonic()
        answer = governed.autopilot(folder, *_words(command, folder), prefix=tracing.tracer(trace))
        seconds = time.monotonic() - started
        if answer.code != command.answers or not answer.document:
            raise AssertionError(f"{command.name} does not do its work unharmed: {answer}")
        calls = tuple(tracing.read_trace(trace))
        return Bed(command, prepared, calls, tracing.own_lock(calls, command.kind), seconds)

    def _fresh(self, prepared: Path, command: Command) -> Path:
        folder = governed.copy(prepared, self._folder / f"trial-{next(self._numbers)}")
        command.prepare(folder)
        return folder

    # --- drawing

    def draw(self, chance: random.Random, commands: Iterable[Command], number: int) -> list[Moment]:
        """`number` moments over the commands in turn: of 20, two before the lock, sixteen between lock and
        acknowledgement, one after it, one by the clock."""
        commands = tuple(commands)
        zones = [tracing.BEFORE] * 2 + [tracing.AFTER] + [BY_THE_CLOCK] + list(tracing.BETWEEN) * 5 + [tracing.RELEASED]
        patterns = [chance.sample(zones, len(zones)) for _ in commands]
        moments: list[Moment] = []
        taken: set[tuple[str, str, int]] = set()
        while len(moments) < number:
            turn, which = divmod(len(moments), len(commands))
            bed, zone = self.bed(commands[which]), patterns[which][turn % len(zones)]
            moment = self._draw_one(chance, bed, zone)
            for _ in range(5):
                # A moment is tried again only where there are no others of its zone.
                if (moment.command.name, moment.call, moment.count) not in taken:
                    break
                moment = self._draw_one(chance, bed, zone)
            taken.add((moment.command.name, moment.call, moment.count))
            moments.append(moment)
        return moments

    def _draw_one(self, chance: random.Random, bed: Bed, zone: str) -> Moment:
        if zone != BY_THE_CLOCK:
            return bed.draw(chance, zone)
        return Moment(bed.command, seconds=round(chance.uniform(0.2, 0.9) * bed.seconds, 3))

    # --- one trial

    def run(self, moment: Moment) -> Outcome:
        """Kill the command at `moment` and look at what is left; problems are what must not be."""
        bed = self.bed(moment.command)
        folder = self._fresh(bed.prepared, moment.command)
        trace = folder.parent / f"{folder.name}.trace"
        try:
            answer = _killed(folder, trace, moment)
            zone = tracing.ENDED
            if answer.code < 0:
                zone = tracing.zone_at_end(tracing.read_trace(trace), bed.lock)
            return _judge(_Left(folder, bed, moment, answer), zone)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            trace.unlink(missing_ok=True)

    def run_all(
        self, moments: list[Moment], jobs: int = 1, tell: Callable[[Outcome], None] | None = None
    ) -> list[Outcome]:
        """Every trial, `jobs` at a time."""
        outcomes: list[Outcome] = []
        with ThreadPoolExecutor(jobs) as pool:
            for outcome in pool.map(self.run, moments):
                outcomes.append(outcome)
                if tell is not None:
                    tell(outcome)
        return outcomes


def _words(command: Command, folder: Path) -> tuple[str, ...]:
    return tuple(word.replace("{name}", folder.name) for word in command.words)


def _killed(folder: Path, trace: Path, moment: Moment) -> Answer:
    words = _words(moment.command, folder)
    if moment.call:
        prefix = tracing.tracer(trace, (moment.call,), kill=(moment.call, moment.count))
        return governed.autopilot(folder, *words, prefix=prefix)
    process = governed.start(folder, *words, prefix=tracing.tracer(trace))
    time.sleep(moment.seconds)
    traced = tracing.child_of(process.pid)
    if traced:
        governed.kill_pid(traced)
    out, err = process.communicate(timeout=ENDED_SECONDS)
    return Answer(process.returncode, out, err)


# --- judging what is left


@dataclass(frozen=True, slots=True)
class _Left:
    """A repository after the kill."""

    folder: Path
    bed: Bed
    moment: Moment
    answer: Answer

    def standing(self) -> Standing:
        """Where the command's task is, as a reader finds it."""
        with Workspace.open(self.folder) as workspace:
            tasks = workspace.ledger.view().state.tasks
        task = tasks.get(self.moment.command.task)
        return ("", 0) if task is None else (task.stage, task.epoch)

    def lines(self) -> list[governed.Line]:
        """The ledger's lines."""
        return governed.chain(self.folder)

    def again(self) -> Answer:
        """The same command once more, as the same session."""
        return governed.autopilot(self.folder, *_words(self.moment.command, self.folder))


def _judge(left: _Left, zone: str) -> Outcome:
    problems: list[str] = []
    standing, torn, done = ("", 0), False, False
    try:
        report = verify_files(left.folder / "state")
        torn = report.reason == "torn_tail"
        if not report.intact and not torn:
            problems.append(f"the ledger does not verify: {report}")
        problems += _prefix_problems(left)
        standing = left.standing()
        done = _is_done(left)
        problems += _acknowledgement_problems(left, standing, done=done, zone=zone)
        problems += _retry_problems(left, done=done)
        problems += _end_problems(left)
        problems += governed.store_problems(left.folder)
        problems += governed.lease_problems(left.folder)
    except (AutopilotError, ValueError, OSError) as error:
        problems.append(f"{type(error).__name__}: {error}")
    return Outcome(
        moment=left.moment,
        zone=zone,
        left="after" if done else "before",
        acknowledged=bool(left.answer.document),
        torn=torn,
        problems=tuple(problems),
    )


def _prefix_problems(left: _Left) -> list[str]:
    """Nothing that stood on the ledger may have changed."""
    place = Path("state", "ledger", "seg", f"{0:016d}.jsonl")
    before = (left.bed.prepared / place).read_bytes()
    return [] if (left.folder / place).read_bytes().startswith(before) else ["earlier lines have changed"]


def _is_done(left: _Left) -> bool:
    """Whether the command's own line is on the ledger."""
    known = len(governed.chain(left.bed.prepared))
    return any(line.kind == left.moment.command.kind for line in left.lines()[known:])


def _acknowledgement_problems(left: _Left, standing: Standing, *, done: bool, zone: str) -> list[str]:
    command, problems = left.moment.command, []
    if standing != (command.after if done else command.before):
        problems.append(f"the task is in {standing}, neither before nor after the command")
    if left.answer.document and not done:
        problems.append(f"acknowledged, and not on the ledger: {left.answer.document}")
    said = left.answer.acknowledged
    lines = {line.seq: line.hash for line in left.lines()}
    if said is not None and said.get("hash", lines.get(said["seq"])) != lines.get(said["seq"], "none"):
        problems.append(f"line {said['seq']} was acknowledged, and is not there or another: {said}")
    if zone == tracing.AFTER and left.answer.document == {}:
        problems.append("acknowledged, but nothing to be read on stdout")
    if left.answer.code >= 0 and left.answer.code != command.answers:
        problems.append(f"exit {left.answer.code}: {left.answer.err.strip()[-300:]}")
    return problems


def _retry_problems(left: _Left, *, done: bool) -> list[str]:
    command = left.moment.command
    answer = left.again()
    code, reason = command.again if done or command.answers else (0, "")
    if answer.code != code or (reason and reason not in answer.codes):
        wish = f"exit {code} {reason}".strip()
        return [f"the same command again: exit {answer.code} {answer.codes}, not {wish}: {answer.err.strip()[-300:]}"]
    return []


def _end_problems(left: _Left) -> list[str]:
    """The work goes on: the lease, the next move, and a ledger that verifies with no violation on it."""
    task, folder, problems = left.moment.command.task, left.folder, []
    with Workspace.open(folder) as workspace:
        workspace.leases.acquire(task, caller=AGENT)
        phase = Phase(workspace.tasks.show(task).stage)
    moves: list[tuple[str, ...]] = [("advance", task, "--json")]
    if phase is Phase.VERIFY:
        # Once round: quicker than its tests, and what the killed move left in the evidence folder is met again.
        moves.insert(0, ("backtrack", task, "--to", "IMPLEMENT", "--reason", "once more", "--json"))
    else:
        governed.write_documents(folder, task, phase)
    if phase is Phase.PLAN:
        governed.settle(folder)
    for words in moves:
        moved = governed.autopilot(folder, *words)
        if moved.code != 0:
            problems.append(f"the work does not go on from {phase}: {moved.codes} {moved.err.strip()[-300:]}")
    lines = left.lines()
    problems += [f"violation on line {line.seq}: {line.body['data']}" for line in lines if line.kind == "violation"]
    verified = governed.autopilot(folder, "ledger", "verify", "--json")
    if verified.code != 0 or verified.document.get("status") != "intact":
        problems.append(f"the ledger does not verify in the end: {verified}")
    running = governed.processes_naming(str(folder))
    if running:
        problems.append(f"processes are left running: {running}")
    return problems


# --- the figures


def figures(outcomes: list[Outcome]) -> dict[str, Any]:
    """Totals of a run of trials."""
    return {
        "trials": len(outcomes),
        "advance_phase": sum(o.moment.command.is_advance for o in outcomes),
        "between": sum(o.zone in tracing.BETWEEN for o in outcomes),
        "between_in_advance_phase": sum(o.zone in tracing.BETWEEN and o.moment.command.is_advance for o in outcomes),
        "acknowledged": sum(o.acknowledged for o in outcomes),
        "torn": sum(o.torn for o in outcomes),
        "before": sum(o.left == "before" for o in outcomes),
        "after": sum(o.left == "after" for o in outcomes),
        "problems": sum(bool(o.problems) for o in outcomes),
    }


def histogram(outcomes: list[Outcome]) -> str:
    """Kills by system call and by where the command stood, as a table."""
    calls = Counter(outcome.moment.call or BY_THE_CLOCK for outcome in outcomes)
    cells = Counter((outcome.moment.call or BY_THE_CLOCK, outcome.zone) for outcome in outcomes)
    shown = [zone for zone in tracing.ZONES if any(outcome.zone == zone for outcome in outcomes)]
    width = max(map(len, (*calls, "killed before")))
    lines = [f"{'killed before':<{width}}  " + "  ".join(f"[{index}]" for index in range(1, len(shown) + 1)) + "  all"]
    for call, total in calls.most_common():
        counts = "  ".join(f"{cells[call, zone] or '.':>3}" for zone in shown)
        lines.append(f"{call:<{width}}  {counts}  {total:>3}")
    sums = "  ".join(f"{sum(o.zone == zone for o in outcomes):>3}" for zone in shown)
    lines.append(f"{'all':<{width}}  {sums}  {len(outcomes):>3}")
    lines += [f"[{index}] {zone}" for index, zone in enumerate(shown, 1)]
    commands = Counter(outcome.moment.command.name for outcome in outcomes)
    lines += [f"{count:>3} x {name}" for name, count in commands.items()]
    return "\n".join(lines)
