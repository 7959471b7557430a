"""smoke_test_results.json and deployment_status.json: it works where it went, and where that is."""

from __future__ import annotations

from autopilot.evidence.context import RuleContext
from autopilot.evidence.findings import Finding, reasons_of, refusing
from autopilot.evidence.grounding import HINT_STANDS, GroundingRule, Passage, check_grounding, has_hint
from autopilot.evidence.rules.verify import check_binding
from autopilot.evidence.skeletons import hints_of
from autopilot.evidence.strict_json import read_json
from autopilot.evidence.values.deployment import MAX_BYTES, NAME, parse_deployment
from autopilot.evidence.values.runs import SmokeTestResults, check_run
from autopilot.kernel.reasons import Reason

GROUNDING = GroundingRule(words_each=4, words_total=4, citations=0, title_words=0, anchored=(0, 1))
ENDED_BADLY = ("failed", "rolled_back")


@refusing
def check_smoke_results(data: bytes, context: RuleContext) -> tuple[Reason, ...]:
    """The configured smoke command exited 0 on the judged tree."""
    results = SmokeTestResults.from_json(data)
    return check_binding(results, context) or (check_run(results.run, results.artifact) if results.run else ())


@refusing
def check_deployment_status(data: bytes, context: RuleContext) -> tuple[Reason, ...]:
    """A state a task may end in, with a note. That its commit is one with the judged tree, the runner looks up."""
    value = read_json(data, name=NAME, cap=MAX_BYTES)
    if isinstance(value, dict) and any(isinstance(each, str) and has_hint(each) for each in value.values()):
        return (Reason("skeleton_unchanged", detail=HINT_STANDS, where=NAME),)
    status = parse_deployment(data)
    findings: list[Finding] = []
    if status.status in ENDED_BADLY:
        findings.append(Finding("deployment_failed", f"the status is {status.status}", item="status"))
    note = (Passage("note", 0, status.note),)
    findings.extend(check_grounding(note, GROUNDING, context.subject, hints=hints_of(NAME)))
    return reasons_of(NAME, findings)
