"""edge_cases.md: cases, each with its mitigation or an accepted risk."""

from __future__ import annotations

from autopilot.evidence.context import RuleContext
from autopilot.evidence.edge_cases import NAME, scan_edge_cases
from autopilot.evidence.findings import reasons_of, refusing
from autopilot.evidence.grounding import GroundingRule, Passage, check_grounding
from autopilot.evidence.rules.prose import hints_left, read_document
from autopilot.evidence.skeletons import hints_of
from autopilot.kernel.reasons import Reason

GROUNDING = GroundingRule(words_each=5, words_total=8, citations=1, title_words=1, anchored=(1, 4))


@refusing
def check_edge_cases(data: bytes, context: RuleContext) -> tuple[Reason, ...]:
    """A case and its answer are one passage: what happens, and what is done about it."""
    document = read_document(data, NAME)
    scan = scan_edge_cases(document)
    hints = hints_left(document)
    if hints or scan.findings:
        return reasons_of(NAME, (*hints, *scan.findings))
    passages = tuple(Passage(case.id, case.line, f"{case.text}\n{case.answer}") for case in scan.cases)
    return reasons_of(NAME, check_grounding(passages, GROUNDING, context.subject, hints=hints_of(NAME)))
