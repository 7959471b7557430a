"""spec.md as a value: criteria with their proofs, acceptance blocks, KPIs.

    ## Acceptance criteria

    - AC-1: `paginate` returns no empty page after a full last page
      proof: accept
    - AC-2: the page size may not be zero
      proof: test tests/test_pager.py::test_zero_size

    ```accept id=AC-1 base=fail timeout=60
    python -m pytest -q tests/test_pager.py::test_full_last_page
    ```

    ## KPIs

    - no page in 10,000 generated listings is empty

`scan_spec` reads what is there and lists every fault; `parse_spec` is for a judged spec and raises at the first fault.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from autopilot.evidence.argv import constant_outcome, parse_argv
from autopilot.evidence.findings import Finding, contract_error
from autopilot.evidence.markdown import Document, Fence, Item, parse_document
from autopilot.evidence.numbered import Numbering, read_numbered
from autopilot.evidence.paths import path_fault
from autopilot.kernel.errors import ContractError

NAME = "spec.md"
CRITERIA = "Acceptance criteria"
KPIS = "KPIs"
MAX_CRITERIA = 100
MAX_ACCEPTS = 100
MAX_TIMEOUT_SECONDS = 3_600
DEFAULT_TIMEOUT_SECONDS = 60

ProofKind = Literal["accept", "test", "human"]

_NUMBERING = Numbering(
    section=CRITERIA,
    prefix="AC",
    one="a criterion",
    several="criteria",
    most=MAX_CRITERIA,
    malformed="criterion_missing",
    repeated="criterion_duplicate",
    none="criterion_missing",
)

_PROOF = re.compile(r"[ \t]+(?:[-*] +)?proof:[ \t]*(.*)")
_ID = re.compile(r"AC-[1-9][0-9]{0,3}")
_NUMBER = re.compile(r"\d")


@dataclass(frozen=True, slots=True)
class Criterion:
    """One acceptance criterion. `tests` holds the named tests where the proof is `test`."""

    id: str
    text: str
    proof: ProofKind
    tests: tuple[str, ...] = ()
    line: int = 0


@dataclass(frozen=True, slots=True)
class AcceptBlock:
    """A command that proves criterion `id`. `base` is what it must do on the base tree."""

    id: str
    argv: tuple[str, ...]
    base: Literal["fail", "pass"] = "fail"
    timeout_seconds: int = DEFAULT_TIMEOUT_SECONDS
    line: int = 0


@dataclass(frozen=True, slots=True)
class Kpi:
    """One KPI as written."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Spec:
    """What a spec.md demands."""

    criteria: tuple[Criterion, ...]
    accepts: tuple[AcceptBlock, ...]
    kpis: tuple[Kpi, ...]

    @property
    def ids(self) -> frozenset[str]:
        """The ids of the criteria."""
        return frozenset(criterion.id for criterion in self.criteria)


@dataclass(frozen=True, slots=True)
class SpecScan:
    """What could be read, and everything wrong with it."""

    spec: Spec
    findings: tuple[Finding, ...]


def parse_spec(text: str) -> Spec:
    """The spec in `text`; ContractError with the first fault. Grounding is `rules.spec.check_spec`'s to judge."""
    scan = scan_spec(parse_document(text, name=NAME))
    if scan.findings:
        raise contract_error(NAME, scan.findings[0])
    return scan.spec


def scan_spec(document: Document) -> SpecScan:
    """Criteria, blocks and KPIs of `document`, with a finding for each fault."""
    criteria, faults = read_numbered(document, _NUMBERING, _criterion)
    accepts, block_faults = _read_accepts(document, frozenset(criterion.id for criterion in criteria))
    kpis, kpi_faults = _read_kpis(document)
    proofs = _unproved(criteria, accepts)
    spec = Spec(tuple(criteria), tuple(accepts), tuple(kpis))
    return SpecScan(spec, (*faults, *block_faults, *proofs, *kpi_faults))


def _criterion(name: str, head: str, item: Item) -> tuple[Criterion, list[Finding]]:
    text = [head]
    kinds: list[str] = []
    tests: list[str] = []
    faults: list[Finding] = []
    for line in item.rest:
        match = _PROOF.fullmatch(line.text.rstrip())
        if not match:
            text.append(line.text.strip())
            continue
        kind, _, rest = match.group(1).partition(" ")
        fault = _proof_fault(kind, rest.strip())
        if fault:
            faults.append(Finding("criterion_unproved", fault, line.number, name))
            continue
        kinds.append(kind)
        tests.extend([rest.strip()] if kind == "test" else [])
    if len(set(kinds)) > 1:
        faults.append(Finding("criterion_unproved", f"two kinds of proof: {', '.join(kinds)}", item.line, name))
    elif not kinds and not faults:
        detail = "no line `proof: accept`, `proof: test PATH::NAME` or `proof: human` below it"
        faults.append(Finding("criterion_unproved", detail, item.line, name))
    # Without a usable proof the criterion counts as a person's to judge; the finding refuses the spec anyway.
    proof: ProofKind = "accept" if kinds[:1] == ["accept"] else "test" if kinds[:1] == ["test"] else "human"
    shown = "\n".join(part for part in text if part)
    return Criterion(name, shown, proof, tuple(dict.fromkeys(tests)), item.line), faults


def _proof_fault(kind: str, rest: str) -> str:
    if kind in ("accept", "human"):
        return "" if not rest else f"`proof: {kind}` takes nothing behind it"
    if kind != "test":
        return f"{kind[:40]!r} is not a proof: accept, test PATH::NAME, or human"
    path, separator, name = rest.partition("::")
    if not separator or not name.strip() or len(rest) > 500:
        return f"{rest[:60]!r} is not a test: write PATH::NAME, as in tests/test_pager.py::test_full_page"
    return path_fault(path)


def _read_accepts(document: Document, ids: frozenset[str]) -> tuple[list[AcceptBlock], list[Finding]]:
    section = document.section(CRITERIA)
    inside = section.fences if section else ()
    blocks: list[AcceptBlock] = []
    faults: list[Finding] = []
    for fence in document.fences:
        if fence.info.split(" ")[0].casefold() != "accept":
            continue
        if fence not in inside:
            faults.append(Finding("accept_malformed", f"it stands outside '## {CRITERIA}'", fence.line))
            continue
        try:
            block = _accept(fence)
        except ContractError as error:
            faults.append(Finding("accept_malformed", error.detail, fence.line, remedy=error.remedy()))
            continue
        if block.id not in ids:
            faults.append(Finding("unknown_criterion", f"there is no criterion {block.id}", fence.line, block.id))
        blocks.append(block)
    if len(blocks) > MAX_ACCEPTS:
        faults.append(Finding("artifact_too_large", f"{len(blocks)} accept blocks, at most {MAX_ACCEPTS}"))
    return blocks[:MAX_ACCEPTS], faults


def _accept(fence: Fence) -> AcceptBlock:
    attributes = _attributes(fence.info)
    base = attributes.get("base", "fail")
    if base not in ("fail", "pass"):
        raise ContractError("accept_malformed", detail=f"base={base[:40]} is neither fail nor pass")
    timeout = attributes.get("timeout", str(DEFAULT_TIMEOUT_SECONDS))
    if not re.fullmatch(r"[0-9]{1,5}", timeout) or not 1 <= int(timeout) <= MAX_TIMEOUT_SECONDS:
        detail = f"timeout={timeout[:40]} is not a number of seconds from 1 to {MAX_TIMEOUT_SECONDS}"
        raise ContractError("accept_malformed", detail=detail)
    if not _ID.fullmatch(attributes.get("id", "")):
        raise ContractError("accept_malformed", detail="no id=AC-n in its first line")
    argv = parse_argv("\n".join(fence.body))
    constant = constant_outcome(argv)
    if constant:
        remedy = "name a command whose outcome depends on the work"
        raise ContractError("accept_malformed", detail=constant, remedy=remedy)
    return AcceptBlock(attributes["id"], argv, "pass" if base == "pass" else "fail", int(timeout), fence.line)


def _attributes(info: str) -> dict[str, str]:
    name, *words = info.split()
    if name != "accept":
        raise ContractError("accept_malformed", detail=f"write `accept`, not {name[:40]!r}")
    attributes: dict[str, str] = {}
    for word in words:
        key, separator, value = word.partition("=")
        if not separator or key not in ("id", "base", "timeout"):
            raise ContractError("accept_malformed", detail=f"{word[:40]!r} is not id=, base= or timeout=")
        if key in attributes:
            raise ContractError("accept_malformed", detail=f"{key}= stands twice")
        attributes[key] = value
    return attributes


def _unproved(criteria: list[Criterion], accepts: list[AcceptBlock]) -> list[Finding]:
    """Criteria that say `proof: accept` without a block that must fail on the base."""
    proving = {block.id for block in accepts if block.base == "fail"}
    checking = {block.id for block in accepts if block.base == "pass"}
    faults = []
    for criterion in criteria:
        if criterion.proof != "accept" or criterion.id in proving:
            continue
        detail = "it has no accept block that can be used"
        if criterion.id in checking:
            detail = "its only accept block is base=pass, which passes without the work"
        faults.append(Finding("criterion_unproved", detail, criterion.line, criterion.id))
    return faults


def _read_kpis(document: Document) -> tuple[list[Kpi], list[Finding]]:
    section = document.section(KPIS)
    if section is None:
        return [], [Finding("section_missing", f"there is no section '## {KPIS}'", item=KPIS)]
    kpis = []
    for item in section.items:
        text = "\n".join([item.head, *(line.text.strip() for line in item.rest)]).strip()
        kpis.append(Kpi(text, item.line))
    if not kpis:
        return [], [Finding("kpi_without_number", "there is no KPI: write `- text with a number`", section.line, KPIS)]
    faults = [
        Finding("kpi_without_number", f"{kpi.text[:60]!r} has no number", kpi.line, KPIS)
        for kpi in kpis
        if not _NUMBER.search(kpi.text)
    ]
    return kpis, faults
