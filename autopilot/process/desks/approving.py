"""The approval desk: what waits for a person, and the person's answer.

A grant is bound to task, epoch, move and the digest of what it is about; the move that uses it consumes it in its
own line. Who asked, who does the work and who moves may not approve.

A grant comes in at one of two doors. `approve` takes the caller's word: in trust mode 0 the engine cannot prove who sat
at the terminal, and the grant says so (`advisory`). `bring` takes a grant that a registered key signed: whoever brings
it, the signature is what counts, and it counts for one subject, one time, until it ends. Where the sealed configuration
requires signatures the first door is closed.
"""

from __future__ import annotations

from autopilot.approvals.grants import Grant, Register, Terms, issue_grant
from autopilot.approvals.requests import Asked
from autopilot.approvals.signatures import Signers, read_grant
from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ApprovalRefusedError, ContractError
from autopilot.kernel.reasons import Reason, refused
from autopilot.ledger.entry import Draft, LedgerEntry
from autopilot.process.engine import Engine
from autopilot.process.judging import Present, check_given, evidence_of, parties_of, subject_of
from autopilot.process.ports import Transaction
from autopilot.process.recording import Recording
from autopilot.process.state import ApprovalRequest, TaskState

_PREFIX_MIN = 8
_HARMLESS = frozenset({"signature_needed", "approval_expired"})


class ApprovalDesk:
    """Lists what waits for a person and records the answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._recording = Recording(engine)

    def waiting(self, task_id: str) -> tuple[ApprovalRequest, ...]:
        """What was asked for and neither granted nor refused yet."""
        task = self._engine.task(self._engine.store.view().state, task_id)
        return tuple(request for key, request in task.requests.items() if key not in task.grants)

    def signers(self) -> Signers:
        """Whose signatures count now, and whether an approval without one does."""
        return self._engine.signers(self._engine.store.view().state)

    def named(self) -> tuple[str, ...]:
        """The approvers' keys that the file names, whether they count or not."""
        return self._engine.settings.approvals.approvers

    def asked(self, task_id: str, subject: str) -> Asked:
        """What a person would sign to grant what `subject` names; ApprovalRefusedError `unknown_subject`."""
        task = self._engine.task(self._engine.store.view().state, task_id)
        request = _request(task, subject)
        return Asked(
            subject=subject_of(self._engine.store.ledger_id, task, request),
            evidence=evidence_of(task, request.move),
            requester=Caller(request.requester, "agent", request.session),
            why=request.why,
            title=task.title,
        )

    def bring(self, task_id: str, data: bytes, *, caller: Caller) -> LedgerEntry:
        """Put a signed grant on the ledger. Anybody may: what counts is whose key signed it, and for what.

        ContractError `malformed_grant`; ApprovalRefusedError for a grant that is for something else, over, recorded
        before, or signed by nobody who may sign.
        """
        grant = read_grant(data)
        task = self._engine.task(self._engine.store.view().state, task_id)
        try:
            with self._engine.store.transaction() as tx:
                task = self._engine.task(tx.state, task_id)
                self._check_brought(tx, task, grant)
                return self._append(tx, task, grant, caller)
        except ApprovalRefusedError as error:
            raise self._on_record(task, caller, error) from None

    def _check_brought(self, tx: Transaction, task: TaskState, grant: Grant) -> None:
        """ApprovalRefusedError unless the grant answers what waits here, now, and for the first time."""
        present = Present.of(self._engine, tx.state)
        request = task.requests.get(grant.subject.sha256)
        if request is None:
            raise ApprovalRefusedError(refused((_not_asked(task, grant, present.ledger),)))
        parties = parties_of(task, request, Caller(request.requester, "agent", request.session))
        register = Register(frozenset({grant.id}), frozenset({grant.id} if grant.nonce in task.spent else ()))
        asked = subject_of(present.ledger, task, request)
        reasons = check_given(grant, asked, parties, register, task, present)
        if reasons:
            raise ApprovalRefusedError(refused(reasons))

    def approve(self, task_id: str, subject: str, *, reason: str, caller: Caller) -> LedgerEntry:
        """Grant what `subject` (its digest, or 8 and more digits of it) names, on the caller's word.

        ApprovalRefusedError for who may not approve, an unknown subject, and `signature_needed` where the word is not
        enough; ContractError without a reason.
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
            asked = subject_of(self._engine.store.ledger_id, task, request)
            terms = Terms(
                now=self._engine.wall(tx.state),
                nonce=self._engine.draw(16),
                evidence=evidence_of(task, request.move),
                # Behind the socket the kernel says which user approves, and agents are other users.
                advisory=self._engine.trust_mode == 0,
            )
            parties = parties_of(task, request, Caller(request.requester, "agent", request.session))
            grant = issue_grant(asked, caller, reason, parties, terms)
            signers = self._engine.signers(tx.state)
            if signers.required:
                detail = f"may sign: {signers.shown()}"
                needed = Reason("signature_needed", where=asked.sha256[:12], detail=detail)
                raise ApprovalRefusedError(refused((needed,)))
            return self._append(tx, task, grant, caller)

    def _append(self, tx: Transaction, task: TaskState, grant: Grant, caller: Caller) -> LedgerEntry:
        draft = Draft(
            kind="approval.granted", caller=caller, task=task.id, epoch=task.epoch, data=dict(grant.as_data())
        )
        return tx.append(draft)

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
        """Record who tried to approve and may not; that nothing waits under a subject is a slip, and is not recorded.

        Who came too late, or without a key, broke nothing: his refusal is no violation.
        """
        if error.code == "unknown_subject":
            return error
        if set(error.verdict.codes()) <= _HARMLESS:
            seq = self._recording.turned_away(f"approve {task.id}", caller, error.verdict)
            return ApprovalRefusedError(error.verdict, seq=seq)
        return ApprovalRefusedError(error.verdict, seq=self._recording.usurped(task, caller, error.verdict))


def _request(task: TaskState, subject: str) -> ApprovalRequest:
    found = [request for key, request in task.requests.items() if key.startswith(subject)]
    if len(subject) < _PREFIX_MIN or len(found) != 1:
        detail = "nothing waits under this subject" if not found else "the digits name more than one subject"
        raise ApprovalRefusedError(refused([Reason("unknown_subject", where=subject[:64], detail=detail)]))
    return found[0]


def _not_asked(task: TaskState, grant: Grant, ledger: str) -> Reason:
    """Why nothing waits for this grant: it is for another ledger, task or epoch, or nobody asks (any more)."""
    given, where = grant.subject, grant.subject.sha256[:12]
    for name, theirs, mine in (
        ("ledger", given.ledger, ledger),
        ("task", given.task, task.id),
        ("epoch", given.epoch, task.epoch),
    ):
        if theirs != mine:
            return Reason("approval_mismatch", where=where, detail=f"for {name} {theirs}, this is {mine}")
    if grant.nonce in task.spent:
        return Reason("approval_used", where=where)
    return Reason("unknown_subject", where=where, detail="nothing waits under this subject")
