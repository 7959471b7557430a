"""spec.md: criteria with ids and proofs, acceptance blocks that can be run, KPIs with numbers."""

from __future__ import annotations

from autopilot.evidence.context import RuleContext
from autopilot.evidence.findings import reasons_of, refusing
from autopilot.evidence.grounding import GroundingRule, Passage, check_grounding
from autopilot.evidence.rules.prose import hints_left, read_document
from autopilot.evidence.skeletons import hints_of
from autopilot.evidence.spec import KPIS, NAME, scan_spec
from autopilot.kernel.reasons import Reason

GROUNDING = GroundingRule(words_each=4, words_total=8, citations=1, title_words=1, anchored=(1, 4))
KPI_WORDS = 3


@refusing
def check_spec(data: bytes, context: RuleContext) -> tuple[Reason, ...]:
    """The form first; a spec whose criteria cannot be read is not judged for its words."""
    document = read_document(data, NAME)
    scan = scan_spec(document)
    hints = hints_left(document)
    faults = (*hints, *scan.findings)
    if faults:
        return reasons_of(NAME, faults)
    criteria = tuple(Passage(criterion.id, criterion.line, criterion.text) for criterion in scan.spec.criteria)
    kpis = tuple(Passage(KPIS, kpi.line, kpi.text) for kpi in scan.spec.kpis)
    measured = GroundingRule(words_each=KPI_WORDS, words_total=KPI_WORDS, citations=0, title_words=0, anchored=(0, 1))
    known = hints_of(NAME)
    return reasons_of(
        NAME,
        (
            *check_grounding(criteria, GROUNDING, context.subject, hints=known),
            *check_grounding(kpis, measured, context.subject, hints=known),
        ),
    )
