"""The approval desk: what waits for a person, and the person's answer.

A grant is bound to task, epoch, move and the digest of what it is about; the move that uses it consumes it in its
own line. Who asked, who does the work and who moves may not approve. In trust mode 0 the engine cannot prove who sat
at the terminal, and every grant says so (`advisory`).
"""

from __future__ import annotations

import secrets

from autopilot.approvals.grants import Terms, issue_grant
from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ApprovalRefusedError, ContractError
from autopilot.kernel.reasons import Reason, refused
from autopilot.ledger.entry import Draft, LedgerEntry
from autopilot.process.engine import Engine
from autopilot.process.judging import parties_of, subject_of
from autopilot.process.recording import Recording
from autopilot.process.state import ApprovalRequest, TaskState

_PREFIX_MIN = 8


class ApprovalDesk:
    """Lists what waits for a person and records the answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._recording = Recording(engine)

    def waiting(self, task_id: str) -> tuple[ApprovalRequest, ...]:
        """What was asked for and neither granted nor refused yet."""
        task = self._engine.task(self._engine.store.view().state, task_id)
        return tuple(request for key, request in task.requests.items() if key not in task.grants)

    def approve(self, task_id: str, subject: str, *, reason: str, caller: Caller) -> LedgerEntry:
        """Grant what `subject` (its digest, or 8 and more digits of it) names.

        ApprovalRefusedError for who may not approve or an unknown subject; ContractError without a reason.
        """
        task = self._engine.task(self._engine.store.view().state, task_id)
        try:
            return self._grant(task_id, subject, reason, caller)
        except ApprovalRefusedError as error:
            raise self._on_record(task, caller, error) from None

    def _grant(self, task_id: str, subject: str, reason: str, caller: Caller) -> LedgerEntry:
        with self._engine.store.transaction() as tx:
            task = self._engine.task(tx.state, task_id)
            request = _request(task, subject)
            terms = Terms(now=self._engine.clock.wall(), nonce=secrets.token_hex(16))
            parties = parties_of(task, request, Caller(request.requester, "agent", request.session))
            grant = issue_grant(subject_of(self._engine.store.ledger_id, task, request), caller, reason, parties, terms)
            data = {key: value for key, value in grant.as_data().items() if key != "approver"}
            return tx.append(Draft(kind="approval.granted", caller=caller, task=task_id, epoch=task.epoch, data=data))

    def reject(self, task_id: str, subject: str, *, reason: str, caller: Caller) -> LedgerEntry:
        """Refuse what `subject` names; a grant already given is withdrawn."""
        if not reason.strip():
            raise ContractError("reason_missing", where="--reason", detail="why is it refused?")
        if caller.kind != "human":
            task = self._engine.task(self._engine.store.view().state, task_id)
            verdict = refused([Reason("human_only", detail="refusing an approval")])
            raise self._on_record(task, caller, ApprovalRefusedError(verdict))
        with self._engine.store.transaction() as tx:
            task = self._engine.task(tx.state, task_id)
            request = _request(task, subject)
            data = {"subject_sha256": request.subject, "reason": reason.strip()}
            return tx.append(Draft(kind="approval.refused", caller=caller, task=task_id, epoch=task.epoch, data=data))

    def _on_record(self, task: TaskState, caller: Caller, error: ApprovalRefusedError) -> ApprovalRefusedError:
        """Record who tried to approve and may not. A subject that nobody asked about is a slip, and is not recorded."""
        if error.code == "unknown_subject":
            return error
        return ApprovalRefusedError(error.verdict, seq=self._recording.usurped(task, caller, error.verdict))


def _request(task: TaskState, subject: str) -> ApprovalRequest:
    found = [request for key, request in task.requests.items() if key.startswith(subject)]
    if len(subject) < _PREFIX_MIN or len(found) != 1:
        detail = "nothing waits under this subject" if not found else "the digits name more than one subject"
        raise ApprovalRefusedError(refused([Reason("unknown_subject", where=subject[:64], detail=detail)]))
    return found[0]
