"""The honest agent of the demo: writes what each phase asks for, does the work, and advances.

It is a script, not a model: what it writes is fixed, what the engine makes of it is not.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from autopilot.cli.demo.project import BUG, FIX, NEW_TEST, commit
from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import RefusedError
from autopilot.kernel.phases import PHASES, Phase
from autopilot.ledger.entry import LedgerEntry
from autopilot.sandbox.choose import probe
from autopilot.wiring.full import Workspace

TITLE = "Take the discount off once in shop pricing"
AGENT = Caller("agent-honest", "agent", "honest-1")
REVIEWER = Caller("agent-reviewer", "agent", "review-1")

STRATEGY = """# Strategy: take the discount off once

## Problem

`discounted` in `shop/pricing.py` subtracts the discount twice, so that ten percent off a price of 1000 cents gives 800
and a shopper who pays with a voucher of one hundred percent would be owed money.

## Objectives

- A discount is taken off exactly once, for every percentage from 0 to 100.

## Scope

The one expression in `discounted`, and a new test file beside `tests/test_pricing.py`.

## Non-goals

- No rounding rules beyond those the docstring of `discounted` promises, and no change to `basket`.

## Risks

- A caller may have learnt to halve its percentage; nothing in this repository does.
"""

SPEC = """# Spec: take the discount off once

## Acceptance criteria

- AC-1: a discount of ten percent makes `discounted` return 900 cents for 1000
  proof: accept
- AC-2: a discount of one hundred percent makes `discounted` return nothing to pay
  proof: test tests/test_discount.py::test_everything_off

```accept id=AC-1 base=fail timeout=60
python -c 'from shop.pricing import discounted; assert discounted(1000, 10) == 900'
```

## KPIs

- 0 totals below zero for percentages from 0 to 100
"""

PLAN = """# Plan: take the discount off once

## Work items

- W-1: a failing test of ten and of one hundred percent in `tests/test_discount.py` (AC-1, AC-2)
- W-2: `discounted` subtracts the discount a single time in `shop/pricing.py` (AC-1, AC-2)
"""

FILE_MAP = [
    {"path": "shop/pricing.py", "change": "modified", "why": "the discount is subtracted two times there"},
    {"path": "tests/test_discount.py", "change": "added", "why": "shows the defect and guards against its return"},
]

EDGE_CASES = """# Edge cases: take the discount off once

## Cases

- EC-1: a discount of zero percent must leave the total as it is
  mitigation: `tests/test_pricing.py` has that test already
- EC-2: one hundred percent must give exactly zero, never a negative total
  mitigation: `test_everything_off` in `tests/test_discount.py`
- EC-3: percentages over one hundred
  accepted: `discounted` never promised anything for them, and no caller passes one
"""

RUBRIC_NOTES = {
    "readability": "the expression in `shop/pricing.py` now says what its docstring says",
    "maintainability": "the factor is gone and nothing new has to be kept in step with `basket`",
    "performance": "one multiplication less for each call of `discounted`",
    "security": "no new input reaches the function and nothing is parsed or stored",
    "governance": "both changed files stand in the plan, and `tests/test_pricing.py` is untouched",
}

PR_TEXT = """# Take the discount off once

## Summary

`discounted` in `shop/pricing.py` took a discount off twice. It takes it off once now, and
`tests/test_discount.py` holds it.

## Risks

A caller that halved its percentage to make up for the defect would now give too little off. There is none here.

## Rollback

Revert the commit. No stored data depends on the result.
"""


@dataclass(slots=True)
class HonestAgent:
    """Takes one task through all nine phases. `fix=False` leaves the defect in, and only adds the new test."""

    workspace: Workspace
    task: str
    repository: Path
    caller: Caller = AGENT
    reviewer: Caller = REVIEWER
    fix: bool = True
    planned: tuple[dict[str, str], ...] = ()
    moves: list[LedgerEntry] = field(default_factory=list)

    def open(self) -> None:
        """Open the task."""
        self.workspace.tasks.open(self.task, title=TITLE, profile="code-change", caller=self.caller)

    def run(self, until: Phase | None = None, human: Callable[[str, RefusedError], None] | None = None) -> None:
        """Work and advance, phase after phase, up to and into `until` (None: to the end).

        `human` is asked when a move waits for a person, and the move is then tried again once.
        """
        for phase in PHASES:
            if self.workspace.tasks.show(self.task).stage != phase:
                continue
            if phase is until:
                return
            self.prepare(phase)
            self.advance(phase, human)

    def advance(self, phase: Phase, human: Callable[[str, RefusedError], None] | None = None) -> LedgerEntry:
        """One move, as whoever works in the phase."""
        caller = self.reviewer if phase is Phase.REVIEW else self.caller
        if phase is Phase.PLAN and human is not None and probe().bubblewrap is None:
            self._have_accept_blocks_read(human)
        try:
            entry: LedgerEntry = self.workspace.enforcer.advance_phase(self.task, caller=caller)
        except RefusedError as refusal:
            if human is None or refusal.verdict.exit_code != 4:
                raise
            human(self.task, refusal)
            entry = self.workspace.enforcer.advance_phase(self.task, caller=caller)
        self.moves.append(entry)
        # Out of REVIEW the reviewer hands the task back.
        if phase is Phase.REVIEW:
            self.workspace.leases.release(self.task, caller=self.reviewer)
        return entry

    def _have_accept_blocks_read(self, human: Callable[[str, RefusedError], None]) -> None:
        """Without isolation they wait for a person. `verify` asks, and keeps what it ran; a refused move would not."""
        verdict = self.workspace.enforcer.verify(self.task, caller=self.caller).verdict
        if verdict.exit_code == 4:
            human(self.task, RefusedError(verdict))

    def prepare(self, phase: Phase) -> None:
        """Do the phase's work: write its documents, or the change itself."""
        documents = {
            Phase.STRATEGIZE: {"strategy.md": STRATEGY},
            Phase.SPEC: {"spec.md": SPEC},
            Phase.PLAN: {"plan.md": PLAN, "file_map.json": json.dumps([*FILE_MAP, *self.planned], indent=2)},
            Phase.THINK: {"edge_cases.md": EDGE_CASES},
            Phase.REVIEW: {"review_rubric.json": self._rubric()},
        }
        if phase is Phase.IMPLEMENT:
            self.implement()
        elif phase is Phase.PR:
            head = commit(self.repository, TITLE)
            self.write(phase, "pr_url.txt", f"main@{head}\n")
            self.write(phase, "pr_template_filled.md", PR_TEXT)
        elif phase is Phase.MONITOR:
            self.write(phase, "deployment_status.json", self._deployment())
        for name, text in documents.get(phase, {}).items():
            self.write(phase, name, text)

    def implement(self) -> None:
        """The change: the new test, and (unless left out on purpose) the fix."""
        (self.repository / "tests" / "test_discount.py").write_text(NEW_TEST)
        if self.fix:
            source = self.repository / "shop" / "pricing.py"
            source.write_text(source.read_text().replace(BUG, FIX))

    def write(self, phase: Phase, name: str, text: str) -> Path:
        """Put a document into the phase's evidence folder."""
        folder = self.workspace.state_dir / "evidence" / self.task / phase.folder
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / name
        path.write_text(text)
        return path

    def _rubric(self) -> str:
        return json.dumps(
            {
                "dimensions": {
                    name: {"verdict": "pass", "score": 90, "note": note} for name, note in RUBRIC_NOTES.items()
                },
                "docs_checked": ["README.md"],
                "false_positive_risks": [
                    "`test_ten_percent_off` could pass by a constant; `test_everything_off` rules that out"
                ],
                "reviewer": {"actor": self.reviewer.actor, "session": self.reviewer.session},
            },
            indent=2,
        )

    def _deployment(self) -> str:
        head = self.workspace.repository.head_commit() or ""
        return json.dumps(
            {
                "status": "not_applicable",
                "environment": "none",
                "commit": head,
                "note": "the shop of the demo is deployed nowhere; the smoke test imports shop from the judged tree",
            },
            indent=2,
        )
