"""strategy.md: problem, objectives, scope, non-goals, risks, about this task in this repository."""

from __future__ import annotations

from autopilot.evidence.context import RuleContext
from autopilot.evidence.findings import reasons_of, refusing
from autopilot.evidence.grounding import GroundingRule, check_grounding
from autopilot.evidence.rules.prose import hints_left, passages_of, read_document, required_sections
from autopilot.evidence.skeletons import hints_of
from autopilot.kernel.reasons import Reason

NAME = "strategy.md"
SECTIONS = ("Problem", "Objectives", "Scope", "Non-goals", "Risks")
GROUNDING = GroundingRule(words_each=4, words_total=24, citations=2, title_words=2, anchored=(1, 2), compare_sets=True)


@refusing
def check_strategy(data: bytes, context: RuleContext) -> tuple[Reason, ...]:
    """The five sections, each written and together grounded."""
    document = read_document(data, NAME)
    sections, missing = required_sections(document, SECTIONS)
    faults = (*missing, *hints_left(document))
    if faults:
        return reasons_of(NAME, faults)
    return reasons_of(NAME, check_grounding(passages_of(sections), GROUNDING, context.subject, hints=hints_of(NAME)))
