"""One of the racing processes: `python race_worker.py PLAN.json`. It writes down everything it was told.

It opens the repository itself and goes at the tasks in an order of its own (seeded): moves them, adds evidence,
checks its prompt, gives leases back so that others get their turn, and verifies the whole ledger. It stops when every
task has come to the phase the plan names, or its time is over.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError, RefusedError
from autopilot.wiring.full import Workspace
from crash import governed

SHARES = {"advance": 40, "evidence": 20, "attest": 10, "release": 20, "verify": 10}


@dataclass(frozen=True, slots=True)
class Plan:
    """What one worker is to do."""

    folder: Path
    documents: Path
    tasks: list[str]
    until: str
    actor: str
    session: str
    seed: str
    seconds: float
    log: Path
    by_cli: bool


class Worker:
    """Acts, and notes what came of it."""

    def __init__(self, plan: Plan, workspace: Workspace, log: TextIO) -> None:
        self._plan = plan
        self._workspace = workspace
        self._log = log
        self._chance = random.Random(plan.seed)
        self._caller = Caller(plan.actor, "agent", plan.session)
        self._acts: dict[str, Callable[[str], dict[str, Any]]] = {
            "advance": self._advance_by_cli if plan.by_cli else self._advance,
            "evidence": self._add_evidence,
            "attest": self._attest,
            "release": self._release,
            "verify": self._verify,
        }

    def run(self) -> None:
        """Until all tasks are there, or the time is over."""
        deadline = time.monotonic() + self._plan.seconds
        while time.monotonic() < deadline:
            stages = {task.id: task.stage for task in self._workspace.tasks.list()}
            open_tasks = [task for task in self._plan.tasks if stages[task] != self._plan.until]
            if not open_tasks:
                return
            self._act(self._chance.choice(open_tasks))

    def _act(self, task: str) -> None:
        name = self._chance.choices(list(SHARES), list(SHARES.values()))[0]
        try:
            told = self._acts[name](task)
        except RefusedError as error:
            told = {"codes": list(error.verdict.codes()), "exit": error.verdict.exit_code, "refused_seq": error.seq}
        self._log.write(json.dumps({"act": name, "task": task, "session": self._plan.session, **told}) + "\n")
        self._log.flush()

    def _advance(self, task: str) -> dict[str, Any]:
        entry = self._workspace.enforcer.advance_phase(task, caller=self._caller)
        return {"seq": entry.seq, "hash": entry.hash, "exit": 0}

    def _advance_by_cli(self, task: str) -> dict[str, Any]:
        answer = governed.autopilot(self._plan.folder, "advance", task, "--json", caller=self._caller)
        if answer.code:
            detail = answer.err if answer.code == 70 else ""
            return {
                "codes": answer.codes,
                "exit": answer.code,
                "refused_seq": answer.error.get("seq"),
                "detail": detail,
            }
        said = answer.acknowledged or {}
        return {"seq": said.get("seq"), "hash": said.get("hash"), "exit": 0}

    def _add_evidence(self, task: str) -> dict[str, Any]:
        stage = self._workspace.tasks.show(task).stage
        documents = sorted((self._plan.documents / stage.lower()).glob("*"))
        if not documents:
            return {"exit": 0}
        try:
            entry = self._workspace.evidence.add(task, self._chance.choice(documents), caller=self._caller)
        except ContractError as error:
            if error.code != "unknown_artifact":
                raise
            return {"exit": 0}  # The task moved on since it was asked: the document is none of its new phase.
        return {"seq": entry.seq, "hash": entry.hash, "exit": 0}

    def _attest(self, task: str) -> dict[str, Any]:
        # One prompt for all: drift is another test's matter.
        self._workspace.attestation.check(task, b"Take the discount off once.", caller=self._caller)
        return {"exit": 0}

    def _release(self, task: str) -> dict[str, Any]:
        self._workspace.leases.release(task, caller=self._caller)
        return {"exit": 0}

    def _verify(self, _task: str) -> dict[str, Any]:
        report = self._workspace.ledger.verify()
        return {"exit": 0 if report.intact else 3, "report": str(report)}


def main() -> int:
    """Run the plan named on the command line."""
    raw = json.loads(Path(sys.argv[1]).read_text())
    plan = Plan(**{**raw, **{name: Path(raw[name]) for name in ("folder", "documents", "log")}})
    with plan.log.open("w") as log, Workspace.open(plan.folder) as workspace:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        Worker(plan, workspace, log).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
