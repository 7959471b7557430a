"""The evidence desk: seals what an agent hands in, lists and shows what is sealed, restores and exports it.

What is handed in is asserted, whatever it says of itself. A file under the name of an engine-made artifact is refused
(`evidence_rank`): no agent can hand in what the engine must have seen.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from autopilot.kernel import events
from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError, LeaseRefusedError, RefusedError, TransitionRefusedError
from autopilot.kernel.files import read_regular
from autopilot.kernel.ids import parse_artifact_name
from autopilot.kernel.phases import Phase, Terminal
from autopilot.kernel.placing import place_file
from autopilot.kernel.reason_codes import Standing
from autopilot.kernel.reasons import Reason, refused
from autopilot.leases.terms import Claim
from autopilot.ledger.entry import ArtifactRef, Draft, LedgerEntry
from autopilot.process.admission import by_mode
from autopilot.process.desks.leasing import LeaseDesk, claim_of
from autopilot.process.engine import Engine, about
from autopilot.process.fold import evidence_at_end
from autopilot.process.graph import Move
from autopilot.process.profiles import ORIGIN_RANK
from autopilot.process.recording import Recording, shown_reasons
from autopilot.process.runners.bench import ASSERTED_CAP_BYTES
from autopilot.process.state import Evidence, TaskState


@dataclass(frozen=True, slots=True)
class Exported:
    """A sealed artifact written to disk."""

    path: Path
    sha256: str


class EvidenceDesk:
    """Seals, lists, shows and exports evidence."""

    def __init__(self, engine: Engine, leases: LeaseDesk) -> None:
        self._engine = engine
        self._leases = leases
        self._recording = Recording(engine)

    def add(
        self, task_id: str, path: Path, *, caller: Caller, name: str = "", lease: Claim | None = None
    ) -> LedgerEntry:
        """Seal the file as the current phase's artifact `name` (default: the file's own name), asserted.

        RefusedError `evidence_rank` for engine-made artifacts, and lease reasons, both on record; ContractError for a
        file that is not a plain one, or a name the phase's contract does not have.
        """
        return self._add(task_id, name or path.name, lambda: self._handed_in(path), caller, lease)

    def add_bytes(
        self, task_id: str, name: str, data: bytes, *, caller: Caller, lease: Claim | None = None
    ) -> LedgerEntry:
        """As `add`, with the bytes themselves: for a caller whose files the engine does not read."""

        def handed_in() -> bytes:
            if len(data) > ASSERTED_CAP_BYTES:
                raise ContractError("artifact_too_large", where=name[:80], detail=f"over {ASSERTED_CAP_BYTES} bytes")
            return data

        return self._add(task_id, name, handed_in, caller, lease)

    def _add(
        self, task_id: str, name: str, read: Callable[[], bytes], caller: Caller, lease: Claim | None
    ) -> LedgerEntry:
        task = self._engine.task(self._engine.store.view().state, task_id)
        if isinstance(task.phase, Terminal):
            raise self._refused(task, caller, (Reason("task_closed", detail=f"the task is {task.stage}"),))
        artifact = parse_artifact_name(name)
        contract = self._engine.profile(task).contract(Phase(task.stage)).artifact(artifact)
        if ORIGIN_RANK[contract.origin] > 0:
            detail = f"{artifact} is {contract.origin} evidence: the engine makes it itself"
            raise self._refused(task, caller, (Reason("evidence_rank", where=artifact, detail=detail),))
        data = read()
        modes = self._engine.modes(self._engine.store.view().state)
        problems, _ = by_mode(self._leases.ensure(task, caller, lease), modes)
        if problems:
            raise self._refused(task, caller, problems)
        ref = ArtifactRef(artifact, self._engine.store.objects.put(data), len(data), contract.media_type, "asserted")
        entry = self._append(task, ref, caller, claim_of(caller, lease))
        self._engine.project(lambda: self._place(task, artifact, data))
        self._engine.emit(
            [
                events.EvidenceAdded(
                    **about(task, caller, entry.seq),
                    artifact=artifact,
                    sha256=ref.sha256,
                    origin="asserted",
                )
            ]
        )
        return entry

    def list(self, task_id: str) -> tuple[Evidence, ...]:
        """The sealed evidence of the current epoch (of an ended task: of its last), in the order it was sealed."""
        view = self._engine.store.view()
        task = self._engine.task(view.state, task_id)
        sealed: Mapping[str, Evidence] = task.evidence
        if isinstance(task.phase, Terminal):
            sealed = evidence_at_end(self._engine.store.entries(task.opened_seq, view.head.seq + 1), task.id)
        return tuple(sorted(sealed.values(), key=lambda item: (item.seq, item.name)))

    def show(self, task_id: str, name: str, *, phase: str = "") -> tuple[Evidence, bytes]:
        """One sealed artifact and its bytes; ContractError `artifact_missing` if there is none."""
        for item in reversed(self.list(task_id)):
            if item.name == name and (not phase or item.phase == phase.upper()):
                return item, self._engine.store.objects.get(item.sha256)
        raise ContractError("artifact_missing", where=name, detail=f"{task_id} has no sealed {name}")

    def export(self, task_id: str, target: Path | None = None) -> tuple[Exported, ...]:
        """Write every sealed artifact to `target` (default: back to its place below state/evidence).

        IntegrityError `state_linked` where a link stands in the place of a folder below either.
        """
        root = self._engine.state_dir / "evidence" if target is None else target
        done: list[Exported] = []
        for item in self.list(task_id):
            data = self._engine.store.objects.get(item.sha256)
            relative = f"{task_id}/{item.phase.lower()}/{item.name}"
            if target is None:
                self._engine.place_evidence(relative, data)
            else:
                place_file(target, relative, data)
            done.append(Exported(root / relative, item.sha256))
        return tuple(done)

    def _handed_in(self, path: Path) -> bytes:
        """The file's bytes. Below the state directory no link is followed; elsewhere folders are the caller's own."""
        state, given = self._engine.state_dir, Path(os.path.abspath(path))  # noqa: PTH100 - resolve() follows links
        if given.is_relative_to(state):
            return read_regular(state, given.relative_to(state).as_posix(), cap=ASSERTED_CAP_BYTES)
        return read_regular(path.parent.resolve(), path.name, cap=ASSERTED_CAP_BYTES)

    def _append(self, task: TaskState, ref: ArtifactRef, caller: Caller, claim: Claim) -> LedgerEntry:
        with self._engine.store.transaction() as tx:
            now_task = self._engine.task(tx.state, task.id)
            if (now_task.stage, now_task.epoch) != (task.stage, task.epoch):
                lost = Reason("lost_race", where=task.id, detail=f"the task is in {now_task.stage} now")
                reasons: tuple[Reason, ...] = (lost,)
            else:
                footing = self._leases.standing(tx, now_task, claim)
                reasons = footing.refusing
            if not reasons:
                return tx.append(
                    Draft(
                        kind="evidence.added",
                        caller=caller,
                        task=task.id,
                        phase=None,
                        epoch=task.epoch,
                        lease=footing.lease,
                        artifacts=(ref,),
                        data={"phase": task.stage, "bindings": {}, "observed": shown_reasons(footing.observed)},
                    )
                )
        raise self._refused(task, caller, reasons)

    def _refused(self, task: TaskState, caller: Caller, reasons: Iterable[Reason]) -> RefusedError:
        """The error to raise; the refusal is on the ledger by then."""
        verdict = refused(reasons)
        origin = task.phase
        move = Move("forward", origin, Terminal.CLOSED if isinstance(origin, Terminal) else origin.following)
        seq = self._recording.refusal(task, move, caller, verdict)
        kind = LeaseRefusedError if verdict.exit_code == Standing.LEASE.exit_code else TransitionRefusedError
        return kind(verdict, seq=seq)

    def _place(self, task: TaskState, name: str, data: bytes) -> None:
        """The file in the phase's folder is what was sealed, wherever it was handed in from."""
        self._engine.place_evidence(f"{task.id}/{task.stage.lower()}/{name}", data)
