"""The integrity run: every check over the same facts, each made however the others end.

    report = audit(facts)
    report.exit_code        # 0 nothing critical or major, 3 critical, 1 major

Where the lines do not verify, what rests on them is not judged but reported as skipped: a finding that follows from
another is no finding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from autopilot.audit.facts import Facts
from autopilot.audit.findings import FINDINGS, AuditReport, Finding, Result
from autopilot.audit.lease_checks import check_leases
from autopilot.audit.ledger_checks import check_checkpoints, check_identity, check_ledger
from autopilot.audit.projections import check_evidence, check_journal, check_telemetry
from autopilot.audit.trail import Trail

Check = Callable[[Facts], Result]

NOT_FOLLOWED = "the ledger does not verify: mend or restore it first, then audit again"
NOTHING_READ = "a link stands in the state directory: nothing below it was read"


def audit(facts: Facts, checks: Mapping[str, Check] | None = None) -> AuditReport:
    """All checks; findings about other tasks than `facts.task` are left out where one is named."""
    chosen = CHECKS if checks is None else checks
    results = tuple(_made(name, check, facts) for name, check in chosen.items())
    return AuditReport(ledger=facts.identity.ledger, entries=facts.report.entries, task=facts.task, results=results)


def _made(name: str, check: Check, facts: Facts) -> Result:
    if facts.identity.linked and name != "identity":
        return Result(name=name, skipped=NOTHING_READ)
    result = check(facts)
    kept = tuple(finding for finding in result.findings if not finding.task or facts.concerns(finding.task))
    return replace(result, findings=kept)


def _with_trail(name: str, check: Callable[[Facts, Trail], Result]) -> Check:
    """The check, or skipped where the lines cannot be followed."""

    def made(facts: Facts) -> Result:
        if facts.trail is None:
            return Result(name=name, skipped=NOT_FOLLOWED)
        return check(facts, facts.trail)

    return made


def _leases(facts: Facts, trail: Trail) -> Result:
    return check_leases(facts, trail, _of(trail, "leases"))


def _evidence(facts: Facts, trail: Trail) -> Result:
    return _no_objects("evidence") if facts.objects is None else check_evidence(facts, trail, facts.objects)


def _journal(facts: Facts, trail: Trail) -> Result:
    return _no_objects("journal") if facts.objects is None else check_journal(facts, trail, facts.objects)


def _no_objects(name: str) -> Result:
    return Result(name=name, skipped="no object store was read")


def _process(facts: Facts, trail: Trail) -> Result:
    """The moves, as `audit/rules.py` judged each when its line was read."""
    looked_at = [task for task in trail.tasks if facts.concerns(task)]
    moves = sum(facts.concerns(task) for task in trail.moves.values())
    return Result(name="process", counts={"tasks": len(looked_at), "moves": moves}, findings=_of(trail, "process"))


def _of(trail: Trail, check: str) -> tuple[Finding, ...]:
    return tuple(finding for finding in trail.findings if FINDINGS[finding.code].check == check)


CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "ledger": check_ledger,
        "identity": check_identity,
        "checkpoints": _with_trail("checkpoints", check_checkpoints),
        "process": _with_trail("process", _process),
        "leases": _with_trail("leases", _leases),
        "evidence": _with_trail("evidence", _evidence),
        "journal": _with_trail("journal", _journal),
        "telemetry": _with_trail("telemetry", check_telemetry),
    }
)
"""The checks in the order in which they are reported: each rests on those before it."""
