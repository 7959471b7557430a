"""The paths of one process: append, leases, attestation, guard, full transition; each with its floor in its rounds."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from autopilot.attestation.baselines import Baseline, prompt_digest
from autopilot.attestation.drift import Question, Severity, attest
from autopilot.bench.floors import BareLog, BareMove, UnsyncedFiles
from autopilot.bench.measure import Figures, Step, measure
from autopilot.bench.workplace import AGENT, PROMPT, TASK, Workplace, documents
from autopilot.evidence.context import RuleContext
from autopilot.evidence.contracts import RULES
from autopilot.guard import decision
from autopilot.kernel.files import DiskFiles
from autopilot.kernel.framing import BODY_START
from autopilot.kernel.phases import Phase
from autopilot.ledger.entry import Draft, LedgerEntry
from autopilot.process.router import ToolCall
from autopilot.telemetry.spans import TracedRouter

READ = ("Read", {"file_path": "shop/pricing.py"})
SHELL = ("Bash", {"command": "git log --oneline -5 shop/pricing.py"})
TITLE = "Take the discount off once"

Found = Mapping[str, Figures]


def appends(folder: Path, rounds: int) -> Found:
    """One durable line against one bare write and fdatasync of as many bytes."""
    with closing(Workplace(folder / "append")) as place:

        def append(number: int) -> LedgerEntry:
            with place.store.transaction() as tx:
                return tx.append(
                    Draft(kind="decision", caller=AGENT, data={"round": 1_000_000 + number, "why": "x" * 80})
                )

        with closing(BareLog(folder / "append.floor", line_bytes(append(0)))) as floor:
            return measure([Step(floor.append, "floor"), Step(append, "append")], rounds)


def leases(folder: Path, rounds: int) -> Found:
    """Taking and giving back a phase, each against one bare write and fdatasync of as many bytes."""
    with closing(Workplace(folder / "leases")) as place:
        desk, log = place.workspace.leases, folder / "leases" / "state" / "leases" / "leases.wal"
        before = log.stat().st_size
        desk.acquire(TASK, caller=AGENT)
        granted = log.stat().st_size - before
        desk.release(TASK, caller=AGENT)
        with closing(BareLog(folder / "leases.floor", granted)) as floor:
            steps = [
                Step(floor.append, "floor of acquire"),
                Step(lambda _: desk.acquire(TASK, caller=AGENT), "acquire"),
                Step(floor.append, "floor of release"),
                Step(lambda _: desk.release(TASK, caller=AGENT), "release"),
            ]
            return measure(steps, rounds)


def attestation(rounds: int) -> Found:
    """The decision over a prompt of 32 KB against SHA-256 of it."""
    baseline = Baseline(TASK, Phase.VERIFY, prompt_digest(PROMPT), 1)

    def decide(_number: int) -> None:
        question = Question(TASK, Phase.VERIFY, prompt_digest(PROMPT), Severity.ERROR, False)
        attest(question, baseline)

    return measure([Step(lambda _: hashlib.sha256(PROMPT).hexdigest(), "floor"), Step(decide, "attest")], rounds)


def guard(folder: Path, rounds: int) -> Found:
    """The decision for a named tool and for a shell line, and both through the router (view, paths, events)."""
    with closing(Workplace(folder / "guard")) as place:
        router, state = place.workspace.router, place.store.view().state
        snapshot: dict[str, Any] = router.snapshot(state.tasks[TASK], AGENT)
        steps = []
        for name, (tool, given) in (("named tool", READ), ("shell line", SHELL)):
            paths = decision.paths_named(snapshot, tool, "", dict(given))
            resolved = {path: str((place.root / path).resolve()) for path in paths}
            steps.append(Step(_decision({**snapshot, "resolved": resolved}, tool, dict(given)), name))
            steps.append(Step(partial(_route, router, ToolCall(tool, given, task=TASK)), f"router: {name}"))
        return measure(steps, rounds)


def _route(router: TracedRouter, call: ToolCall, _number: int) -> None:
    router.check(call, caller=AGENT)


def _decision(snapshot: dict[str, Any], tool: str, given: dict[str, Any]) -> Callable[[int], object]:
    return lambda _: decision.decide(snapshot, tool, "", given)


def transitions(folder: Path, rounds: int) -> Found:
    """A full transition against its own syncs bare: two for each new object, one for the line."""
    return _transitions(folder / "transition", rounds, DiskFiles(), time.perf_counter_ns)


def transitions_cpu(folder: Path, rounds: int) -> Found:
    """The same with all syncs left out, in processor time (user and system, all threads)."""
    return _transitions(folder / "transition-cpu", rounds, UnsyncedFiles(), time.process_time_ns)


def _transitions(folder: Path, rounds: int, files: DiskFiles, clock: Callable[[], int]) -> Found:
    with closing(Workplace(folder, files=files)) as place:
        place.prepare(0)
        entry = place.move()
        journal = len(place.store.objects.get(entry.data["journal"]))
        place.back()
        sizes = (*(ref.bytes for ref in entry.artifacts), journal)
        with closing(BareMove(folder / "floor", sizes, line_bytes(entry), files)) as floor:
            steps = [
                Step(floor, "floor", clock),
                Step(place.prepare),
                Step(place.move, "move", clock),
                Step(place.back),
            ]
            return measure(steps, rounds)


def content_rules(rounds: int) -> Found:
    """The content rules of a move's two documents: the part of a transition that grows with what is written."""
    context = RuleContext(
        task_id=TASK,
        title=TITLE,
        phase=Phase.STRATEGIZE,
        paths=frozenset({"shop/pricing.py"}),
        symbols=frozenset({"discounted"}),
    )

    def judge(number: int) -> None:
        for name, data in documents(number).items():
            RULES[name](data, context)

    return measure([Step(judge, "rules", time.process_time_ns)], rounds)


def line_bytes(entry: LedgerEntry) -> int:
    """How long the entry's line is on the disk: prefix, body, closing brace, newline."""
    return BODY_START + len(entry.body) + 2
