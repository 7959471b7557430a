"""The honest agent as a visitor: in a copy of somebody's repository it adds one passing test file, and nothing else.

The test holds a fact about the repository that is true now (that a file it names is there and not empty), so that it
fails on no honest repository, and its accept block fails on the base because the test file is not there yet.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from autopilot.cli.demo.honest import HonestAgent
from autopilot.cli.demo.project import commit
from autopilot.kernel.errors import ContractError
from autopilot.kernel.phases import Phase

TITLE = "Add a governed visit test"
NAME = "test_autopilot_visit.py"


@dataclass(slots=True)
class VisitingAgent(HonestAgent):
    """Adds one test file to a repository it does not know."""

    def open(self) -> None:
        """Open the task."""
        self.workspace.tasks.open(self.task, title=TITLE, profile="code-change", caller=self.caller)

    @property
    def folder(self) -> str:
        """Where the repository keeps its tests, as a prefix."""
        for name in ("tests", "testing", "test"):
            if (self.repository / name).is_dir():
                return f"{name}/"
        return ""

    @property
    def path(self) -> str:
        """The new test file."""
        return f"{self.folder}{NAME}"

    @property
    def witness(self) -> str:
        """A file of the repository that the documents and the test name."""
        known = self.workspace.site.trees.paths(self.workspace.tasks.show(self.task).base_tree)
        for candidate in ("README.md", "README.rst", "pyproject.toml", "setup.py", *known):
            if candidate in known and (self.repository / candidate).stat().st_size:
                return candidate
        raise ContractError("nothing_changed", detail="the repository has no file that is not empty", remedy="add one")

    def implement(self) -> None:
        """Write the test."""
        depth = self.path.count("/")
        up = f".parents[{depth}]"
        (self.repository / self.path).write_text(
            "from pathlib import Path\n\n\ndef test_the_witness_is_there():\n"
            f"    assert (Path(__file__).resolve(){up} / {self.witness!r}).read_bytes()\n"
        )

    def prepare(self, phase: Phase) -> None:
        """The phase's documents, about the one test file."""
        if phase is Phase.IMPLEMENT:
            self.implement()
        elif phase is Phase.PR:
            head = commit(self.repository, TITLE)
            branch = self.workspace.repository.branch()
            self.write(phase, "pr_url.txt", f"{branch}@{head}\n")
            self.write(phase, "pr_template_filled.md", self._pull_request())
        elif phase is Phase.MONITOR:
            self.write(phase, "deployment_status.json", self._deployment())
        for name, text in self._documents().get(phase, {}).items():
            self.write(phase, name, text)

    def _documents(self) -> dict[Phase, dict[str, str]]:
        test, witness = self.path, self.witness
        return {
            Phase.STRATEGIZE: {
                "strategy.md": f"""# Strategy: add a governed visit test

## Problem

Nobody has seen autopilot govern a change in this repository yet. A visit adds one small test beside `{witness}`.

## Objectives

- One test file more, collected and passing, and a ledger that shows how it came to be.

## Scope

One new test file only; `{witness}` is read by the test and stays as it is.

## Non-goals

- No change of any file that is there, and none of what `autopilot.toml` runs.

## Risks

- A runner that collects by other names would not see the governed test; VERIFY would then say so.
"""
            },
            Phase.SPEC: {
                "spec.md": f"""# Spec: add a governed visit test

## Acceptance criteria

- AC-1: the visit test is collected and passes, finding `{witness}` not empty
  proof: accept

```accept id=AC-1 base=fail timeout=300
python -m pytest -q -p no:cacheprovider {test}
```

## KPIs

- 1 test more than before
"""
            },
            Phase.PLAN: {
                "plan.md": f"# Plan: add a governed visit test\n\n## Work items\n\n- W-1: write `{test}`, which reads "
                f"`{witness}` and asserts that it is not empty (AC-1)\n",
                "file_map.json": json.dumps([{"path": test, "change": "added", "why": "holds the one visit test"}]),
            },
            Phase.THINK: {
                "edge_cases.md": f"""# Edge cases: add a governed visit test

## Cases

- EC-1: the visit test runs in a throw-away copy of the repository, not in the working tree
  mitigation: it finds `{witness}` by its own place, not by the working directory
- EC-2: somebody deletes `{witness}` later
  accepted: the test then fails, and its name says what it looked for
"""
            },
            Phase.REVIEW: {"review_rubric.json": self._rubric()},
        }

    def _rubric(self) -> str:
        notes = {
            "readability": f"one assertion about `{self.witness}`, named after what it looks for",
            "maintainability": f"`{self.path}` depends on nothing but the standard library",
            "performance": "it reads one small file and ends within milliseconds",
            "security": f"the test opens `{self.witness}` read-only and starts no other program",
            "governance": f"only `{self.path}` was added, as the plan says, and no pinned file was touched",
        }
        return json.dumps(
            {
                "dimensions": {name: {"verdict": "pass", "score": 85, "note": note} for name, note in notes.items()},
                "docs_checked": [self.witness],
                "false_positive_risks": [f"it would pass for any `{self.witness}` that is not empty, by intention"],
                "reviewer": {"actor": self.reviewer.actor, "session": self.reviewer.session},
            }
        )

    def _pull_request(self) -> str:
        return f"""# Add a governed visit test

## Summary

`{self.path}` is new: one test that reads `{self.witness}` and asserts that it is not empty.

## Risks

The test fails once `{self.witness}` is deleted or emptied. Nothing else depends on it.

## Rollback

Revert the commit, or delete `{self.path}`.
"""
