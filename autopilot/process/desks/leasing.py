"""The lease desk: the shell around lease decisions. Loads the book, asks, writes the records, and only then raises.

Every call of a session renews its lease; while the engine runs checks it renews on the session's behalf (`kept`).
A refusal because another holds the phase is contention: counted and on record, never a violation. With the flag
`leases` at `observe` or `off` who does not hold the phase acts all the same (`Footing`): the fail-open path. A stale or
made-up fence is refused in every mode.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import IntegrityError, LeaseRefusedError, StorageError
from autopilot.kernel.events import LeaseChanged
from autopilot.kernel.ids import new_token
from autopilot.kernel.phases import Phase, Terminal
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.leases import decisions
from autopilot.leases.book import LeaseBook, observed_digest
from autopilot.leases.handover import Passing, handover
from autopilot.leases.liveness import identify_process, proved_dead
from autopilot.leases.records import Expire, LeaseRecord
from autopilot.leases.terms import Claim, Holder, Lease, LeaseTimes, Moment, resource_of, token_digest
from autopilot.ledger.entry import Draft, LeaseRef
from autopilot.process.admission import by_mode
from autopilot.process.desks.renewal import Renewals, Renewing
from autopilot.process.engine import Engine, about, lease_ref
from autopilot.process.graph import Move
from autopilot.process.ports import Transaction
from autopilot.process.recording import Recording
from autopilot.process.state import TaskState

_UNRECORDED = frozenset({"renewed_too_often", "lease_max_hold", "lease_changed"})


@dataclass(frozen=True, slots=True)
class Granted:
    """A lease and the token that goes with it; the token is shown once and stored nowhere."""

    lease: Lease
    token: str


@dataclass(frozen=True, slots=True)
class Footing:
    """How a caller stands to the lease of the task's phase, asked under the lock.

    `refusing` says why it may not act, `observed` why it could not but for the flag. `lease` is what its line claims:
    None where it acts without the lease. `decision` has the records of a move's hand-over, if any.
    """

    lease: LeaseRef | None
    refusing: tuple[Reason, ...]
    observed: tuple[Reason, ...]
    decision: decisions.Decision


class LeaseDesk:
    """Grants, renews, releases and forces leases of a task's current phase."""

    def __init__(self, engine: Engine, renewals: Renewing | None = None) -> None:
        self._engine = engine
        self._recording = Recording(engine)
        self._renewals = renewals or Renewals()

    def acquire(self, task_id: str, *, caller: Caller, as_process: bool = False) -> Granted:
        """The lease of the task's current phase; LeaseRefusedError `lease_held` if another's stands.

        `as_process` binds it to this process: its death frees the phase at once.
        """
        token = new_token(self._engine.draw)
        holder = Holder(caller, identify_process() if as_process else None)
        with self._engine.store.transaction() as tx:
            task = _open_task(self._engine, tx, task_id)
            asking = decisions.Asking(resource_of(task.id, Phase(task.stage)), holder, token_digest(token))
            decision = decisions.grant(tx.leases, asking, self._engine.now(), self.times(task), proved_dead)
            if decision.lease is None:
                seq = _contend(tx, task, caller, decision.verdict) if decision.contended else None
            else:
                _write(tx, decision.records)
        if decision.lease is None:
            if seq is not None:
                self._announce(task, caller, "contended", 0, seq)
            raise LeaseRefusedError(decision.verdict, seq=seq)
        for record in decision.records:
            if isinstance(record, Expire):
                self._announce(task, caller, "expired", record.fence, None)
        self._announce(task, caller, "granted", decision.lease.fence, None)
        return Granted(decision.lease, token)

    def renew(self, task_id: str, *, caller: Caller, lease: Claim | None = None) -> Lease:
        """More time for the caller's lease; LeaseRefusedError if it does not stand."""
        task, decision = self._renew(task_id, caller, lease)
        if decision.lease is None:
            raise self._refused(task, caller, decision.verdict)
        return decision.lease

    def _renew(self, task_id: str, caller: Caller, lease: Claim | None) -> tuple[TaskState, decisions.Decision]:
        with self._engine.store.transaction() as tx:
            task = _open_task(self._engine, tx, task_id)
            resource = resource_of(task.id, Phase(task.stage))
            decision = decisions.renew(
                tx.leases, resource, claim_of(caller, lease), self._engine.now(), self.times(task)
            )
            _write(tx, decision.records)
        return task, decision

    def release(self, task_id: str, *, caller: Caller, lease: Claim | None = None) -> None:
        """Give the caller's lease back; LeaseRefusedError if it does not stand."""
        with self._engine.store.transaction() as tx:
            task = _open_task(self._engine, tx, task_id)
            resource = resource_of(task.id, Phase(task.stage))
            decision = decisions.release(tx.leases, resource, claim_of(caller, lease), caller, self._engine.now())
            _write(tx, decision.records)
        if not decision.verdict.admitted:
            raise self._refused(task, caller, decision.verdict)
        self._announce(task, caller, "released", 0, None)

    def force(self, task_id: str, *, caller: Caller, reason: str, observed: str = "") -> int:
        """Take the lease away, as a person; the new highest fence. `observed` names what that person looked at."""
        with self._engine.store.transaction() as tx:
            task = _open_task(self._engine, tx, task_id)
            resource = resource_of(task.id, Phase(task.stage))
            seen = observed or observed_digest(tx.leases, task.id)
            forcing = decisions.Forcing(caller, reason, seen)
            decision = decisions.force(tx.leases, resource, forcing, self._engine.now())
            _write(tx, decision.records)
            fence = tx.leases.fence_high(task.id)
        if not decision.verdict.admitted:
            raise self._refused(task, caller, decision.verdict)
        self._announce(task, caller, "forced", fence, None)
        return fence

    def _refused(self, task: TaskState, caller: Caller, verdict: Verdict) -> LeaseRefusedError:
        """The error to raise; it is on the ledger by then, unless it says no more than `not yet`."""
        if verdict.reasons[0].code in _UNRECORDED:
            return LeaseRefusedError(verdict)
        if verdict.reasons[0].code == "human_only":
            return LeaseRefusedError(verdict, seq=self._recording.usurped(task, caller, verdict))
        origin = Phase(task.stage)
        move = Move("forward", origin, origin.following)
        return LeaseRefusedError(verdict, seq=self._recording.refusal(task, move, caller, verdict))

    def held(self, task_id: str) -> Lease | None:
        """The lease that stands for the task now, or None."""
        view = self._engine.store.view()
        lease = view.leases.held(self._engine.task(view.state, task_id).id)
        now = view.leases.not_before(self._engine.now())
        return None if lease is None or lease.ran_out(now) else lease

    def observed(self, task_id: str) -> str:
        """The digest of what `show` shows, for a compare-and-force."""
        return observed_digest(self._engine.store.view().leases, task_id)

    def ensure(self, task: TaskState, caller: Caller, lease: Claim | None) -> tuple[Reason, ...]:
        """Make the caller the holder: take a free lease, renew its own when due. The reasons why it cannot be, if any.

        A claim with a fence is never replaced by a new lease: whoever names a fence wants that lease or none.
        """
        view = self._engine.store.view()
        now = view.leases.not_before(self._engine.now())
        resource = resource_of(task.id, Phase(task.stage))
        claim = claim_of(caller, lease)
        reasons = decisions.standing(view.leases, resource, claim, now)
        if not reasons:
            held = view.leases.held(task.id)
            if held is not None and decisions.is_due(held, now, self.times(task)):
                return self._renewed(task, caller, lease)
            return ()
        if claim.fence is None and self._is_free(view.leases, task, reasons, now):
            try:
                self.acquire(task.id, caller=caller)
            except LeaseRefusedError as error:
                return error.verdict.reasons
            return ()
        return reasons

    def would_hold(self, task: TaskState, caller: Caller, lease: Claim | None) -> tuple[Reason, ...]:
        """The reasons `ensure` would give, with nothing taken or renewed."""
        view, claim = self._engine.store.view(), claim_of(caller, lease)
        now = view.leases.not_before(self._engine.now())
        reasons = decisions.standing(view.leases, resource_of(task.id, Phase(task.stage)), claim, now)
        if reasons and claim.fence is None and self._is_free(view.leases, task, reasons, now):
            return ()
        return reasons

    def _is_free(self, book: LeaseBook, task: TaskState, reasons: tuple[Reason, ...], now: Moment) -> bool:
        """Whether the phase can be taken: free, or its holder proved dead. A lapsed holder must look anew."""
        codes = {reason.code for reason in reasons}
        held = book.held(task.id)
        dead = held is not None and decisions.end_proof(held, now, proved_dead) == "dead"
        return codes <= {"lease_missing"} or (codes <= {"lease_held"} and dead)

    def _renewed(self, task: TaskState, caller: Caller, lease: Claim | None) -> tuple[Reason, ...]:
        # A refusal here is the caller's to record: it is part of a call that is refused as a whole.
        _, decision = self._renew(task.id, caller, lease)
        return tuple(reason for reason in decision.verdict.reasons if reason.code != "renewed_too_often")

    @contextmanager
    def kept(self, task: TaskState, caller: Caller, lease: Claim | None) -> Iterator[None]:
        """Renew the caller's lease in the background while the engine works for it."""
        seconds = max(0.2, self.times(task).ttl_seconds / decisions.RENEWALS_PER_TTL)

        def renew() -> bool:
            try:
                # Lost: the append will say so, under the lock, with the fence.
                return not self._renewed(task, caller, lease)
            except (LeaseRefusedError, IntegrityError):
                return False  # The task ended meanwhile, or the store does not verify: the append will say so too.
            except StorageError:
                return True  # The lock was busy; two more renewals fit into the lease time.

        with self._renewals.every(seconds, renew):
            yield

    def times(self, task: TaskState) -> LeaseTimes:
        """The lease times of the task's phase: the configured ones sealed with the task."""
        configured = self._engine.sealed_settings(task).lease
        return LeaseTimes(configured.ttl_seconds, configured.renew_min_interval_seconds, configured.max_hold_seconds)

    def standing(self, tx: Transaction, task: TaskState, claim: Claim) -> Footing:
        """Whether `claim` holds the task's phase now, for a line that leaves the task where it is."""
        resource = resource_of(task.id, Phase(task.stage))
        return self._footing(
            tx, task, decisions.Decision(Verdict(decisions.standing(tx.leases, resource, claim, self._engine.now())))
        )

    def hand_on(self, tx: Transaction, task: TaskState, move: Move, caller: Caller, claim: Claim) -> Footing:
        """Whether `claim` holds the task's phase now, and what its move does with the lease.

        Judged and handed on at one moment: the lease cannot run out in between. Without the lease nothing is handed on.
        """
        # Into REVIEW the lease is left free: the reviewer is another session.
        free = isinstance(move.target, Terminal) or (move.kind == "forward" and move.target is Phase.REVIEW)
        onward = None if free else resource_of(task.id, Phase(move.target))
        passing = Passing(resource_of(task.id, Phase(task.stage)), onward, claim, caller)
        return self._footing(tx, task, handover(tx.leases, passing, self._engine.now(), self.times(task)))

    def _footing(self, tx: Transaction, task: TaskState, decision: decisions.Decision) -> Footing:
        refusing, observed = by_mode(decision.verdict.reasons, self._engine.modes(tx.state))
        lease = lease_ref(task, tx.leases.fence_high(task.id)) if decision.verdict.admitted else None
        return Footing(lease, tuple(refusing), tuple(observed), decision)

    def _announce(self, task: TaskState, caller: Caller, change: str, fence: int, seq: int | None) -> None:
        self._engine.emit(
            [
                LeaseChanged(
                    **about(task, caller, seq),
                    change=change,
                    resource=f"{task.id}/{task.stage}",
                    fence=fence,
                )
            ]
        )


def claim_of(caller: Caller, lease: Claim | None) -> Claim:
    """What the caller says to hold: the claim it gave, or its session alone."""
    return lease if lease is not None else Claim(caller.session)


def _open_task(engine: Engine, tx: Transaction, task_id: str) -> TaskState:
    task = engine.task(tx.state, task_id)
    if task.stage not in Phase.__members__:
        raise LeaseRefusedError(Verdict((Reason("task_closed", detail=f"the task is {task.stage}"),)))
    return task


def _contend(tx: Transaction, task: TaskState, caller: Caller, verdict: Verdict) -> int:
    first = verdict.reasons[0]
    data = {"resource": f"{task.id}/{task.stage}", "code": first.code, "detail": first.detail}
    draft = Draft(kind="lease.contended", caller=caller, task=task.id, epoch=task.epoch, data=data)
    return tx.append(draft).seq


def _write(tx: Transaction, records: tuple[LeaseRecord, ...]) -> None:
    for record in records:
        tx.record_lease(record)
