"""edge_cases.md as a value: cases, each with what is done about it.

## Cases

- EC-1: the list is empty
  mitigation: `paginate` returns no page; tests/test_pager.py covers it
- EC-2: two writers change the list between pages
  accepted: listings are snapshots, documented in README.md
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from autopilot.evidence.findings import Finding, contract_error
from autopilot.evidence.markdown import Document, Item, parse_document

NAME = "edge_cases.md"
CASES = "Cases"
MAX_CASES = 200

_ENTRY = re.compile(r"(EC-[1-9]\d{0,3}): *(.*)")
_LOOSE_ENTRY = re.compile(r"(?i)EC-?\d")
_ANSWER = re.compile(r"[ \t]+(?:[-*] +)?(mitigation|accepted):[ \t]*(.*)")


@dataclass(frozen=True, slots=True)
class EdgeCase:
    """One case and its answer: `mitigation` says what is done, `accepted` why nothing is."""

    id: str
    text: str
    answer: str
    kind: Literal["mitigation", "accepted"]
    line: int = 0


@dataclass(frozen=True, slots=True)
class EdgeCaseScan:
    """What could be read, and everything wrong with it."""

    cases: tuple[EdgeCase, ...]
    findings: tuple[Finding, ...]


def parse_edge_cases(text: str) -> tuple[EdgeCase, ...]:
    """The cases in `text`; ContractError with the first fault. Grounding is `rules.think`'s to judge."""
    scan = scan_edge_cases(parse_document(text, name=NAME))
    if scan.findings:
        raise contract_error(NAME, scan.findings[0])
    return scan.cases


def scan_edge_cases(document: Document) -> EdgeCaseScan:
    """The cases of `document`, with a finding for each fault."""
    section = document.section(CASES)
    if section is None:
        return EdgeCaseScan((), (Finding("section_missing", f"there is no section '## {CASES}'", item=CASES),))
    cases: list[EdgeCase] = []
    faults: list[Finding] = []
    seen: dict[str, int] = {}
    for item in section.items:
        match = _ENTRY.fullmatch(item.head)
        if not match:
            if _LOOSE_ENTRY.match(item.head):
                detail = f"{item.head[:40]!r} looks like a case; it must begin `- EC-1: `"
                faults.append(Finding("artifact_invalid", detail, item.line))
            continue
        first = seen.setdefault(match.group(1), item.line)
        if first != item.line:
            detail = f"the id {match.group(1)} stands at line {first} too"
            faults.append(Finding("artifact_invalid", detail, item.line, match.group(1)))
            continue
        case, fault = _case(match.group(1), match.group(2), item)
        cases.append(case)
        faults.extend(fault)
    if not cases and not faults:
        faults.append(Finding("section_empty", "no line begins `- EC-1: `", section.line, CASES))
    if len(cases) > MAX_CASES:
        faults.append(Finding("artifact_too_large", f"{len(cases)} cases, at most {MAX_CASES}", section.line))
    return EdgeCaseScan(tuple(cases[:MAX_CASES]), tuple(faults))


def _case(name: str, head: str, item: Item) -> tuple[EdgeCase, list[Finding]]:
    text, answer = [head], list[str]()
    kind: Literal["mitigation", "accepted"] | None = None
    for line in item.rest:
        match = _ANSWER.fullmatch(line.text.rstrip())
        if match:
            kind = kind or ("mitigation" if match.group(1) == "mitigation" else "accepted")
            answer.append(match.group(2))
        elif line.text.strip():
            (answer if kind else text).append(line.text.strip())
    faults = []
    if kind is None:
        faults.append(
            Finding("case_without_mitigation", "no `mitigation: …` or `accepted: …` below it", item.line, name)
        )
    elif not "".join(answer).strip():
        faults.append(Finding("case_without_mitigation", f"`{kind}:` says nothing", item.line, name))
    return EdgeCase(name, "\n".join(text), "\n".join(answer), kind or "accepted", item.line), faults
