"""The raw lease log, and who may hold what: `docs/reference/leases.md` is the ground.

A task has at most one lease at a time, fences only rise, and a lease is over when its holder gave it back, a person
took it, or its time or its boot is over. A compaction replaces the log by a summary that must say the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from autopilot.testing.simulation.chain import require

_MIRRORED = {"grant": "lease.granted", "release": "lease.released", "expire": "lease.expired", "force": "lease.forced"}


@dataclass(slots=True)
class Held:
    """A lease as the log has it; times in microseconds since its boot."""

    resource: str
    fence: int
    session: str
    boot: str
    deadline_us: int


@dataclass(slots=True)
class LeaseLogModel:
    """What the lease log says, record by record."""

    place: Path
    high: dict[str, int] = field(default_factory=dict)
    held: dict[str, Held] = field(default_factory=dict)
    sessions: dict[tuple[str, int], str] = field(default_factory=dict)
    """Whom each fence was granted to."""
    mirrors: dict[int, tuple[str, str, int]] = field(default_factory=dict)
    """What the ledger repeats of a record, by the record's number: kind, resource, fence."""
    told: dict[str, int] = field(default_factory=dict)
    """The highest fence of each task that somebody was told of."""
    records: int = 0
    believed: int = 0
    """Records up to this number were summed up before they were read."""
    torn: bool = False
    """Whether something that is no record follows the last one."""
    _now: tuple[str, int] = ("", 0)
    _known: bytes = b""
    _prev: str = "0" * 64
    _seq: int = -1
    _ended_us: dict[str, tuple[str, int]] = field(default_factory=dict)

    def look(self, boot: str, now_us: int) -> None:
        """Take in what was added, at this moment of the machine."""
        data, self._now = self.place.read_bytes(), (boot, now_us)
        if not data.startswith(self._known):
            previous = self.place.with_suffix(".previous").read_bytes()
            require(previous.startswith(self._known), "the lease log was replaced by another")
            self._take(previous)
            self._known = b""
        self._take(data)

    def goes_on(self) -> bool:
        """Whether the file still holds what was read of it."""
        return self.place.exists() and self.place.read_bytes().startswith(self._known)

    def forget(self) -> None:
        """After a power loss or a repair: read anew. Whom fences were granted to stays known."""
        self.high, self.held, self._ended_us = {}, {}, {}
        self.records, self._known, self._prev, self._seq = 0, b"", "", -1

    def tell(self, task: str, fence: int) -> None:
        """Somebody was told that the task's fence is this high."""
        self.told[task] = max(self.told.get(task, 0), fence)

    def require_told(self) -> None:
        """No fence fell below what somebody was told."""
        for task, fence in self.told.items():
            found = self.high.get(task, 0)
            require(found >= fence, f"{task}: fence {fence} was given out, the lease log knows {found}")

    def _take(self, data: bytes) -> None:
        at = len(self._known)
        while (end := data.find(b"\n", at)) >= 0:
            line = data[at:end]
            body = line[76:-1]
            digest = sha256(b"\0" + body).hexdigest()
            if line[:76] != b'{"h":"%b","r":' % digest.encode():
                break
            found = json.loads(body)
            anew = self._prev == ""
            require(anew or (found["seq"], found["prev"]) == (self._seq + 1, self._prev), "the lease log has a gap")
            self._seq, self._prev = found["seq"], digest
            self._enter(found["record"], anew=anew)
            at = end + 1
        self._known, self.torn = data[:at], at < len(data)

    def _enter(self, record: dict[str, Any], *, anew: bool) -> None:
        kind = record["kind"]
        if kind == "snapshot":
            self._summed_up(record, anew=anew)
            return
        self.records += 1
        task, fence = record["resource"].partition("/")[0], record["fence"]
        getattr(self, f"_{kind}")(task, record)
        if kind in _MIRRORED and record.get("how") != "move":
            self.mirrors[self.records] = (_MIRRORED[kind], record["resource"], fence)

    def _summed_up(self, record: dict[str, Any], *, anew: bool) -> None:
        """The summary says what the records before it said; where those were not read, it is believed."""
        believed = anew or (self.records == 0 and not self._known)
        require(believed or record["wal_seq"] == self.records, "the summary counts other records")
        for entry in record["tasks"]:
            task, held = entry["task"], entry["held"]
            now = self.held.get(task)
            if believed:
                self.high[task] = entry["fence_high"]
                if held:
                    now = self.held[task] = _lease(held)
                    self.sessions[task, now.fence] = now.session
            require(self.high.get(task, 0) == entry["fence_high"], f"{task}: the summary has another fence")
            same = held and now and (held["resource"], held["fence"]) == (now.resource, now.fence)
            require(same or (not held and now is None), f"{task}: the summary has the holder {held}, the log {now}")
        self.believed = max(self.believed, record["wal_seq"]) if believed else self.believed
        self.records = record["wal_seq"]

    def _grant(self, task: str, record: dict[str, Any]) -> None:
        lease = _lease(record)
        now = self.held.get(task)
        require(now is None, f"{record['resource']}: fence {lease.fence} granted to {lease.session} while {now} holds")
        require(lease.fence > self.high.get(task, 0), f"{task}: fence {lease.fence} after {self.high.get(task)}")
        ended = self._ended_us.get(task, ("", 0))
        require(ended[0] != lease.boot or record["granted_us"] >= ended[1], f"{task}: granted before the other ended")
        known = self.sessions.setdefault((task, lease.fence), lease.session)
        # What nobody was told of may be given out anew after a power loss.
        told = lease.fence <= self.told.get(task, 0)
        require(not told or known == lease.session, f"{task}: fence {lease.fence} was {known}'s")
        self.sessions[task, lease.fence] = lease.session
        self.high[task], self.held[task] = lease.fence, lease

    def _renew(self, task: str, record: dict[str, Any]) -> None:
        now = self._current(task, record)
        require(record["at_us"] < now.deadline_us, f"{record['resource']} renewed after it had run out")
        now.deadline_us = record["deadline_us"]

    def _release(self, task: str, record: dict[str, Any]) -> None:
        if record["how"] != "move":
            require(self._current(task, record).session == record["caller"]["session"], f"{task}: released by another")
        self.high[task] = max(self.high.get(task, 0), record["fence"])
        self.held.pop(task, None)

    def _expire(self, task: str, record: dict[str, Any]) -> None:
        now = self._current(task, record)
        if record["proof"] == "deadline":
            boot, now_us = self._now
            over = now.boot == boot and now_us >= now.deadline_us == record["at_us"]
            require(over or now.boot != boot, f"{record['resource']} expired before its time")
            self._ended_us[task] = (now.boot, now.deadline_us)
        else:
            require(record["proof"] == "reboot" and now.boot != record["boot"], f"{task}: expired in its own boot")
        self.held.pop(task)

    def _force(self, task: str, record: dict[str, Any]) -> None:
        require(record["by"]["kind"] == "human", f"{task}: forced by {record['by']['id']}")
        require(record["fence"] == self.high.get(task, 0) + 1, f"{task}: forced to fence {record['fence']}")
        self.high[task] = record["fence"]
        self.held.pop(task, None)

    def _current(self, task: str, record: dict[str, Any]) -> Held:
        now = self.held.get(task)
        same = now is not None and (now.resource, now.fence) == (record["resource"], record["fence"])
        require(same, f"{record['kind']} of fence {record['fence']} of {record['resource']}, held is {now}")
        assert now is not None  # noqa: S101 - the line above has asked
        return now


def _lease(record: dict[str, Any]) -> Held:
    return Held(record["resource"], record["fence"], record["holder"]["session"], record["boot"], record["deadline_us"])
