"""Looks at the raw bytes after every step, and knows what callers were told.

The rules: one chain; what was acknowledged stands, whatever crashed since; the process model allows every line; the
lease model allows every record; a refusal is on the ledger before its caller hears of it; the two logs agree.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import RefusedError
from autopilot.testing.simulation.chain import InvariantError, RawChain, require
from autopilot.testing.simulation.clock import SimClock
from autopilot.testing.simulation.lease_model import LeaseLogModel
from autopilot.testing.simulation.model import ProcessModel

REFUSALS = frozenset({"violation", "gate.verdict", "lease.contended", "tool.refused", "flag.loosening_requested"})
# Refusals that say no more than `not yet` or `there is nothing there`: they name no line.
UNRECORDED = frozenset(
    {"renewed_too_often", "lease_max_hold", "lease_changed", "not_held", "unknown_subject", "task_closed", "human_only"}
)


class Checker:
    """Everything that must hold. InvariantError says what does not."""

    def __init__(self, state_dir: Path, clock: SimClock, per_segment: int) -> None:
        self.chain = RawChain(state_dir / "ledger" / "seg", per_segment)
        self.leases = LeaseLogModel(state_dir / "leases" / "leases.wal")
        self.repairs = 0
        """How many repairs are under way: each ends with a look anew."""
        self._clock = clock
        self._state_dir = state_dir
        self._begun: dict[str, int] = {}
        self._unread = False
        self.process = self._new_model()
        self.look()

    def begins(self, session: str) -> None:
        """A call of this session begins."""
        self._begun[session] = self._clock.jumps

    def look(self) -> None:
        """Take in what was written since the last look."""
        poisoned = (self._state_dir / "ledger" / "POISONED").exists()
        self._unread = bool(poisoned or self.repairs) and not self.leases.goes_on()
        if not self._unread:
            # A repair, which alone writes while the mark is there, may begin the log anew.
            self.leases.look(self._clock.boot_id(), self._clock.boot_ns() // 1000)
        for record in self.chain.look():
            # By which wall clock a call was decided is known if nobody set it since the call began.
            calm = self._begun.get(record["actor"]["session"]) == self._clock.jumps
            self.process.take(record, calm=calm)
            self._require_mirrored(record)
            self._require_summed_up(record)

    def look_anew(self) -> None:
        """After a power loss or a repair: everything is read from the start, and nothing that was told is missing."""
        self.chain.forget()
        self.leases.forget()
        self.process = self._new_model()
        self._begun = {}
        self.look()
        self.chain.require_told()

    def acknowledge(self, durable: int, returned: object) -> None:
        """A call came back: so many entries are durable, as its store says, and this is what the caller was given."""
        if durable:
            self.chain.acknowledge(durable - 1)
        seq = getattr(returned, "seq", None)
        if isinstance(seq, int):
            self.chain.acknowledge(seq)
        lease = getattr(returned, "lease", None)
        fence = getattr(lease, "fence", None)
        if lease is not None and fence is not None:
            self.leases.tell(lease.resource.partition("/")[0], fence)

    def refused(self, error: RefusedError, callers: tuple[Caller, ...], before: int) -> None:
        """A call was refused: that is on the ledger by now, in a line of its own."""
        if error.seq is None:
            codes = set(error.verdict.codes())
            require(codes <= UNRECORDED, f"refused for {sorted(codes)}, and no line says so")
            return
        self.chain.acknowledge(error.seq)
        record = self.chain.records[error.seq]
        require(error.seq >= before, f"line {error.seq}, which records a refusal, is older than the call")
        require(record["kind"] in REFUSALS, f"line {error.seq} records a refusal as {record['kind']}")
        named = record["actor"]["session"] in {caller.session for caller in callers}
        require(named, f"line {error.seq} records the refusal of another")

    def require_agreement(self) -> None:
        """Ledger and lease log know the same fences; asked when a writer has just mended both."""
        if self._unread or self._is_locked():
            return
        for name, task in self.process.tasks.items():
            known = self.leases.high.get(name, 0)
            require(known == task.high, f"{name}: fence {task.high} on the ledger, {known} in the lease log")

    def require_leases_told(self) -> None:
        """No fence that somebody was told of is lost; asked once the store has been opened again by a writer."""
        if not self._unread:
            self.leases.require_told()

    # --- inside

    def _new_model(self) -> ProcessModel:
        objects = self._state_dir / "evidence" / ".objects"
        return ProcessModel(objects, self._session_of)

    def _session_of(self, task: str, fence: int) -> str | None:
        """Whom the fence was granted to; empty where the log was begun anew before that was read."""
        return self.leases.sessions.get((task, fence), "" if self._unread else None)

    def _require_mirrored(self, record: dict[str, object]) -> None:
        """A lease line repeats a record that the lease log has."""
        kind, data, lease = record["kind"], record["data"], record["lease"]
        if kind not in ("lease.granted", "lease.released", "lease.expired", "lease.forced"):
            return
        if not isinstance(data, dict) or not isinstance(lease, dict):
            raise InvariantError(f"line {record['seq']}: a lease line without a lease")
        if self._unread:
            return
        known = self.leases.mirrors.get(data["wal_seq"])
        found = (kind, lease["resource"], lease["fence"])
        unread = known is None and data["wal_seq"] <= self.leases.believed
        require(
            unread or known == found, f"line {record['seq']} says {found}, record {data['wal_seq']} of the log {known}"
        )

    def _require_summed_up(self, record: dict[str, object]) -> None:
        """What a line says of all lines before it is so."""
        data, seq = record["data"], record["seq"]
        if record["kind"] == "checkpoint.published" and isinstance(data, dict) and isinstance(seq, int):
            require(data["size"] <= seq, f"line {seq}: a checkpoint over lines to come")
            require(data["root"] == self.chain.root(data["size"]), f"line {seq}: a checkpoint with another root")
        if record["kind"] == "segment.opened" and isinstance(data, dict):
            require(data["range"]["size"] == seq, f"line {seq}: a range over {data['range']['size']} lines")

    def _is_locked(self) -> bool:
        """Whether somebody is in the middle of a transaction."""
        descriptor = os.open(self._state_dir / "ledger" / "lock", os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False
