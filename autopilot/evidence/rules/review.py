"""review_rubric.json and code_quality_score.json: a reviewer who is another, and a linter that ran."""

from __future__ import annotations

from autopilot.evidence.context import RuleContext
from autopilot.evidence.findings import Finding, reasons_of, refusing
from autopilot.evidence.grounding import HINT_STANDS, GroundingRule, Passage, check_grounding, has_hint
from autopilot.evidence.rules.verify import check_binding
from autopilot.evidence.skeletons import hints_of
from autopilot.evidence.values.quality import CodeQualityScore, quality_hundredths
from autopilot.evidence.values.rubric import NAME, ReviewRubric, parse_rubric
from autopilot.evidence.values.runs import CommandRun, check_run
from autopilot.kernel.callers import folded_name
from autopilot.kernel.reasons import Reason

NOTES = GroundingRule(words_each=4, words_total=20, citations=2, title_words=1, anchored=(2, 5), compare_sets=True)
RISKS = GroundingRule(words_each=4, words_total=4, citations=0, title_words=0, anchored=(0, 1))
LINTER_FOUND = 1


@refusing
def check_review_rubric(data: bytes, context: RuleContext) -> tuple[Reason, ...]:
    """Written, grounded, over its thresholds, and by someone else than the implementer."""
    rubric = parse_rubric(data)
    hints = hints_of(NAME)
    notes = tuple(
        Passage(f"dimensions.{name}.note", 0, dimension.note) for name, dimension in rubric.dimensions.named()
    )
    risks = tuple(
        Passage(f"false_positive_risks[{index}]", 0, text) for index, text in enumerate(rubric.false_positive_risks)
    )
    findings = (
        *_below(rubric, context.thresholds.rubric_points),
        *check_grounding(notes, NOTES, context.subject, hints=hints),
        *check_grounding(risks, RISKS, context.subject, hints=hints),
        *_docs_checked(rubric, context),
        *_reviewer(rubric, context),
    )
    return reasons_of(NAME, findings)


def _below(rubric: ReviewRubric, least: int) -> list[Finding]:
    found = []
    for name, dimension in rubric.dimensions.named():
        item = f"dimensions.{name}"
        if dimension.verdict == "fail":
            found.append(Finding("rubric_below_threshold", "the reviewer's verdict is fail", item=item))
        if dimension.score < least:
            detail = f"score {dimension.score}, at least {least}"
            found.append(Finding("rubric_below_threshold", detail, item=f"{item}.score"))
    return found


def _docs_checked(rubric: ReviewRubric, context: RuleContext) -> list[Finding]:
    """Each entry is a path at the base or one that the change adds."""
    there = context.paths | context.planned | (context.changed_paths or frozenset())
    found = []
    for index, path in enumerate(rubric.docs_checked):
        item = f"docs_checked[{index}]"
        if has_hint(path):
            found.append(Finding("skeleton_unchanged", HINT_STANDS, item=item))
        elif path not in there:
            found.append(Finding("ungrounded", f"{path[:80]!r} is not a path of the repository", item=item))
    if len(set(rubric.docs_checked)) != len(rubric.docs_checked):
        found.append(Finding("repeated_text", "a path stands twice", item="docs_checked"))
    return found


def _reviewer(rubric: ReviewRubric, context: RuleContext) -> list[Finding]:
    given = rubric.reviewer
    found = []
    if (given.actor, given.session) != (context.actor, context.session):
        detail = f"it names {given.actor}/{given.session}, and was handed in by {context.actor}/{context.session}"
        found.append(Finding("artifact_invalid", detail, item="reviewer", remedy="name the reviewer who hands it in"))
    # Names are compared as a reader would, as they are for approvals: another spelling is not another reviewer.
    actors = {folded_name(actor) for actor, _ in context.implementers}
    sessions = {folded_name(session) for _, session in context.implementers}
    # Both must differ: one actor in two sessions is one mind, two actors in one session are one process.
    for actor, session in dict.fromkeys([(given.actor, given.session), (context.actor, context.session)]):
        if context.separate_reviewer and (folded_name(actor) in actors or folded_name(session) in sessions):
            detail = f"{actor}/{session} shares actor or session with the implementer"
            found.append(Finding("reviewer_is_implementer", detail, item="reviewer"))
    return found[:2]


@refusing
def check_code_quality(data: bytes, context: RuleContext) -> tuple[Reason, ...]:
    """The linter ran, its report and exit agree, the score is what the formula gives, and reaches the threshold."""
    score = CodeQualityScore.from_json(data)
    misfit = check_binding(score, context)
    if misfit or score.run is None:
        return misfit
    where = score.artifact
    faults = _linter_faults(score, score.run)
    if faults:
        return faults
    given = quality_hundredths(score.findings, score.lines)
    if score.score_hundredths != given or sum(each.findings for each in score.by_rule) != score.findings:
        detail = f"{score.findings} findings in {score.lines} lines give {given}, not {score.score_hundredths}"
        return (Reason("artifact_invalid", detail=detail, where=where),)
    least = context.thresholds.quality_hundredths
    if given < least:
        detail = f"{given // 100}.{given % 100:02}, at least {least // 100}.{least % 100:02}"
        return (Reason("lint_below_threshold", detail=detail, where=where),)
    return ()


def _linter_faults(score: CodeQualityScore, run: CommandRun) -> tuple[Reason, ...]:
    """Linters exit 1 for findings, 2 or more when they fail themselves, and 0 only where there is nothing to say."""
    where = score.artifact
    if run.timed_out or run.exit_code not in (0, LINTER_FOUND):
        return check_run(run, where)
    if score.report != "read":
        code = "report_missing" if score.report == "missing" else "report_unreadable"
        return (Reason(code, detail=f"the linter {run.end}{run.quoted}", where=where),)
    if (score.findings > 0) != (run.exit_code == LINTER_FOUND):
        # A linter told to exit 0 (`--exit-zero`) cannot be told from one that did not look.
        detail = f"the report has {score.findings} findings, the linter {run.end}"
        return (Reason("report_contradicts_exit", detail=detail, where=where),)
    if run.truncated:
        # Of a report read from the output, the findings in the part that was cut are not counted.
        return (Reason("output_truncated", detail="the linter wrote over the cap", where=where),)
    return ()
