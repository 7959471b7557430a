"""What the engine ran on the judged tree: tests, build, coverage, accept blocks."""

from __future__ import annotations

from collections.abc import Iterable

from autopilot.evidence.context import RuleContext
from autopilot.evidence.findings import refusing
from autopilot.evidence.reported import unreported
from autopilot.evidence.rules.plan import blocks_differ
from autopilot.evidence.values.accept import AcceptResults
from autopilot.evidence.values.build_log import parse_build_log
from autopilot.evidence.values.coverage import CoverageReport
from autopilot.evidence.values.runs import CommandEvidence, CommandRun, check_configured, check_run
from autopilot.evidence.values.tests import TestResults, named_outcomes, newly_inert, vanished
from autopilot.kernel.reasons import Reason

MAX_SHOWN = 10


@refusing
def check_test_results(data: bytes, context: RuleContext) -> tuple[Reason, ...]:
    """Tests ran, all of the base and all that the spec names among them, none failed, and the exit says the same."""
    results = TestResults.from_json(data)
    misfit = check_binding(results, context)
    if misfit or results.run is None:
        return misfit
    reasons = (
        *_report_faults(results, results.run),
        *_against_base(results, context),
        *_named_tests(results, context),
    )
    control = _control(results, context)
    if control and {reason.code for reason in reasons} <= {"report_contradicts_exit"}:
        # A control test that failed and should not have is what the exit code tells of.
        return control
    # Of a run that is refused already the rest would only repeat that it did not go as it should.
    return reasons or _changed_tests(results, context)


def check_binding(evidence: CommandEvidence, context: RuleContext) -> tuple[Reason, ...]:
    """Of this task, epoch and tree, and configured unless the profile lets it be empty."""
    return (
        *evidence.misbound(task=context.task_id, epoch=context.epoch, tree=context.tree),
        *check_configured(evidence, may_be_empty=context.may_be_empty),
    )


def _report_faults(results: TestResults, run: CommandRun) -> tuple[Reason, ...]:
    where = TestResults.artifact
    if run.timed_out:
        return check_run(run, where)
    if results.report != "read":
        code = "report_missing" if results.report == "missing" else "report_unreadable"
        return (Reason(code, detail=f"the runner {run.end}{run.quoted}", where=where),)
    reasons = (*_nothing_ran(results, run), *_failures(results), *_contradiction(results, run))
    return reasons or check_run(run, where)


def _nothing_ran(results: TestResults, run: CommandRun) -> Iterable[Reason]:
    where = TestResults.artifact
    if not results.lists_tests:
        detail = f"the report lists no test, the runner {run.end}{run.quoted}"
        yield Reason("tests_none_collected", detail=detail, where=where)
    elif not results.any_ran:
        detail = "every listed test was skipped or expected to fail"
        yield Reason("tests_none_collected", detail=detail, where=where)


def _failures(results: TestResults) -> Iterable[Reason]:
    failing = results.failing()
    if failing:
        yield Reason("tests_failed", detail=f"{len(failing)} failed: {_some(failing)}", where=TestResults.artifact)


def _contradiction(results: TestResults, run: CommandRun) -> Iterable[Reason]:
    failing = results.failing()
    if not results.lists_tests and not failing and not run.succeeded:
        # Both say that nothing ran (pytest exits 5), and it is refused for that.
        return
    if bool(failing) == run.succeeded:
        said = f"{len(failing)} failures" if failing else "no failure"
        detail = f"the report has {said}, the runner {run.end}{'' if failing else run.quoted}"
        yield Reason("report_contradicts_exit", detail=detail, where=TestResults.artifact)


def _against_base(results: TestResults, context: RuleContext) -> tuple[Reason, ...]:
    if results.report != "read":
        return ()
    base = context.base_inventory
    reasons = []
    gone = vanished(base, results) if base else ()
    if gone:
        reasons.append(Reason("tests_vanished", detail=_some(gone), where=TestResults.artifact))
    # Without an inventory of the base every skip is a new one only if the profile keeps inventories at all.
    inert = newly_inert(base, results) if base else ()
    if inert:
        reasons.append(Reason("tests_skipped", detail=_some(inert), where=TestResults.artifact))
    return tuple(reasons)


def _control(results: TestResults, context: RuleContext) -> tuple[Reason, ...]:
    """The engine's own tests ended as they must, if they did so on the base."""
    base = context.base_inventory
    if base is None or base.control != "kept" or results.control == "kept":
        return ()
    detail = {
        "absent": "they are not in the report: it was not written by a runner that ran what lay there",
        "bent": "they have another outcome: failures are swallowed, or outcomes rewritten",
    }.get(results.control, "they were not laid into the copy")
    return (Reason("control_tests", detail=detail, where=TestResults.artifact),)


def _changed_tests(results: TestResults, context: RuleContext) -> tuple[Reason, ...]:
    """Each test file that was added or changed has a case in the report, unless the base's own report had none."""
    wanted = context.changed_tests
    base = context.base_inventory
    if base is not None:
        there = frozenset(wanted) & context.paths
        wanted = tuple(sorted(set(wanted) - set(unreported(there, (case.id for case in base.cases)))))
    missing = unreported(wanted, (case.id for case in results.cases))
    return (Reason("tests_unreported", detail=_some(missing), where=TestResults.artifact),) if missing else ()


def _named_tests(results: TestResults, context: RuleContext) -> tuple[Reason, ...]:
    """Each test that the spec names as proof is there, and passes with all its parameters."""
    reasons = []
    outcomes = results.outcomes().items()
    for criterion in context.spec.criteria if context.spec else ():
        for name in criterion.tests:
            found = named_outcomes(name, outcomes)
            bad = sorted(identifier for identifier, outcome in found.items() if outcome != "passed")
            if found and not bad:
                continue
            detail = f"{_some(bad)} did not pass" if bad else f"{name} was not run"
            reasons.append(Reason("accept_failed", detail=detail, where=f"spec.md:{criterion.line} {criterion.id}"))
    return tuple(reasons)


@refusing
def check_build_log(data: bytes, context: RuleContext) -> tuple[Reason, ...]:
    """The build ran to its end and exited 0."""
    header = parse_build_log(data).header
    return check_binding(header, context) or (check_run(header.run, header.artifact) if header.run else ())


@refusing
def check_coverage(data: bytes, context: RuleContext) -> tuple[Reason, ...]:
    """The coverage command succeeded, measured something, and reached the threshold."""
    report = CoverageReport.from_json(data)
    misfit = check_binding(report, context)
    if misfit or report.run is None:
        return misfit
    where = report.artifact
    ran = check_run(report.run, where)
    if ran:
        return ran
    if report.report != "read":
        code = "report_missing" if report.report == "missing" else "report_unreadable"
        return (Reason(code, detail=f"the command {report.run.end}{report.run.quoted}", where=where),)
    if any(file.covered > file.statements for file in report.files):
        return (Reason("artifact_invalid", detail="a file has more covered statements than statements", where=where),)
    if not sum(file.statements for file in report.files):
        # 100 % of nothing: what a wrong source setting reports.
        return (Reason("coverage_below_threshold", detail="nothing was measured", where=where),)
    least = context.thresholds.coverage_hundredths
    if report.percent_hundredths < least:
        detail = f"{_percent(report.percent_hundredths)} %, at least {_percent(least)} %"
        return (Reason("coverage_below_threshold", detail=detail, where=where),)
    return ()


@refusing
def check_accept_results(data: bytes, context: RuleContext) -> tuple[Reason, ...]:
    """Every accept block of the spec, regression checks too, exited 0 on the judged tree."""
    evidence = AcceptResults.from_json(data)
    misfit = (
        *evidence.misbound(task=context.task_id, epoch=context.epoch, tree=context.tree),
        *blocks_differ(evidence, context.spec),
    )
    if misfit:
        return misfit
    reasons = []
    for block in evidence.blocks:
        where = f"{evidence.artifact} {block.criterion}"
        for reason in check_run(block.run, where):
            code = "accept_failed" if reason.code == "command_failed" else reason.code
            reasons.append(Reason(code, detail=reason.detail, where=where))
    return tuple(reasons)


def _some(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - MAX_SHOWN} more" if len(every) > MAX_SHOWN else ""
    return ", ".join(name[:120] for name in every[:MAX_SHOWN]) + more


def _percent(hundredths: int) -> str:
    return f"{hundredths // 100}.{hundredths % 100:02}"
