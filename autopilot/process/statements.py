"""What a task's lines amount to for others: the moves that stand, each held against the sealed bytes.

A move stands until a backtrack retires its phase. Moves that were retired are not told: what they say was true and
counts no longer, and a reader who finds one `PASSED` must be able to rely on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from autopilot.evidence.values.tests import TestResults
from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.kernel.phases import PHASES, Phase, Terminal
from autopilot.ledger.entry import ArtifactRef, LedgerEntry
from autopilot.process.engine import Engine
from autopilot.supplychain.predicates import LineRef, PhaseMove, SealedArtifact, TestRun, statements_of
from autopilot.supplychain.statement import Statement

_TESTS = "test_results.json"


@dataclass(frozen=True, slots=True)
class PhaseStatements:
    """All statements of one phase."""

    move: PhaseMove
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class _Opened:
    """What holds for a task's moves from its opening on, or from a change of it."""

    profile: str
    base_tree: str
    config: str
    entered: str
    judged_tree: str = ""


class StatementDesk:
    """Reads a task's moves off the ledger, and makes statements of them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of_task(self, task_id: str, *, ledger_origin: str, stop: int) -> tuple[PhaseStatements, ...]:
        """The statements of every phase that the task left and that stands, in the order of the phases.

        Only lines before `stop` are looked at. ContractError `unknown_task`, or `nothing_to_state` where no phase was
        left; IntegrityError `object_missing` or `evidence_edited` where an object is not what the line says, and for a
        line that is not as the engine writes them.
        """
        task = self._engine.task(self._engine.store.view().state, task_id)
        standing: dict[str, PhaseMove] = {}
        for move, retired in self._moves(task.id, task.opened_seq, stop, ledger_origin):
            for phase in retired:
                standing.pop(phase, None)
            if move is not None:
                standing[move.origin] = move
        if not standing:
            raise ContractError("nothing_to_state", where=task_id, detail=f"{task_id} is in {task.stage}")
        return tuple(self._told(standing[phase]) for phase in map(str, PHASES) if phase in standing)

    def _moves(
        self, task_id: str, start: int, stop: int, ledger_origin: str
    ) -> Iterator[tuple[PhaseMove | None, tuple[str, ...]]]:
        """Each move of the task forward, and for each move back the phases that it retired."""
        held: _Opened | None = None
        for entry in self._engine.store.entries(start, stop):
            if entry.task != task_id:
                continue
            if entry.kind == "task.opened":
                held = _opened(entry)
            elif held is None:
                continue
            elif entry.kind == "phase.backtrack":
                judged = "" if str(Phase.IMPLEMENT) in entry.data["retired"] else held.judged_tree
                held = _Opened(held.profile, held.base_tree, held.config, entry.ts, judged)
                yield None, tuple(entry.data["retired"])
            elif entry.kind == "phase.transition" or entry.data.get("outcome") == Terminal.CLOSED:
                judged = entry.data.get("judged_tree") or held.judged_tree
                config = entry.data.get("config") or held.config
                move = _move(entry, _Opened(held.profile, held.base_tree, config, held.entered, judged), ledger_origin)
                held = _Opened(held.profile, held.base_tree, config, entry.ts, judged)
                yield move, ()

    def _told(self, move: PhaseMove) -> PhaseStatements:
        try:
            return PhaseStatements(move, statements_of(move, self._held(move)))
        except ContractError as error:
            # No input of the caller's: the line, or what it names, is not what the engine writes.
            where = f"line {move.line.seq} {error.where}".rstrip()
            raise IntegrityError(error.code, where=where, detail=error.detail) from None

    def _held(self, move: PhaseMove) -> TestRun | None:
        """Hold every object that the move names against its digest; the test run among them, if there is one."""
        place = f"line {move.line.seq}"
        self._object(move.config, f"{place} configuration")
        if move.journal:
            self._object(move.journal, f"{place} journal")
        tests: TestRun | None = None
        for artifact in move.artifacts:
            data = self._object(artifact.sha256, f"{place} {move.origin}/{artifact.name}")
            if move.origin == Phase.VERIFY and artifact.name == _TESTS:
                tests = _test_run(data)
        return tests

    def _object(self, sha256: str, where: str) -> bytes:
        try:
            return self._engine.store.objects.get(sha256)
        except IntegrityError as error:
            # The line, and the object's place: one digest may be named by several lines.
            detail = f"{sha256}: {error.detail or 'no such object'}"
            raise IntegrityError(error.code, where=where, detail=detail, remedy=error.remedy()) from None


def _opened(entry: LedgerEntry) -> _Opened:
    data = entry.data
    return _Opened(data["profile"], data["base_tree"], data["config"], entry.ts)


def _move(entry: LedgerEntry, held: _Opened, ledger_origin: str) -> PhaseMove:
    try:
        return _read_move(entry, held, ledger_origin)
    except (KeyError, TypeError, AttributeError) as error:
        # It is chained, so somebody wrote it on purpose; nothing is signed of what cannot be read.
        detail = f"no move as the engine writes it: {error!r}"
        raise IntegrityError("bad_ledger_json", where=f"line {entry.seq}", detail=detail) from None


def _read_move(entry: LedgerEntry, held: _Opened, ledger_origin: str) -> PhaseMove:
    (origin, target), data, lease = entry.move, entry.data, entry.lease
    return PhaseMove(
        line=LineRef(ledger_origin, entry.seq, entry.hash),
        task=str(entry.task),
        profile=held.profile,
        origin=origin,
        target=target,
        epoch=entry.epoch or 0,
        actor=entry.actor,
        lease=None if lease is None else (lease.resource, lease.fence),
        prompt=entry.prompt,
        prompt_status=data["attestation"]["status"],
        observed=tuple(data["gate"]["observed"]),
        approvals=tuple(data["approvals"]),
        artifacts=tuple(_artifact(ref, data["bindings"].get(ref.name, {})) for ref in entry.artifacts),
        base_tree=held.base_tree,
        judged_tree=held.judged_tree,
        config=held.config,
        journal=data["journal"],
        # A line of before the mode was recorded claims the least.
        trust_mode=data.get("trust_mode", 0),
        started=held.entered,
        finished=entry.ts,
    )


def _artifact(ref: ArtifactRef, bound: dict[str, str]) -> SealedArtifact:
    return SealedArtifact(
        name=ref.name,
        sha256=ref.sha256,
        bytes=ref.bytes,
        media_type=ref.media_type,
        origin=ref.origin,
        isolation=bound.get("isolation", ""),
        tree=bound.get("tree", ""),
    )


def _test_run(data: bytes) -> TestRun | None:
    """The run as its sealed record has it; None where the command was not configured, or left no report."""
    results = TestResults.from_json(data)
    if results.run is None or results.report != "read":
        return None
    outcomes = results.outcomes()
    depended = (("executable", results.run.executable_sha256), ("dependencies", results.run.deps_sha256))
    return TestRun(
        report=_TESTS,
        passed=tuple(sorted(name for name, outcome in outcomes.items() if outcome == "passed")),
        warned=tuple(sorted(name for name, outcome in outcomes.items() if outcome in ("skipped", "xfailed"))),
        failed=results.failing(),
        depended=tuple((name, digest) for name, digest in depended if digest),
    )
