"""The attestation desk: submits a prompt to its baseline, and moves a baseline on purpose.

What is attested is the digest of the exact bytes. Drift is recorded and counted in every phase; where the phase's
severity is `error` it refuses the move until the attested prompt is used again or a person changes the baseline.
"""

from __future__ import annotations

from autopilot.attestation.baselines import Baseline, changed_baseline, prompt_digest
from autopilot.attestation.drift import Attestation, Question, Severity, attest, effective_severity
from autopilot.kernel import events
from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError, LeaseRefusedError, RefusedError, TransitionRefusedError
from autopilot.kernel.phases import Phase, Terminal
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.ledger.entry import Draft, LedgerEntry
from autopilot.process.engine import Engine, about
from autopilot.process.recording import Recording
from autopilot.process.state import TaskState


class AttestationDesk:
    """Holds prompts against baselines."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._recording = Recording(engine)

    def check(self, task_id: str, prompt: bytes, *, caller: Caller) -> Attestation:
        """Attest the prompt for the task's current phase; the first one sets the baseline. Always recorded."""
        digest = prompt_digest(prompt)
        verdict: Verdict | None = None
        with self._engine.store.transaction() as tx:
            task = _open(self._engine.task(tx.state, task_id))
            held = tx.leases.held(task.id)
            now = tx.leases.not_before(self._engine.now())
            if held is not None and held.holder.session != caller.session and not held.ran_out(now):
                # Another session's prompt says nothing of the holder's, and must not be able to block it.
                detail = f"{held.holder.caller.actor} works on {held.resource}"
                verdict = Verdict((Reason("lease_held", where=held.resource, detail=detail),))
            else:
                answer = attest(self._question(task, digest), _baseline(task))
                entry = tx.append(_line(task, answer, digest, caller))
        if verdict is not None:
            raise LeaseRefusedError(verdict, seq=self._recording.contention(task, caller, verdict))
        self._engine.emit(
            [
                events.PromptAttested(
                    **about(task, caller, entry.seq),
                    sha256=digest,
                    drift=answer.drift,
                    severity=answer.question.severity.word,
                )
            ]
        )
        return answer

    def change_baseline(self, task_id: str, prompt: bytes, *, reason: str, caller: Caller) -> LedgerEntry:
        """Make this prompt the baseline of the current phase: a person's recorded decision.

        RefusedError `human_only`, on record, for anybody else.
        """
        task = self._engine.task(self._engine.store.view().state, task_id)
        try:
            return self._change(task_id, prompt_digest(prompt), reason, caller)
        except RefusedError as error:
            if error.code != "human_only":
                raise
            seq = self._recording.usurped(task, caller, error.verdict)
            raise RefusedError(error.verdict, seq=seq) from None

    def _change(self, task_id: str, digest: str, reason: str, caller: Caller) -> LedgerEntry:
        with self._engine.store.transaction() as tx:
            task = _open(self._engine.task(tx.state, task_id))
            known = _baseline(task)
            if known is None:
                raise ContractError(
                    "prompt_unattested",
                    where=task.id,
                    detail="the phase has no baseline yet",
                    remedy=f"run `autopilot attest check {task.id} --prompt FILE`: the first prompt sets it",
                )
            after = changed_baseline(known, digest, reason=reason, caller=caller)
            return tx.append(
                Draft(
                    kind="prompt.baseline_changed",
                    caller=caller,
                    task=task.id,
                    epoch=task.epoch,
                    prompt=digest,
                    data=after.as_data(),
                )
            )

    def standing(self, task: TaskState) -> tuple[Reason, ...]:
        """Why the prompts seen in the task's phase forbid to leave it."""
        known = task.prompts.get(task.stage)
        answer = attest(self._question(task, known.last if known else None), _baseline(task))
        return answer.reasons

    def _question(self, task: TaskState, digest: str | None) -> Question:
        phase = Phase(task.stage)
        contract = self._engine.profile(task).contract(phase)
        sealed = Severity[self._engine.sealed_settings(task).severity(phase).upper()]
        requested = Severity[self._engine.settings.severity(phase).upper()]
        return Question(task.id, phase, digest, effective_severity(phase, sealed, requested), contract.prompt_required)


def _line(task: TaskState, answer: Attestation, digest: str, caller: Caller) -> Draft:
    kind = "prompt.drift" if answer.drift else "prompt.attested"
    return Draft(kind=kind, caller=caller, task=task.id, epoch=task.epoch, prompt=digest, data=answer.as_data())


def _baseline(task: TaskState) -> Baseline | None:
    known = task.prompts.get(task.stage)
    return None if known is None else Baseline(task.id, Phase(task.stage), known.baseline, known.version)


def _open(task: TaskState) -> TaskState:
    if isinstance(task.phase, Terminal):
        raise TransitionRefusedError(Verdict((Reason("task_closed", detail=f"the task is {task.stage}"),)))
    return task
