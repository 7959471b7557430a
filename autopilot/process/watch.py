"""The watchdog's judgement: has this task gone round in circles, or stopped?

Two causes: three violations of one kind since the task was last resumed, and ninety minutes without progress (a
transition or new evidence) counted only while a lease is held, so that a task nobody works on never alarms. The shell
asks on every engine call; the answer holds the task until a person resumes it. Pure: facts and `now` come in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SECOND_NS = 1_000_000_000

Cause = Literal["violations", "no_progress"]


@dataclass(frozen=True, slots=True)
class Limits:
    """When the watchdog speaks."""

    same_kind: int = 3
    idle_seconds: int = 90 * 60


@dataclass(frozen=True, slots=True)
class Instant:
    """A boot time with the boot it belongs to; times of different boots do not compare."""

    boot: str
    ns: int


@dataclass(frozen=True, slots=True)
class HeldSpan:
    """A lease from grant to end, both of one boot. `ended_ns` None: still held."""

    boot: str
    granted_ns: int
    ended_ns: int | None = None


@dataclass(frozen=True, slots=True)
class DiaryLine:
    """One thing that happened, for the loop diary: when (for people), what kind of ledger line, and what it said."""

    ts: str
    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFacts:
    """What the watchdog knows of one task. `violations` counts by reason code since the last resume; `held` are the
    leases since the last progress, in order; `recent` the last lines of the task, oldest first."""

    task: str
    phase: str
    epoch: int
    violations: Mapping[str, int]
    progress: Instant
    held: tuple[HeldSpan, ...] = ()
    already_held: bool = False
    recent: tuple[DiaryLine, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Escalation:
    """The task is to be held: why (`cause`), of which `kind` or how long, and the diary for the person who looks."""

    task: str
    cause: Cause
    kind: str
    count: int
    idle_seconds: int
    diary: str

    def as_data(self) -> dict[str, Any]:
        """The `data` of the `escalation` line, without the diary, which is an object of its own."""
        return {"cause": self.cause, "kind": self.kind, "count": self.count, "idle_seconds": self.idle_seconds}


def judge(facts: TaskFacts, now: Instant, limits: Limits = Limits()) -> Escalation | None:
    """The escalation that is due, or None. Violations are named before time: they say more."""
    if facts.already_held:
        return None
    idle_seconds = held_ns_since_progress(facts, now) // SECOND_NS
    # The most frequent kind; of equal ones the first by name, so that a second look says the same.
    kind, count = min(facts.violations.items(), key=lambda item: (-item[1], item[0]), default=("", 0))
    if count >= limits.same_kind:
        return _escalation(facts, "violations", kind, count, idle_seconds)
    if idle_seconds >= limits.idle_seconds:
        return _escalation(facts, "no_progress", "", 0, idle_seconds)
    return None


def held_ns_since_progress(facts: TaskFacts, now: Instant) -> int:
    """Nanoseconds since the last progress during which a lease was held."""
    total = 0
    for span in facts.held:
        end = span.ended_ns
        if end is None:
            if span.boot != now.boot:
                continue  # the machine went down while it was held: when it ended is not known, and nobody worked
            end = now.ns
        # Progress of another boot lies before this span, or the span would not be among those after it.
        start = max(span.granted_ns, facts.progress.ns) if span.boot == facts.progress.boot else span.granted_ns
        total += max(0, end - start)
    return total


def _escalation(facts: TaskFacts, cause: Cause, kind: str, count: int, idle_seconds: int) -> Escalation:
    return Escalation(facts.task, cause, kind, count, idle_seconds, loop_diary(facts, cause, kind, idle_seconds))


def loop_diary(facts: TaskFacts, cause: Cause, kind: str, idle_seconds: int) -> str:
    """Markdown for the person who decides: what happened, in what order, and what can be done."""
    if cause == "violations":
        why = f"`{kind}` was refused {facts.violations[kind]} times since the task was last resumed."
    else:
        why = f"No transition and no new evidence for {idle_seconds // 60} minutes while a lease was held."
    counts = [f"- `{code}`: {facts.violations[code]}" for code in sorted(facts.violations)] or ["- none"]
    lines = [f"- {line.ts} `{line.kind}` {_one_line(line.text)}" for line in facts.recent] or ["- nothing recorded"]
    return "\n".join(
        [
            f"# Loop diary of {facts.task}",
            "",
            f"Held in {facts.phase}, epoch {facts.epoch}. {why}",
            "",
            "## Violations by kind",
            "",
            *counts,
            "",
            "## What happened last",
            "",
            *lines,
            "",
            "## What a person can do",
            "",
            "- read the ledger: `autopilot ledger log`",
            f"- let it go on: `autopilot task resume {facts.task}`",
            f"- then send it back, if its plan was wrong: `autopilot backtrack {facts.task} --to PHASE --reason TEXT`",
            f"- end it: `autopilot task close {facts.task} --abandon --reason TEXT`",
            "",
        ]
    )


def _one_line(text: str) -> str:
    """The text of an agent, kept from writing headings or escape codes into the diary."""
    shown = "".join(char if char.isprintable() else " " for char in text)
    return shown[:200].replace("`", "'")
