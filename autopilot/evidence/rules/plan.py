"""plan.md, file_map.json and what the engine ran when PLAN was left: base_inventory.json, accept_base.json."""

from __future__ import annotations

from collections import defaultdict

from autopilot.evidence.argv import check_argv, constant_outcome
from autopilot.evidence.context import RuleContext
from autopilot.evidence.file_map import NAME as FILE_MAP_NAME
from autopilot.evidence.file_map import FileMap, FileMapEntry, parse_file_map
from autopilot.evidence.findings import Finding, reasons_of, refusing
from autopilot.evidence.grounding import HINT_STANDS, GroundingRule, Passage, check_grounding, has_hint
from autopilot.evidence.paths import WILDCARDS, matches, path_fault, pattern_fault
from autopilot.evidence.pins import pinned_by_name
from autopilot.evidence.plan import NAME as PLAN_NAME
from autopilot.evidence.plan import Plan, scan_plan
from autopilot.evidence.rules.prose import hints_left, read_document
from autopilot.evidence.skeletons import hints_of
from autopilot.evidence.spec import Spec
from autopilot.evidence.values.accept import AcceptBase, AcceptEvidence, AcceptRun, identity
from autopilot.evidence.values.runs import CommandRun, check_configured, check_run
from autopilot.evidence.values.tests import BaseInventory, named_outcomes
from autopilot.evidence.words import words_in
from autopilot.kernel.errors import ContractError
from autopilot.kernel.reasons import Reason

GROUNDING = GroundingRule(words_each=4, words_total=8, citations=1, title_words=1, anchored=(1, 4))
MIN_WHY_WORDS = 3
MAX_SAME_WHY = 3
BASE_REMEDY = "make the base collectable before the task is opened, or correct commands.test"


@refusing
def check_plan(data: bytes, context: RuleContext) -> tuple[Reason, ...]:
    """Work items with ids, every criterion of spec.md covered, no criterion that spec.md does not have."""
    document = read_document(data, PLAN_NAME)
    scan = scan_plan(document)
    hints = hints_left(document)
    if hints or scan.findings:
        return reasons_of(PLAN_NAME, (*hints, *scan.findings))
    if context.spec is None:
        # Without the sealed spec coverage cannot be told: refused, not assumed.
        return (Reason("artifact_missing", detail="the plan is held against spec.md", where="spec.md"),)
    passages = tuple(Passage(item.id, item.line, item.text) for item in scan.plan.items)
    findings = (
        *_coverage(scan.plan, context.spec),
        *check_grounding(passages, GROUNDING, context.subject, hints=hints_of(PLAN_NAME)),
    )
    return reasons_of(PLAN_NAME, findings)


def _coverage(plan: Plan, spec: Spec) -> tuple[Finding, ...]:
    unknown = [
        Finding("unknown_criterion", f"spec.md has no {name}", item.line, item.id)
        for item in plan.items
        for name in item.criteria
        if name not in spec.ids
    ]
    uncovered = [
        Finding("criterion_uncovered", f"no work item names {criterion.id}", item=criterion.id)
        for criterion in spec.criteria
        if criterion.id not in plan.covered
    ]
    return (*unknown, *uncovered)


@refusing
def check_file_map(data: bytes, context: RuleContext) -> tuple[Reason, ...]:
    """Every path fit and true of the base, every reason given, generated files with their command."""
    file_map = parse_file_map(data)
    findings: list[Finding] = []
    seen: set[str] = set()
    for index, entry in enumerate(file_map.entries):
        findings.extend(_entry_faults(entry, f"[{index}]", context))
        if entry.path in seen:
            findings.append(Finding("artifact_invalid", f"{entry.path[:80]!r} stands twice", item=f"[{index}].path"))
        seen.add(entry.path)
    return reasons_of(FILE_MAP_NAME, (*findings, *_boilerplate(file_map)))


def _entry_faults(entry: FileMapEntry, place: str, context: RuleContext) -> list[Finding]:
    generated = entry.change == "generated"
    fault = (pattern_fault if generated else path_fault)(entry.path, state_dir=context.state_dir)
    found = []
    if fault:
        found.append(Finding("path_outside", fault, item=f"{place}.path"))
    elif not generated and WILDCARDS & set(entry.path):
        detail = f"{entry.path[:80]!r} has a wildcard, which only `generated` may have"
        found.append(Finding("path_outside", detail, item=f"{place}.path", remedy="name each file"))
    else:
        found.extend(_covers_too_much(entry, place, context) if generated else _contradicts_base(entry, place, context))
    if has_hint(entry.path) or has_hint(entry.why):
        found.append(Finding("skeleton_unchanged", HINT_STANDS, item=place))
    elif len(frozenset(words_in(entry.why))) < MIN_WHY_WORDS:
        detail = f"`why` has less than {MIN_WHY_WORDS} different words"
        found.append(Finding("section_empty", detail, item=f"{place}.why"))
    found.extend(_command_faults(entry, place))
    return found


def _covers_too_much(entry: FileMapEntry, place: str, context: RuleContext) -> list[Finding]:
    """What a command writes is neither a test nor configuration, nor all that lies in a folder of the repository."""
    pattern = entry.path
    likely = "/".join("x" if set(part) <= WILDCARDS else part for part in pattern.split("/"))
    covered = (path for path in (likely, *sorted(context.paths)) if path == likely or matches(pattern, path))
    pinned = next((path for path in covered if pinned_by_name(path)), "")
    head, _, tail = pattern.partition("/")
    whole = bool(tail) and set(tail) <= {*WILDCARDS, "/"} and any(path.startswith(f"{head}/") for path in context.paths)
    if not pinned and not whole:
        return []
    what = f"tests or configuration ({pinned})" if pinned else f"all that lies in {head}/"
    remedy = "name each file, as added or modified" if pinned else "name the folder that the command alone writes to"
    detail = f"{pattern[:80]!r} covers {what}"
    return [Finding("path_outside", detail, item=f"{place}.path", remedy=remedy)]


def _contradicts_base(entry: FileMapEntry, place: str, context: RuleContext) -> list[Finding]:
    there = entry.path in context.paths
    if entry.path in context.uncommitted:
        return []
    if entry.change == "added" and there:
        return [Finding("file_map_contradicts_base", f"{entry.path} is there already", item=f"{place}.change")]
    if entry.change in ("modified", "deleted") and not there:
        return [Finding("file_map_contradicts_base", f"{entry.path} is not there", item=f"{place}.path")]
    return []


def _command_faults(entry: FileMapEntry, place: str) -> list[Finding]:
    if entry.change != "generated":
        return [Finding("artifact_invalid", "`by` is for generated files", item=f"{place}.by")] if entry.by else []
    if not entry.by:
        return [Finding("artifact_invalid", "a generated file needs `by`, its command", item=f"{place}.by")]
    try:
        constant = constant_outcome(check_argv(entry.by))
    except ContractError as error:
        return [Finding("artifact_invalid", error.detail, item=f"{place}.by")]
    return [Finding("artifact_invalid", constant, item=f"{place}.by")] if constant else []


def _boilerplate(file_map: FileMap) -> list[Finding]:
    """One `why` for many files explains none of them. Three may share one: a rename, its test, its doc."""
    same: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, entry in enumerate(file_map.entries):
        same[words_in(entry.why)].append(index)
    return [
        Finding("repeated_text", f"the same `why` stands in {len(places)} entries", item=f"[{places[0]}].why")
        for places in same.values()
        if len(places) > MAX_SAME_WHY
    ]


@refusing
def check_base_inventory(data: bytes, context: RuleContext) -> tuple[Reason, ...]:
    """A test run of the base that was read. Tests may fail there; a *named* test of the spec must not pass yet."""
    inventory = BaseInventory.from_json(data)
    misfit = (
        *inventory.misbound(task=context.task_id, epoch=context.epoch, tree=context.tree),
        *check_configured(inventory, may_be_empty=context.may_be_empty),
    )
    if misfit or not inventory.configured:
        return misfit
    unread = _unread(inventory, inventory.run) if inventory.run else ()
    return unread or tuple(
        Reason(
            "accept_passes_on_base",
            detail=f"{name} passes on the base",
            where=f"spec.md:{criterion.line} {criterion.id}",
        )
        for criterion in (context.spec.criteria if context.spec else ())
        for name in criterion.tests
        if _all_pass(name, inventory)
    )


def _unread(inventory: BaseInventory, run: CommandRun) -> tuple[Reason, ...]:
    """Why the tests of the base are not known. A report that lists none is an answer; no report is none.

    Without an inventory a test could vanish and nobody would know that it was there.
    """
    where = BaseInventory.artifact
    if run.timed_out or run.exit_code is None:
        # A killed runner may have listed a part only.
        return check_run(run, where)
    if inventory.report == "read":
        return ()
    detail = f"on the base tree the runner {run.end}{run.quoted}"
    if inventory.report == "unreadable":
        return (Reason("report_unreadable", detail=detail, where=where),)
    return (Reason("report_missing", detail=detail, where=where, remedy=BASE_REMEDY),)


def _all_pass(name: str, inventory: BaseInventory) -> bool:
    outcomes = named_outcomes(name, inventory.outcomes().items())
    return bool(outcomes) and set(outcomes.values()) == {"passed"}


@refusing
def check_accept_base(data: bytes, context: RuleContext) -> tuple[Reason, ...]:
    """Each block of the spec ran on the base: `base=fail` failed there, `base=pass` passed."""
    evidence = AcceptBase.from_json(data)
    misfit = (
        *evidence.misbound(task=context.task_id, epoch=context.epoch, tree=context.tree),
        *blocks_differ(evidence, context.spec),
    )
    return misfit or tuple(reason for block in evidence.blocks for reason in _on_base(block))


def _on_base(block: AcceptRun) -> tuple[Reason, ...]:
    where = f"{AcceptBase.artifact} {block.criterion}"
    shown = " ".join(block.argv)[:120]
    if not block.run.started:
        # Exit 127 is no proof that the work is missing: the command would fail after the work as well.
        return (Reason("accept_not_runnable", detail=f"`{shown}` {block.run.end}{block.run.quoted}", where=where),)
    if block.base == "fail" and block.run.succeeded:
        return (Reason("accept_passes_on_base", detail=f"`{shown}` exited 0 on the base", where=where),)
    if block.base == "pass" and not block.run.succeeded:
        detail = f"`{shown}` {block.run.end} on the base{block.run.quoted}"
        return (Reason("accept_fails_on_base", detail=detail, where=where),)
    return ()


def blocks_differ(evidence: AcceptEvidence, spec: Spec | None) -> tuple[Reason, ...]:
    """`evidence_stale` unless exactly the blocks of the sealed spec were run, in order."""
    if spec is None:
        return (Reason("artifact_missing", detail="accept blocks are held against spec.md", where="spec.md"),)
    if tuple(block.block() for block in evidence.blocks) != tuple(identity(block) for block in spec.accepts):
        return (Reason("evidence_stale", detail="the blocks are not those of spec.md", where=evidence.artifact),)
    return ()
