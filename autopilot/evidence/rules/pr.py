"""pr_url.txt, pr_template_filled.md, ci_results.json: where the change is, what it says, what CI found."""

from __future__ import annotations

from autopilot.evidence.context import RuleContext
from autopilot.evidence.findings import Finding, reasons_of, refusing
from autopilot.evidence.grounding import HINT_STANDS, GroundingRule, check_grounding, has_hint
from autopilot.evidence.markdown import Document, Section, decode
from autopilot.evidence.pull_request import (
    CLOSE,
    EVIDENCE,
    MAX_URL_BYTES,
    OPEN,
    TEMPLATE_NAME,
    URL_NAME,
    fill_evidence,
    parse_pr_url,
)
from autopilot.evidence.rules.prose import hints_left, passages_of, read_document, required_sections
from autopilot.evidence.rules.verify import check_binding
from autopilot.evidence.skeletons import hints_of
from autopilot.evidence.values.runs import CiResults, check_run
from autopilot.kernel.reasons import Reason

WRITTEN = ("Summary", "Risks", "Rollback")
GROUNDING = GroundingRule(words_each=4, words_total=16, citations=1, title_words=1, anchored=(1, 3), compare_sets=True)


@refusing
def check_pr_url(data: bytes, context: RuleContext) -> tuple[Reason, ...]:
    """One https URL, or `branch@commit`; the commit is the one PR is left with, where that is known."""
    text = decode(data, name=URL_NAME, cap=MAX_URL_BYTES)
    if has_hint(text.strip()):
        return (Reason("skeleton_unchanged", detail=HINT_STANDS, where=f"{URL_NAME}:1"),)
    reference = parse_pr_url(data)
    if reference.commit and context.commit is not None and reference.commit != context.commit:
        detail = f"it names {reference.commit[:12]}, PR is left with {context.commit[:12]}"
        return (Reason("tree_mismatch", detail=detail, where=URL_NAME),)
    return ()


@refusing
def check_pr_template(data: bytes, context: RuleContext) -> tuple[Reason, ...]:
    """Summary, risks and rollback written and grounded; the evidence exactly what the engine writes."""
    document = read_document(data, TEMPLATE_NAME)
    written, missing = required_sections(document, WRITTEN)
    evidence, no_evidence = required_sections(document, (EVIDENCE,))
    faults = (*missing, *no_evidence, *hints_left(document))
    if faults:
        return reasons_of(TEMPLATE_NAME, faults)
    findings = (
        *check_grounding(passages_of(written), GROUNDING, context.subject, hints=hints_of(TEMPLATE_NAME)),
        *_evidence_faults(document, evidence[0]),
    )
    return (*reasons_of(TEMPLATE_NAME, findings), *_not_the_engines(document, context))


def _evidence_faults(document: Document, section: Section) -> list[Finding]:
    """The markers stand visibly in the section, each alone on its line, with nothing of anyone else's around them."""
    marks = [line.number for line in document.lines if OPEN in line.raw or CLOSE in line.raw]
    inside = [line for line in section.lines if OPEN in line.raw or CLOSE in line.raw]
    if [line.raw.strip() for line in inside] != [OPEN, CLOSE] or len(marks) != 2 or any(line.fenced for line in inside):
        detail = f"`{OPEN}` and `{CLOSE}` must stand once each in it, alone on their lines"
        return [Finding("artifact_invalid", detail, section.line, EVIDENCE)]
    around = [line for line in section.lines if not inside[0].number <= line.number <= inside[1].number]
    stray = next((line for line in around if line.raw.strip()), None)
    if stray is not None:
        # Text beside the engine's would read as if the engine had written it.
        detail = "text outside the markers; the engine writes this section"
        return [Finding("artifact_invalid", detail, stray.number, EVIDENCE)]
    return []


def _not_the_engines(document: Document, context: RuleContext) -> tuple[Reason, ...]:
    text = "\n".join(line.raw for line in document.lines)
    if context.evidence_excerpt is None:
        # Without the engine's own excerpt nothing can be compared: refused, not assumed equal.
        detail = "the engine has not written its excerpt yet"
        return (Reason("excerpt_differs", detail=detail, where=f"{TEMPLATE_NAME} {EVIDENCE}"),)
    if fill_evidence(text, context.evidence_excerpt) != text:
        detail = "what stands between the markers is not what the engine writes"
        return (Reason("excerpt_differs", detail=detail, where=f"{TEMPLATE_NAME} {EVIDENCE}"),)
    return ()


@refusing
def check_ci_results(data: bytes, context: RuleContext) -> tuple[Reason, ...]:
    """The configured CI command exited 0 on the judged tree."""
    results = CiResults.from_json(data)
    return check_binding(results, context) or (check_run(results.run, results.artifact) if results.run else ())
