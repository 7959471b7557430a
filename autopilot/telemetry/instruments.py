"""The counters, and the one table that says which event adds to which.

The rules are those of the ledger fold (`process/fold.py`), which is the authority: these counters are what a
collector sees, and a process that dies between its ledger line and its metric line loses the latter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from autopilot.kernel.events import (
    Backtracked,
    Event,
    GateJudged,
    LeaseChanged,
    PromptAttested,
    TaskEnded,
    ToolCallJudged,
    TransitionRefused,
    ViolationRecorded,
)
from autopilot.telemetry import names

COUNTERS: Mapping[str, str] = {
    "phase_skips_attempted": "Moves asked for out of the order of the phases.",
    "process_violations": "Attempts to get round the process: `violation` lines.",
    "phase_validations_failed": "Attempts to leave a phase whose artifacts were missing, invalid or stale.",
    "phase_backtracks": "Tasks sent back to an earlier phase.",
    "prompt_drift_detected": "Prompts that differ from the attested baseline of their phase.",
    "evidence_gate_failed": "Evidence gates that were judged and not passed.",
    "tasks_rejected_for_process_violation": "Tasks abandoned after violating the process.",
    "lease_contentions": "Leases refused or moves lost because another session held the phase.",
    "lease_expirations": "Leases that ran out before they were released.",
    "tool_calls_out_of_phase": "Tool calls the guard refused, or would have but for `observe`.",
}


@dataclass(frozen=True, slots=True)
class Instrument:
    """One row: the counter an event adds 1 to when `counts` holds, and the attributes it does so under.

    `attributes` maps attribute names to fields of the event. Only fields with few values are used, so that a
    backend keeps few series: the task is on the span and in the ledger.
    """

    counter: str
    counts: Callable[[Any], bool]
    attributes: Mapping[str, str]
    when: str


_GATE = {names.PHASE: "phase", names.REASON: "reasons"}

INSTRUMENTS: Mapping[type[Event], tuple[Instrument, ...]] = {
    TransitionRefused: (
        Instrument(
            "phase_skips_attempted",
            lambda event: event.violation and "out_of_sequence" in event.reasons,
            {names.PHASE: "phase", names.TO: "target"},
            "`violation` and `out_of_sequence` among `reasons`",
        ),
    ),
    ViolationRecorded: (
        Instrument("process_violations", lambda _: True, {names.PHASE: "phase", names.REASON: "code"}, "always"),
    ),
    GateJudged: (
        Instrument("phase_validations_failed", lambda event: not event.passed, _GATE, "not `passed`"),
        Instrument("evidence_gate_failed", lambda event: not event.passed, _GATE, "not `passed`"),
    ),
    Backtracked: (Instrument("phase_backtracks", lambda _: True, {names.FROM: "origin", names.TO: "phase"}, "always"),),
    PromptAttested: (
        Instrument(
            "prompt_drift_detected",
            lambda event: event.drift,
            {names.PHASE: "phase", names.SEVERITY: "severity"},
            "`drift`",
        ),
    ),
    LeaseChanged: (
        Instrument(
            "lease_contentions",
            lambda event: event.change == "contended",
            {names.PHASE: "phase"},
            '`change` is "contended"',
        ),
        Instrument(
            "lease_expirations",
            lambda event: event.change == "expired",
            {names.PHASE: "phase"},
            '`change` is "expired"',
        ),
    ),
    ToolCallJudged: (
        Instrument(
            "tool_calls_out_of_phase",
            # By the line, not by the answer: a guard that only observes lets the call pass and records it all the same.
            lambda event: event.seq is not None,
            {names.PHASE: "phase", names.CAPABILITY: "capability", names.RULE: "rule"},
            "`seq` is set: a `tool.refused` line was written",
        ),
    ),
    TaskEnded: (
        Instrument(
            "tasks_rejected_for_process_violation", lambda event: event.rejected, {names.PHASE: "phase"}, "`rejected`"
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Count:
    """One addition of 1 to `counter`."""

    counter: str
    attributes: Mapping[str, names.Attribute]


def counts_of(event: Event) -> tuple[Count, ...]:
    """What `event` adds to the counters; nothing for most events."""
    rows = INSTRUMENTS.get(type(event), ())
    return tuple(Count(row.counter, _attributes(event, row)) for row in rows if row.counts(event))


def _attributes(event: Event, row: Instrument) -> dict[str, names.Attribute]:
    values = {name: getattr(event, field) for name, field in row.attributes.items()}
    # A list of codes would make a series for each combination: the first is the gravest.
    return names.bounded({name: v[0] if isinstance(v, tuple) and v else v for name, v in values.items()})
