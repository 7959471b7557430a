"""`autopilot audit`: every integrity check in one run, and what failed, the gravest first. The state is only read."""

from __future__ import annotations

from pathlib import Path

from autopilot.audit.findings import FINDINGS, AuditReport
from autopilot.audit.rendering import markdown
from autopilot.audit.run import audit
from autopilot.cli import console, opened, options
from autopilot.cli.options import Parser
from autopilot.kernel.errors import ContractError
from autopilot.vcs.repository import Repository
from autopilot.wiring.auditing import load_facts


def parser() -> Parser:
    """The parser of `autopilot audit`."""
    auditing = options.command(
        "audit", "every integrity check in one run; exit 3 with a critical finding, 1 with a major one"
    )
    auditing.add_argument("--task", default="", metavar="TASK", help="leave out findings about other tasks")
    auditing.add_argument("--markdown", default="", metavar="FILE", help="write the report to a new file as well")
    return auditing


def run(name: str, words: list[str]) -> int:
    """Audit; the exit code of the gravest finding."""
    del name
    args = parser().parse_args(words)
    call = options.read_call(args)
    opened.require_files(call, "audit")
    target = Path(args.markdown) if args.markdown else None
    if target is not None and target.exists():
        # Before the work, and never over what is there: it could be an earlier report.
        raise ContractError("target_exists", where=str(target), remedy="name a file that is not there")
    repository = Repository.locate(call.directory)
    report = audit(load_facts(repository, call.environ, task=args.task, progress=_progress))
    if target is not None:
        _write(target, markdown(report))
    if call.as_json:
        console.emit(report.as_dict())
    else:
        _show(report)
    console.next_step(_next(report))
    return report.exit_code


def _progress(done: int, total: int) -> None:
    console.say(f"read {done} of {total} lines")


def _write(target: Path, text: str) -> None:
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        remedy = "name a new file in a folder that can be written"
        raise ContractError("bad_usage", where=str(target), detail=str(error), remedy=remedy) from None


def _show(report: AuditReport) -> None:
    for result in report.results:
        counts = ", ".join(f"{count} {name}" for name, count in result.counts.items())
        mark = {"passed": "ok ", "findings": "see", "skipped": "-- "}[result.status]
        console.show(f"{mark} {result.name:<12} {result.skipped or counts}")
    for _, finding in report.triaged:
        place = ", ".join(
            part for part in (f"line {finding.seq}" if finding.seq is not None else "", finding.where) if part
        )
        console.show(f"{finding.severity}: {finding.code} [{console.clean(place)}]")
        said = f"{FINDINGS[finding.code].title}. {finding.detail}"
        console.show(f"  {console.clean(said)}")
        if finding.evidence:
            console.show(f"  evidence: {console.clean(finding.evidence)}")
        console.show(f"  next: {console.clean(finding.remedy)}")
    totals = ", ".join(f"{count} {severity}" for severity, count in report.totals().items())
    console.show(f"{'failed' if report.exit_code else 'passed'}: {totals}")


def _next(report: AuditReport) -> str:
    if report.exit_code == 0:
        return "autopilot ledger checkpoint"
    return "autopilot ledger verify" if report.exit_code == 3 else "autopilot status"
