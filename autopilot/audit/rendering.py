"""The report of an audit as a Markdown page, for whoever is handed it."""

from __future__ import annotations

from collections.abc import Iterator

from autopilot.audit.findings import FINDINGS, AuditReport, Finding


def markdown(report: AuditReport) -> str:
    """The whole report. Text that came from files and lines is kept out of the page's own markup."""
    return "".join(_parts(report))


def _parts(report: AuditReport) -> Iterator[str]:
    about = f"task `{_cell(report.task)}` of ledger" if report.task else "ledger"
    verdict = "failed" if report.exit_code else "passed"
    totals = ", ".join(f"{count} {severity}" for severity, count in report.totals().items())
    yield f"# Integrity audit: {verdict}\n\n"
    yield f"Of {about} `{_cell(report.ledger) or 'unknown'}`, {report.entries} lines. Findings: {totals}.\n\n"
    yield "## Checks\n\n| check | outcome | looked at |\n|---|---|---|\n"
    for result in report.results:
        counts = ", ".join(f"{count} {name}" for name, count in result.counts.items())
        yield f"| {result.name} | {result.status} | {_cell(result.skipped or counts)} |\n"
    if report.findings:
        yield "\n## Findings\n"
    for check, finding in report.triaged:
        yield from _finding(check, finding)


def _finding(check: str, finding: Finding) -> Iterator[str]:
    yield f"\n### {finding.severity}: {finding.code}\n\n{_sentence(FINDINGS[finding.code].title)}.\n\n"
    rows = (
        ("check", check),
        ("ledger line", "" if finding.seq is None else str(finding.seq)),
        ("task", finding.task),
        ("where", finding.where),
        ("detail", finding.detail),
        ("evidence", finding.evidence),
    )
    yield "| | |\n|---|---|\n"
    yield from (f"| {name} | `{_cell(value)}` |\n" for name, value in rows if value)
    yield f"\nNext: {_sentence(finding.remedy)}.\n"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _cell(text: str) -> str:
    """On one line, printable, and with nothing that ends a cell or a code span."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    return plain.replace("`", "'").replace("|", "/")
