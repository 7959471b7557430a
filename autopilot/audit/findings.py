"""What an audit can find, in one table, and the report that is made of it.

How grave a finding is follows from its code alone:

- critical: the record does not bear out what it claims; nothing that rests on it can be believed. Exit 3.
- major: a rule was broken, or what people read is not what was judged; the record itself stands. Exit 1.
- minor: a copy for readers is behind; it is made again, or can be. Exit 0.
- info: worth knowing, no fault. Exit 0.

`docs/reference/audit.md` shows the table (`audit/reference.py`). Pure: values in, values out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from autopilot.kernel.reason_codes import REASON_CODES


class Severity(StrEnum):
    """How grave a finding is, gravest first."""

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"
    INFO = "info"

    @property
    def exit_code(self) -> int:
        """What a report exits with whose gravest finding this is."""
        return _EXITS.get(self, 0)


_EXITS = {Severity.CRITICAL: 3, Severity.MAJOR: 1}
_RANK = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class FindingCode:
    """One row: which check finds it, how grave it is, what it means, what to do."""

    check: str
    severity: Severity
    title: str
    remedy: str


_CRITICAL, _MAJOR, _MINOR, _INFO = Severity
_ASK = "stop; `autopilot ledger log` shows the line; hold the ledger against a checkpoint kept elsewhere"
_REPAIR = "restore the file from a copy, or see `autopilot ledger repair`"
_VERIFY_REASONS = (
    *("bad_hash", "bad_link", "bad_ledger_json", "ledger_missing", "truncated", "rewritten", "torn_tail", "poisoned"),
)
_SIGNED_REASONS = ("unsigned", "forked", "rolled_back", "key_damaged")


def _known(check: str, codes: Iterable[str]) -> dict[str, FindingCode]:
    """Codes that every door has: the table of reasons says what they mean."""
    return {c: FindingCode(check, _CRITICAL, REASON_CODES[c].title, REASON_CODES[c].remedy) for c in codes}


FINDINGS: Mapping[str, FindingCode] = MappingProxyType(
    {
        **_known("ledger", _VERIFY_REASONS),
        "state_unlike_fold": FindingCode(
            "ledger",
            _CRITICAL,
            "the state a segment opens with is not what the lines before it add up to",
            "moves are admitted from that state: restore the segment and its object from a copy",
        ),
        "fold_failed": FindingCode("ledger", _CRITICAL, "a line that no engine can have written", _ASK),
        **_known("identity", ("state_linked", "ledger_unlike_settings")),
        "marker_unlike_ledger": FindingCode(
            "identity",
            _CRITICAL,
            "the repository's marker names another ledger, or cannot be read",
            "find the ledger that autopilot.id names; do not begin another in its place",
        ),
        "marker_missing": FindingCode(
            "identity",
            _MINOR,
            "the git directory has no autopilot.id: a ledger that is deleted would not be missed",
            "run any autopilot command that appends; closing it writes the marker",
        ),
        "settings_unnamed": FindingCode(
            "identity", _MINOR, "autopilot.toml names no ledger", "add `ledger_id` as `autopilot init` writes it"
        ),
        **_known("leases", ("lease_log_corrupt",)),
        "mirror_missing": FindingCode("leases", _CRITICAL, "the ledger does not repeat a lease record", _ASK),
        "mirror_unlike_record": FindingCode(
            "leases", _CRITICAL, "the ledger repeats a lease record otherwise than it stands in the lease log", _ASK
        ),
        "lease_log_behind": FindingCode(
            "leases", _CRITICAL, "the ledger repeats records that the lease log does not have", _REPAIR
        ),
        "handover_unrecorded": FindingCode(
            "leases", _CRITICAL, "a lease was handed on by a move that is not on the ledger", _ASK
        ),
        "fence_not_rising": FindingCode("leases", _CRITICAL, "a fence was given out twice, or fell", _ASK),
        "lease_of_ended_task": FindingCode(
            "leases", _MAJOR, "a task that has ended was given a lease", "a person looks: `autopilot lease show TASK`"
        ),
        "mirror_pending": FindingCode(
            "leases",
            _MINOR,
            "the newest lease records are not repeated on the ledger yet",
            "nothing: the next command that appends repeats them",
        ),
        "handover_pending": FindingCode(
            "leases",
            _MINOR,
            "the lease log lacks a hand-over that the ledger has",
            "nothing: the next command that appends makes it again from the move's line",
        ),
        **_known("evidence", ("object_missing", "evidence_edited")),
        "sealed_edited": FindingCode(
            "evidence",
            _MAJOR,
            "a file of a phase that was left is not what was sealed",
            "restore it with `autopilot evidence export TASK`, or go back to its phase with `autopilot backtrack`",
        ),
        "evidence_forged": FindingCode(
            "evidence",
            _MAJOR,
            "a file stands where the engine writes, and the engine did not make it",
            "remove the file; `autopilot evidence export TASK` writes what was sealed",
        ),
        "superseded_edited": FindingCode(
            "evidence",
            _MINOR,
            "a file of a retired epoch is not what the engine made then",
            "nothing rests on it any more; remove it, its object stays",
        ),
        "file_missing": FindingCode(
            "evidence", _MINOR, "a sealed artifact has no file", "`autopilot evidence export TASK` writes it again"
        ),
        "file_unreadable": FindingCode(
            "evidence", _MAJOR, "a link, a pipe or an oversized file stands in the place of evidence", "remove it"
        ),
        "draft_edited": FindingCode(
            "evidence",
            _INFO,
            "a document of the present phase was edited since it was sealed",
            "nothing: the next `autopilot advance` seals it anew",
        ),
        "journal_edited": FindingCode(
            "journal",
            _MAJOR,
            "the journal's file is not what the moves say",
            "delete the file; the next command that opens the workspace makes it anew: `autopilot task list`",
        ),
        "journal_unlike_move": FindingCode(
            "journal", _CRITICAL, "a sealed journal entry tells of another move than the line that names it", _ASK
        ),
        "journal_behind": FindingCode(
            "journal",
            _MINOR,
            "the journal's file lacks its last moves",
            "nothing: the next command that opens the workspace adds them; `autopilot task list` does",
        ),
        "telemetry_unreadable": FindingCode(
            "telemetry", _MINOR, "lines of a telemetry file cannot be read", "what counts is on the ledger; see doctor"
        ),
        "telemetry_behind": FindingCode(
            "telemetry",
            _MINOR,
            "telemetry tells of less than the ledger",
            "an exporter was off, failed or was killed; `autopilot doctor` says whether it works now",
        ),
        "telemetry_ahead": FindingCode(
            "telemetry",
            _MINOR,
            "telemetry tells of what the ledger does not",
            "believe the ledger; look who else writes below state/telemetry",
        ),
        **_known("checkpoints", _SIGNED_REASONS),
        "checkpoint_unlike_line": FindingCode(
            "checkpoints", _CRITICAL, "a line records another root than the lines before it have", _ASK
        ),
        "checkpoint_missing": FindingCode(
            "checkpoints",
            _MINOR,
            "a checkpoint that the ledger records is not stored here",
            "put the copy that was kept elsewhere back, or make another with `autopilot ledger checkpoint`",
        ),
        "unknown_task": FindingCode("process", _CRITICAL, "a line about a task that was never opened", _ASK),
        "out_of_sequence": FindingCode("process", _CRITICAL, "a move that the process does not have", _ASK),
        "epoch_unlike_moves": FindingCode("process", _CRITICAL, "a move in another epoch than the task is in", _ASK),
        "moved_after_end": FindingCode("process", _CRITICAL, "a task went on after it had ended", _ASK),
        "moved_while_held": FindingCode("process", _CRITICAL, "a task went on while it waited for a person", _ASK),
        "evidence_missing": FindingCode(
            "process", _CRITICAL, "a phase was left without the evidence that its profile demands", _ASK
        ),
        "evidence_rank": FindingCode("process", _CRITICAL, "a phase was left with evidence of too low a rank", _ASK),
        "stale_fence": FindingCode("process", _CRITICAL, "a line under a fence that was not the highest", _ASK),
        "move_without_lease": FindingCode("process", _CRITICAL, "a move by who did not hold the phase", _ASK),
        "approval_used": FindingCode("process", _CRITICAL, "an approval was used twice", _ASK),
        "approval_unfounded": FindingCode(
            "process", _CRITICAL, "an approval that nobody could give, or that was for something else", _ASK
        ),
        "approval_unsigned": FindingCode(
            "process", _CRITICAL, "an approval that nobody signed, where signatures are required", _ASK
        ),
        "approval_forged": FindingCode(
            "process", _CRITICAL, "an approval whose signature no key registered at that time made", _ASK
        ),
        "approval_late": FindingCode("process", _CRITICAL, "an approval outside of its time", _ASK),
        "profile_unknown": FindingCode(
            "process",
            _INFO,
            "a profile that this version does not know: what it demands was not checked",
            "audit with the version that wrote it",
        ),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One finding. `evidence` is the digest or the line's hash that shows it; `where` a path, `seq` a ledger line."""

    code: str
    where: str = ""
    seq: int | None = None
    task: str = ""
    detail: str = ""
    evidence: str = ""

    def __post_init__(self) -> None:
        if self.code not in FINDINGS:
            raise KeyError(self.code)  # a finding without a severity and a remedy is a bug here

    @property
    def severity(self) -> Severity:
        """How grave it is."""
        return FINDINGS[self.code].severity

    @property
    def remedy(self) -> str:
        """What to do, with the task's name where it has one."""
        remedy = FINDINGS[self.code].remedy
        return remedy.replace("TASK", self.task) if self.task else remedy

    def as_dict(self, check: str = "") -> dict[str, Any]:
        """The JSON form; `check` is the one that found it, where that is not the code's usual one."""
        return {
            "severity": str(self.severity),
            "code": self.code,
            "check": check or FINDINGS[self.code].check,
            "where": self.where,
            "seq": self.seq,
            "task": self.task,
            "detail": self.detail,
            "evidence": self.evidence,
            "remedy": self.remedy,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One check: what it looked at, in numbers, and what it found. `skipped` says why it could not be made."""

    name: str
    counts: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    skipped: str = ""

    @property
    def status(self) -> str:
        """passed, findings or skipped."""
        if self.skipped:
            return "skipped"
        return "findings" if self.findings else "passed"

    def as_dict(self) -> dict[str, Any]:
        """The JSON form; its findings stand in the report's one list."""
        return {"name": self.name, "status": self.status, "counts": dict(self.counts), "skipped": self.skipped}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """All checks of one run. `entries` is how many lines verify; `task` the one that was looked at, empty for all."""

    ledger: str
    entries: int
    task: str
    results: tuple[Result, ...]

    @property
    def triaged(self) -> tuple[tuple[str, Finding], ...]:
        """All findings with the check that found each: the gravest first, then in the order of the ledger."""
        found = ((result.name, finding) for result in self.results for finding in result.findings)
        return tuple(sorted(found, key=lambda f: (_RANK[f[1].severity], -1 if f[1].seq is None else f[1].seq)))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, triaged."""
        return tuple(finding for _, finding in self.triaged)

    @property
    def exit_code(self) -> int:
        """3 with a critical finding, 1 with a major one, else 0."""
        return max((finding.severity.exit_code for finding in self.findings), default=0)

    def totals(self) -> dict[str, int]:
        """How many findings there are of each severity."""
        found = [finding.severity for finding in self.findings]
        return {str(severity): found.count(severity) for severity in Severity}

    def as_dict(self) -> dict[str, Any]:
        """The object that `audit --json` prints."""
        return {
            "status": "failed" if self.exit_code else "passed",
            "ledger": self.ledger,
            "entries": self.entries,
            "task": self.task,
            "totals": self.totals(),
            "checks": [result.as_dict() for result in self.results],
            "findings": [finding.as_dict(check) for check, finding in self.triaged],
        }
