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
from autopilot.evidence.numbered import Numbering, read_numbered

NAME = "edge_cases.md"
CASES = "Cases"
MAX_CASES = 200

_NUMBERING = Numbering(section=CASES, prefix="EC", one="a case", several="cases", most=MAX_CASES)

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
    cases, faults = read_numbered(document, _NUMBERING, _case)
    return EdgeCaseScan(tuple(cases), tuple(faults))


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
