"""plan.md as a value: work items, and the criteria each one serves.

## Work items

- W-1: `paginate` in `src/pager.py` stops at the last full page (AC-1)
- W-2: a zero page size raises ValueError (AC-2, AC-3)
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from autopilot.evidence.findings import Finding, contract_error
from autopilot.evidence.markdown import Document, Item, parse_document
from autopilot.evidence.numbered import Numbering, read_numbered

NAME = "plan.md"
ITEMS = "Work items"
MAX_ITEMS = 200

_NUMBERING = Numbering(
    section=ITEMS,
    prefix="W",
    one="a work item",
    several="work items",
    most=MAX_ITEMS,
    malformed="work_item_missing",
    none="work_item_missing",
)

_GROUP = re.compile(r"\(([^()]{1,2000})\)\Z")
_ID = re.compile(r"AC-[1-9][0-9]{0,3}")


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One piece of work and the ids of the criteria it serves, in the order written."""

    id: str
    text: str
    criteria: tuple[str, ...]
    line: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a plan.md promises."""

    items: tuple[WorkItem, ...]

    @property
    def covered(self) -> frozenset[str]:
        """Every criterion that some work item names."""
        return frozenset(name for item in self.items for name in item.criteria)


@dataclass(frozen=True, slots=True)
class PlanScan:
    """What could be read, and everything wrong with it."""

    plan: Plan
    findings: tuple[Finding, ...]


def parse_plan(text: str) -> Plan:
    """The plan in `text`; ContractError with the first fault. Coverage and grounding are `rules.plan`'s to judge."""
    scan = scan_plan(parse_document(text, name=NAME))
    if scan.findings:
        raise contract_error(NAME, scan.findings[0])
    return scan.plan


def scan_plan(document: Document) -> PlanScan:
    """The work items of `document`, with a finding for each fault."""
    items, faults = read_numbered(document, _NUMBERING, _work_item)
    return PlanScan(Plan(tuple(items)), tuple(faults))


def _work_item(name: str, head: str, item: Item) -> tuple[WorkItem, list[Finding]]:
    """The criteria stand in the last parentheses of the item, which may run over several lines."""
    text = "\n".join([head, *(line.text.strip() for line in item.rest if line.text.strip())]).rstrip()
    # The names may stand at the end of the first line as well, before details in indented lines.
    for candidate in (text, head.rstrip()):
        group = _GROUP.search(candidate)
        names = [part.strip() for part in group.group(1).split(",")] if group else []
        if names and all(_ID.fullmatch(part) for part in names):
            shown = text.replace(group.group(0), "", 1) if group else text
            return WorkItem(name, shown.strip(), tuple(dict.fromkeys(names)), item.line), []
    # Work that serves no criterion (a changelog line) may say so by having no parentheses with ids; only something
    # that was meant as ids and is none is a fault.
    faults = []
    group = _GROUP.search(text) or _GROUP.search(head.rstrip())
    if group and re.match(r"(?i)\s*AC\b", group.group(1)):
        detail = f"({group.group(1)[:60]}) is not a list of criteria as in (AC-1, AC-2)"
        faults.append(Finding("unknown_criterion", detail, item.line, name))
    return WorkItem(name, text.strip(), (), item.line), faults
