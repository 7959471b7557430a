"""Leases under anything that can happen, against a model of a page.

Sessions and processes ask, renew, release, move and are forced away while the clock steps, the machine sleeps,
reboots or loses power with the unsynced tail of the log, processes die and their pids come back, the log is
compacted. Three things must hold throughout: never two valid holders, fences only rise, the stale are refused.
Hypothesis prints the failing steps and a blob that reproduces them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import dumps, loads
from autopilot.leases.book import EMPTY_BOOK, apply, apply_all, observed_digest, snapshot, verify_fences
from autopilot.leases.decisions import Asking, Decision, Forcing, expired, force, grant, release, renew, standing
from autopilot.leases.handover import MoveFacts, Passing, handed_on_dict, handover, rebuild_handover
from autopilot.leases.records import LeaseRecord, must_sync
from autopilot.leases.stored import parse_record
from autopilot.leases.terms import Claim, Holder, LeaseTimes, Moment, ProcessIdentity, token_digest

SECOND = 1_000_000_000
TIMES = LeaseTimes(ttl_seconds=10, renew_min_interval_seconds=1, max_hold_seconds=25)
PERSON = Caller("ada", "human")

tasks = st.sampled_from(["T-1", "T-2"])
phases = st.sampled_from(["PLAN", "THINK"])
sessions = st.sampled_from(["s-1", "s-2", "s-3"])
pids = st.sampled_from([0, 11, 12])  # 0: the session itself holds, not one process of it


@dataclass
class ModelLease:
    """What the model knows of a task's holder."""

    resource: str
    session: str
    process: ProcessIdentity | None
    fence: int
    since: int
    renewed: int
    deadline: int


def through_storage(record: LeaseRecord) -> LeaseRecord:
    """The record as it comes back from the disk, having fitted a line."""
    stored = dumps(record.as_dict())
    assert len(stored) <= 65_535
    again = parse_record(loads(stored))
    assert again == record
    return again


class Leases(RuleBasedStateMachine):
    """The shipped rules on one side, `ModelLease` and a dict of fences on the other."""

    def __init__(self) -> None:
        super().__init__()
        self.book = EMPTY_BOOK
        self.log: list[tuple[LeaseRecord, bool]] = []
        self.moves: dict[str, MoveFacts] = {}
        self.ledger_fences: dict[str, int] = {}
        self.now_ns, self.boots = 5 * SECOND + 123, 0
        self.starts: dict[int, int] = {}
        self.started = 0
        self.model: dict[str, ModelLease] = {}
        self.fences: dict[str, int] = {}
        self.claims: set[tuple[str, str, int]] = set()

    # --- the world

    @property
    def now(self) -> Moment:
        return Moment(self.now_ns, f"boot-{self.boots}")

    @property
    def clock(self) -> int:
        """Now as the model counts: whole microseconds, in nanoseconds."""
        return self.now_ns // 1000 * 1000

    def dead(self, holder: Holder) -> bool:
        process = holder.process
        return process is not None and str(self.starts.get(process.pid)) != process.start

    def write(self, records: tuple[LeaseRecord, ...]) -> None:
        for record in records:
            self.book = apply(self.book, through_storage(record))
            if must_sync(record):
                self.log = [(old, True) for old, _ in self.log]
            self.log.append((record, must_sync(record)))

    def valid(self, task: str) -> ModelLease | None:
        lease = self.model.get(task)
        if lease is None or self.clock >= lease.deadline:
            return None
        return None if lease.process and str(self.starts.get(lease.process.pid)) != lease.process.start else lease

    @rule(ns=st.integers(1, 12 * SECOND))
    def time_passes(self, ns: int) -> None:
        self.now_ns += ns

    @rule()
    def machine_sleeps(self) -> None:
        self.now_ns += 3600 * SECOND

    @rule()
    def reboots(self) -> None:
        self.boots, self.now_ns, self.starts, self.model = self.boots + 1, 2 * SECOND, {}, {}

    @rule()
    def loses_power(self) -> None:
        synced = max((place + 1 for place, (_, sync) in enumerate(self.log) if sync), default=0)
        self.log = self.log[:synced]
        self.book = apply_all(EMPTY_BOOK, (through_storage(record) for record, _ in self.log))
        self.reboots()
        self.recover()

    def recover(self) -> None:
        for facts in self.moves.values():
            self.write(rebuild_handover(self.book, facts))
            assert rebuild_handover(self.book, facts) == ()
        verify_fences(self.book, self.ledger_fences)

    @rule(pid=pids.filter(bool))
    def process_starts_anew(self, pid: int) -> None:
        self.started += 1
        self.starts[pid] = self.started

    @rule(pid=pids.filter(bool))
    def process_dies(self, pid: int) -> None:
        self.starts.pop(pid, None)

    @rule()
    def log_is_compacted(self) -> None:
        records = snapshot(self.book)
        again = apply_all(EMPTY_BOOK, (through_storage(record) for record in records))
        assert again == self.book
        self.log = [(record, True) for record in records]

    @rule()
    def log_is_read_again(self) -> None:
        assert apply_all(EMPTY_BOOK, (through_storage(record) for record, _ in self.log)) == self.book

    # --- what callers do

    @rule(task=tasks, phase=phases, session=sessions, pid=pids)
    def asks(self, task: str, phase: str, session: str, pid: int) -> None:
        if pid and pid not in self.starts:
            self.process_starts_anew(pid)
        process = ProcessIdentity("host", "pid:[1]", pid, str(self.starts[pid])) if pid else None
        resource, holder = f"{task}/{phase}", Holder(Caller(session, session=session), process)
        before = self.valid(task)
        asked = grant(self.book, Asking(resource, holder, token_digest("t")), self.now, TIMES, self.dead)
        mine = before is not None and before.session == session and before.process in (None, process)
        assert asked.contended == (before is not None and not mine)
        if asked.contended:
            assert asked.verdict.codes() == ("lease_held",)
            return
        since = before.since if before is not None and before.resource == resource else self.clock
        self.granted(task, asked, ModelLease(resource, session, process, 0, since, self.clock, 0))

    def granted(self, task: str, decision: Decision, lease: ModelLease) -> None:
        assert decision.verdict.admitted
        assert decision.lease is not None
        lease.deadline = min(self.clock + 10 * SECOND, lease.since + 25 * SECOND)
        lease.fence = decision.lease.fence
        assert lease.fence > self.fences.get(task, 0)
        assert (decision.lease.deadline_ns, decision.lease.resource) == (lease.deadline, lease.resource)
        self.write(decision.records)
        self.model[task] = lease
        self.fences[task] = self.ledger_fences[task] = lease.fence
        self.claims.add((lease.resource, lease.session, lease.fence))

    @rule(task=tasks, session=sessions)
    def renews(self, task: str, session: str) -> None:
        lease = self.model.get(task)
        resource = lease.resource if lease else f"{task}/PLAN"
        decision = renew(self.book, resource, Claim(session), self.now, TIMES)
        holds = lease is not None and lease.session == session and self.clock < lease.deadline
        if lease is None or not holds:
            assert not decision.verdict.admitted
            return
        deadline = min(self.clock + 10 * SECOND, lease.since + 25 * SECOND)
        may = self.clock - lease.renewed >= SECOND and deadline > lease.deadline
        assert decision.verdict.admitted == may
        self.write(decision.records)
        if may:
            lease.renewed, lease.deadline = self.clock, deadline

    @rule(task=tasks, session=sessions)
    def releases(self, task: str, session: str) -> None:
        lease = self.model.get(task)
        resource = lease.resource if lease else f"{task}/PLAN"
        decision = release(self.book, resource, Claim(session), Caller(session), self.now)
        holds = lease is not None and lease.session == session and self.clock < lease.deadline
        assert decision.verdict.admitted == holds
        self.write(decision.records)
        if holds:
            del self.model[task]

    @rule(task=tasks, session=sessions, to=st.sampled_from(["THINK", "IMPLEMENT", None]), crash=st.booleans())
    def moves(self, task: str, session: str, to: str | None, crash: bool) -> None:
        lease = self.model.get(task)
        resource = lease.resource if lease else f"{task}/PLAN"
        target = None if to is None else f"{task}/{to}"
        caller = Caller(session, session=session)
        decision = handover(self.book, Passing(resource, target, Claim(session), caller), self.now, TIMES)
        holds = lease is not None and lease.session == session and self.clock < lease.deadline
        assert decision.verdict.admitted == holds
        if lease is None or not holds:
            return
        line: dict[str, Any] | None = loads(dumps(handed_on_dict(decision)))
        self.moves[task] = MoveFacts(resource, lease.fence, caller, self.now.cut(), line)
        written = apply_all(self.book, decision.records)
        if crash:  # the line is on the ledger, the process dies before the lease log hears of it
            self.recover()
            assert self.book == written
        if target is None:
            self.write(() if crash else decision.records)
            del self.model[task]
            return
        passed = ModelLease(target, session, lease.process, 0, self.clock, self.clock, 0)
        self.granted(task, Decision(lease=decision.lease) if crash else decision, passed)

    @rule(task=tasks, looked_long_ago=st.booleans())
    def is_forced(self, task: str, looked_long_ago: bool) -> None:
        observed = "0" * 64 if looked_long_ago else observed_digest(self.book, task)
        decision = force(self.book, f"{task}/PLAN", Forcing(PERSON, "stuck", observed), self.now)
        assert decision.verdict.admitted != looked_long_ago
        self.write(decision.records)
        if decision.records:
            self.model.pop(task, None)
            self.fences[task] = self.ledger_fences[task] = self.fences.get(task, 0) + 1

    @rule()
    def expiry_is_looked_for(self) -> None:
        found = expired(self.book, self.now, self.dead)
        over = {lease.task for lease in self.book.leases()} - {task for task in self.model if self.valid(task)}
        assert {record.resource.partition("/")[0] for record in found} == over
        self.write(found)
        for task in over:
            self.model.pop(task, None)

    # --- what must hold

    @invariant()
    def fences_are_the_models(self) -> None:
        for task, fence in self.fences.items():
            assert self.book.fence_high(task) == fence

    @invariant()
    def only_the_holder_stands(self) -> None:
        standing_now: dict[str, list[int]] = {}
        for resource, session, fence in self.claims:
            task = resource.partition("/")[0]
            reasons = standing(self.book, resource, Claim(session, fence, "t"), self.now)
            lease = self.model.get(task)
            current = lease is not None and (lease.resource, lease.session, lease.fence) == (resource, session, fence)
            assert (not reasons) == (lease is not None and current and self.clock < lease.deadline)
            if fence < self.fences[task]:
                assert reasons[0].code in ("stale_fence", "lease_expired")
            if not reasons:
                standing_now.setdefault(task, []).append(fence)
        assert all(len(holders) == 1 for holders in standing_now.values())

    @precondition(lambda self: self.log)
    @invariant()
    def numbers_count_records(self) -> None:
        assert self.book.wal_seq >= len([record for record, _ in self.log if record.as_dict()["kind"] != "snapshot"])


Leases.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
TestLeases = Leases.TestCase
