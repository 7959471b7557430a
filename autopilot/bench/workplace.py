"""A governed repository made for measuring: one source file, one task, documents that pass their content rules.

The task's profile is `small-change` with one difference: STRATEGIZE is left with two documents. Its move therefore
seals two new artifacts and runs nothing of the project, which is what the budget for a full transition is about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from autopilot.kernel.callers import Caller
from autopilot.kernel.clock import SystemClock
from autopilot.kernel.files import DiskFiles
from autopilot.kernel.phases import Phase
from autopilot.ledger.entry import LedgerEntry
from autopilot.process.fold import ProcessFold
from autopilot.process.profiles import SMALL_CHANGE, ArtifactContract, ProcessProfile
from autopilot.sandbox.plain import PlainRunner
from autopilot.sandbox.run import CommandSpec
from autopilot.storage.files.creation import Genesis, create_store
from autopilot.storage.files.store import StoreParts
from autopilot.vcs.repository import Repository
from autopilot.version import VERSION
from autopilot.wiring.full import Outside, Workspace

TASK = "BENCH-1"
AGENT = Caller("agent-bench", "agent", "bench-1")
PROMPT = b"You take the discount off once, and you show that it was wrong before.\n" * 462
"""A prompt of a little more than 32,000 bytes."""

_SETTINGS = '[commands.test]\nargv = ["python", "-m", "pytest", "--junitxml={report}"]\n'
_SOURCE = 'def discounted(total, percent):\n    """The total less `percent` per cent."""\n    return total\n'
_STRATEGY = """# Strategy: take the discount off once

## Problem

`discounted` in `shop/pricing.py` ignores the discount, so that ten percent off a price of 1000 cents gives 1000 and
shopper %d pays the full price with a voucher of one hundred percent.

## Objectives

- A discount is taken off exactly once, for every percentage from 0 to 100.

## Scope

The one expression in `discounted`, and a new test file beside `shop/pricing.py`.

## Non-goals

- No rounding rules beyond those the docstring of `discounted` promises.

## Risks

- A caller may have learnt to lower its own totals; nothing in this repository does.
"""
_EDGE_CASES = """# Edge cases: take the discount off once

## Cases

- EC-1: a discount of zero percent must leave the total %d as it is
  mitigation: a test of `discounted` in `shop/pricing.py` with zero percent
- EC-2: one hundred percent must give exactly zero, never a negative total
  mitigation: a test of `discounted` with one hundred percent
- EC-3: percentages over one hundred
  accepted: `discounted` never promised anything for them, and no caller passes one
"""


class Workplace:
    """The repository, its workspace, and one task in STRATEGIZE, its lease held and its prompt attested."""

    def __init__(self, folder: Path, *, files: DiskFiles | None = None) -> None:
        self.root = folder
        (folder / "shop").mkdir(parents=True)
        (folder / "shop" / "pricing.py").write_text(_SOURCE)
        (folder / ".gitignore").write_text("/state/\n")
        (folder / "autopilot.toml").write_text(_SETTINGS)
        _git_init(folder)
        parts = StoreParts(folder / "state", ProcessFold(), files=files or DiskFiles())
        self.store = create_store(parts, Genesis(AGENT, f"autopilot {VERSION}"))
        self.workspace = Workspace(Repository.locate(folder), self.store, Outside(environ={}, clock=SystemClock()))
        self.workspace.tasks.open(TASK, title="Take the discount off once", profile=SMALL_CHANGE.name, caller=AGENT)
        self.workspace.engine.profiles = {SMALL_CHANGE.name: _two_documents(SMALL_CHANGE)}
        self.workspace.attestation.check(TASK, PROMPT, caller=AGENT)
        self._evidence = folder / "state" / "evidence" / TASK / Phase.STRATEGIZE.folder

    def prepare(self, number: int) -> None:
        """Write the two documents anew, with `number` in them: other bytes each time."""
        self._evidence.mkdir(parents=True, exist_ok=True)
        for name, text in documents(number).items():
            (self._evidence / name).write_bytes(text)

    def move(self, _number: int = 0) -> LedgerEntry:
        """The full transition, through the traced enforcer, as an agent calls it."""
        entry: LedgerEntry = self.workspace.enforcer.advance_phase(TASK, caller=AGENT)
        return entry

    def back(self, _number: int = 0) -> None:
        """Return to where `prepare` begins."""
        self.workspace.enforcer.backtrack(TASK, Phase.STRATEGIZE, reason="the next round", caller=AGENT)

    def close(self) -> None:
        """Give everything back."""
        self.workspace.close()


def documents(number: int) -> Mapping[str, bytes]:
    """The two documents of a move, by name."""
    return {"strategy.md": (_STRATEGY % number).encode(), "edge_cases.md": (_EDGE_CASES % number).encode()}


def _two_documents(profile: ProcessProfile) -> ProcessProfile:
    first = profile.contract(Phase.STRATEGIZE)
    second = ArtifactContract("edge_cases.md", rule="edge_cases.md")
    both = replace(first, artifacts=(*first.artifacts, second))
    return replace(profile, phases={**profile.phases, Phase.STRATEGIZE: both})


def _git_init(folder: Path) -> None:
    argv = ("/usr/bin/env", "git", "init", "-q", "-b", "main")
    result = PlainRunner().run(CommandSpec(argv=argv, cwd=folder, env={}, timeout_seconds=60, writable=(folder,)))
    if not result.succeeded:
        raise RuntimeError(f"git init: {result.output.decode('utf-8', 'replace')}")
