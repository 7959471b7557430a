"""The runners of the nine phases, and the desk that alone starts them.

A runner is started for a task that the ledger says is in its phase, in this epoch, under a fence that is not above the
current one. A ticket that the ledger does not bear out starts nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from autopilot.evidence.context import Rule
from autopilot.kernel.canonical import sha256_hex
from autopilot.kernel.errors import ContractError, TransitionRefusedError
from autopilot.kernel.phases import PHASES, Phase
from autopilot.kernel.placing import move_below
from autopilot.kernel.reasons import Reason, refused
from autopilot.process.engine import Engine
from autopilot.process.runners.bench import EXPORT_CAP_BYTES, Bench
from autopilot.process.runners.phases import PHASE_RUNNERS
from autopilot.process.runners.values import Collected, Ticket
from autopilot.process.site import Site
from autopilot.process.state import TaskState


class RunnerDesk:
    """Starts a phase's runner, and brings its files in and out of the evidence folders."""

    def __init__(self, engine: Engine, site: Site, rules: Mapping[str, Rule]) -> None:
        self._engine = engine
        self._site = site
        self._rules = rules

    def start(self, ticket: Ticket, *, execute: bool = True) -> Collected:
        """Run the phase's runner and return what it found; with `execute=False` no command of the project runs.

        TransitionRefusedError `lost_race` if the ledger does not bear the ticket out.
        """
        self._check(ticket)
        bench = Bench(self._engine, self._site, self._rules, ticket, execute=execute)
        misplaced = self.misplaced(ticket.task)
        if misplaced is not None:
            bench.fail(misplaced)
            # Nothing else is looked at: it would be the wrong files, and an approval would be asked for their diff.
            return bench.collected()
        self._finish_retirement(ticket)
        bench.check_sealed()
        bench.check_forgery()
        try:
            PHASE_RUNNERS[ticket.phase](bench)
        except ContractError as error:
            # What a runner cannot read is unmet, not a crash: a nested repository, a broken sealed document.
            for reason in error.reasons():
                bench.fail(reason)
        return bench.collected()

    def misplaced(self, task: TaskState) -> Reason | None:
        """Why the task cannot be worked on from here: it was opened in another worktree of the repository."""
        here = self._site.repository.worktree_id
        if here == task.worktree:
            return None
        return Reason("wrong_worktree", where=here, detail=f"the task was opened in worktree {task.worktree}")

    def export(self, task: TaskState, collected: Collected) -> None:
        """Put engine-made artifacts where people read them, and make the folder of the phase the task is in."""
        for ref in collected.sealed:
            if ref.origin != "asserted":
                self._write(task.id, task.stage.lower(), ref.name, self._engine.store.objects.get(ref.sha256))
        now = self._engine.store.view().state.tasks[task.id]
        if now.stage in Phase.__members__:
            self._engine.make_evidence_dir(task.id, now.stage.lower())

    def retire(self, task: TaskState, target: Phase) -> None:
        """Move the folders from `target` on to `.superseded/<epoch>/`. The ledger has retired them already."""
        home = f"evidence/{task.id}"
        for phase in PHASES[target.position :]:
            shelf = f"{home}/.superseded/{task.epoch}/{phase.folder}"
            move_below(self._engine.state_dir, f"{home}/{phase.folder}", shelf)
        self._engine.make_evidence_dir(task.id, target.folder)

    def _finish_retirement(self, ticket: Ticket) -> None:
        """Take away what a backtrack that was killed half way left of the retired epoch: nobody put it there.

        Only an engine-made file, byte for byte what was retired last, that no shelf has. Documents stay: they may be
        carried over.
        """
        task, folder = ticket.task, ticket.phase.folder
        home = self._engine.state_dir / "evidence" / task.id
        for contract in ticket.profile.contract(ticket.phase).artifacts if task.epoch else ():
            name = contract.name
            retired = task.retired.get(f"{ticket.phase}/{name}")
            if contract.origin == "asserted" or retired is None or any(home.glob(f".superseded/*/{folder}/{name}")):
                continue
            with suppress(ContractError):
                found = self._engine.read_evidence(f"{task.id}/{folder}/{name}", cap=EXPORT_CAP_BYTES)
                if sha256_hex(found) == retired:
                    shelf = f"evidence/{task.id}/.superseded/{task.epoch - 1}/{folder}/{name}"
                    move_below(self._engine.state_dir, f"evidence/{task.id}/{folder}/{name}", shelf)

    def _check(self, ticket: Ticket) -> None:
        view = self._engine.store.view()
        now = self._engine.task(view.state, ticket.task.id)
        if (now.stage, now.epoch) != (str(ticket.phase), ticket.task.epoch):
            detail = f"the ledger has the task in {now.stage}, epoch {now.epoch}"
            raise TransitionRefusedError(refused([Reason("lost_race", where=now.id, detail=detail)]))
        if ticket.fence > view.leases.fence_high(now.id):
            detail = f"fence {ticket.fence} was never granted"
            raise TransitionRefusedError(refused([Reason("lease_token_mismatch", where=now.id, detail=detail)]))

    def _write(self, task_id: str, folder: str, name: str, data: bytes) -> None:
        self._engine.place_evidence(f"{task_id}/{folder}/{name}", data)
