"""What came of a run, as the bytes of its artifact: the record, not the judgement.

A command that is not configured, a report that is not there and one that cannot be read are each written down as such;
whether that is good enough is the content rule's to say, from the sealed bytes.
"""

from __future__ import annotations

from typing import Any, Literal

from autopilot.evidence.control import Control, Kept
from autopilot.evidence.values.build_log import BuildHeader, BuildLog
from autopilot.evidence.values.coverage import CoverageReport, FileCoverage
from autopilot.evidence.values.quality import CodeQualityScore, RuleCount, quality_hundredths
from autopilot.evidence.values.runs import CiResults, CommandRun, SmokeTestResults, tail_of
from autopilot.evidence.values.tests import BaseInventory, TestCase, TestResults
from autopilot.kernel.errors import ContractError
from autopilot.process.execution import Ran
from autopilot.process.runners.bench import Bench
from autopilot.sandbox.reports.coverage import parse_coverage
from autopilot.sandbox.reports.junit import parse_junit
from autopilot.sandbox.reports.lint import LintFormat, parse_lint

_OUTPUT_KEPT_BYTES = 512 * 1024
_SOURCE_SUFFIXES = (".py", ".pyi", ".js", ".ts", ".go", ".rs", ".java", ".c", ".h", ".cc", ".cpp", ".rb", ".sh")


def run_record(bench: Bench, ran: Ran) -> CommandRun:
    """The record of a run; its output (the end of it, if long) becomes an object of its own."""
    last = ran.last
    output = ran.output[-_OUTPUT_KEPT_BYTES:]
    deps = ran.environment.get("dependencies") or {}
    return CommandRun(
        argv=last.argv,
        exit_code=last.exit_code,
        signal=last.signal,
        timed_out=last.timed_out,
        truncated=any(result.truncated for result in ran.results),
        duration_ms=sum(result.duration_ns for result in ran.results) // 1_000_000,
        isolation=last.isolation,
        executable_sha256=ran.environment.get("program_sha256"),
        deps_sha256=deps.get("tree_sha256"),
        output_sha256=bench.engine.store.objects.put(output),
        output_bytes=len(output),
        tail=tail_of(output),
    )


def record_of_tests(
    kind: type[TestResults] | type[BaseInventory],
    bench: Bench,
    tree: str,
    ran: Ran | None,
    control: Control | None = None,
) -> bytes:
    """The bytes of test_results.json or base_inventory.json for a run of the test command; None: not configured.

    `control`: the control tests that lay in the copy; they are held against the report and left out of the record.
    """
    common: dict[str, Any] = {"task": bench.task.id, "epoch": bench.task.epoch, "tree": tree}
    if ran is None:
        return kind(**common, configured=False, report="missing").to_json()
    read: Literal["read", "missing", "unreadable"] = "missing"
    cases: tuple[TestCase, ...] = ()
    if ran.report is not None:
        try:
            report = parse_junit(ran.report)
            cases = tuple(
                TestCase(id=case.id, outcome=case.outcome.value, collection=case.collection) for case in report.cases
            )
            read = "read"
        except ContractError:
            read = "unreadable"
    kept: Kept = "none"
    if control is not None:
        cases, kept = control.parted(cases)
    return kind(**common, run=run_record(bench, ran), report=read, control=kept, cases=cases).to_json()


def record_of_build(bench: Bench, tree: str, ran: Ran | None) -> bytes:
    """The bytes of build_output.log for a run of the build; None: not configured."""
    common: dict[str, Any] = {"task": bench.task.id, "epoch": bench.task.epoch, "tree": tree}
    if ran is None:
        return BuildLog(BuildHeader(**common, configured=False), b"").to_bytes()
    return BuildLog(BuildHeader(**common, run=run_record(bench, ran)), ran.output[-_OUTPUT_KEPT_BYTES:]).to_bytes()


def record_of_coverage(bench: Bench, tree: str, ran: Ran | None) -> bytes:
    """The bytes of coverage_report.json for a run of the coverage command; None: not configured."""
    common: dict[str, Any] = {"task": bench.task.id, "epoch": bench.task.epoch, "tree": tree}
    if ran is None:
        return CoverageReport(**common, configured=False, report="missing").to_json()
    if ran.report is None:
        return CoverageReport(**common, run=run_record(bench, ran), report="missing").to_json()
    try:
        report = parse_coverage(ran.report)
    except ContractError:
        return CoverageReport(**common, run=run_record(bench, ran), report="unreadable").to_json()
    files = tuple(
        FileCoverage(path=path, statements=len(f.executed) + len(f.missing), covered=len(f.executed))
        for path, f in sorted(report.files.items())
    )
    return CoverageReport(
        **common, run=run_record(bench, ran), report="read", percent_hundredths=report.percent_hundredths, files=files
    ).to_json()


def record_of_lint(bench: Bench, tree: str, ran: Ran | None) -> bytes:
    """The bytes of code_quality_score.json for a run of the linter; None: not configured."""
    common: dict[str, Any] = {"task": bench.task.id, "epoch": bench.task.epoch, "tree": tree}
    if ran is None:
        return CodeQualityScore(**common, configured=False, report="missing").to_json()
    command = bench.ticket.settings.command("lint")
    form: LintFormat = "lines"
    if command is not None and command.report in ("ruff-json", "flake8"):
        form = command.report  # type: ignore[assignment]
    if ran.report is None and (form == "ruff-json" or (command is not None and command.uses("report"))):
        # Its output is no stand-in for the file it was to write: a linter that died early prints nothing.
        return CodeQualityScore(**common, run=run_record(bench, ran), report="missing").to_json()
    data = ran.report if ran.report is not None else ran.output
    try:
        report = parse_lint(data, form)
    except ContractError:
        return CodeQualityScore(**common, run=run_record(bench, ran), report="unreadable").to_json()
    lines = _source_lines(bench, tree)
    return CodeQualityScore(
        **common,
        run=run_record(bench, ran),
        report="read",
        lines=lines,
        findings=report.findings,
        by_rule=tuple(RuleCount(rule=rule, findings=count) for rule, count in sorted(report.by_rule.items())),
        score_hundredths=quality_hundredths(report.findings, lines),
    ).to_json()


def record_of_command(
    kind: type[CiResults] | type[SmokeTestResults], bench: Bench, tree: str, ran: Ran | None
) -> bytes:
    """The bytes of an artifact that tells of one command and its exit; None: not configured."""
    common: dict[str, Any] = {"task": bench.task.id, "epoch": bench.task.epoch, "tree": tree}
    return (kind(**common, configured=False) if ran is None else kind(**common, run=run_record(bench, ran))).to_json()


def _source_lines(bench: Bench, tree: str) -> int:
    """Lines of source code in the tree: what a linter had to look at."""
    trees = bench.site.trees
    sources = [path for path in trees.paths(tree) if path.endswith(_SOURCE_SUFFIXES)]
    return sum((data.count(b"\n") for path in sources if (data := trees.read(tree, path)) is not None), start=0)
