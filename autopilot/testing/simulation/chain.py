"""The raw ledger, read byte by byte, with nothing of the engine's code: `docs/reference/ledger.md` is the ground.

A line is `{"h":"<64 hex>","r":<body>}`; the hash is SHA-256 over a zero byte and the body, bodies are numbered from 0
and each names the hash before it. Segments are files named after their first line.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

KEYS = [
    *("v", "ledger", "seq", "prev", "ts", "kind", "task", "phase", "epoch", "actor"),
    *("lease", "artifacts", "prompt", "persona", "data"),
]
Record = dict[str, Any]


class InvariantError(AssertionError):
    """A rule was broken. The message says which, and where."""


def require(holds: object, rule: str) -> None:
    """InvariantError with `rule` unless it holds."""
    if not holds:
        raise InvariantError(rule)


@dataclass(slots=True)
class RawChain:
    """The lines of a ledger as they are found on the disk, and of which of them callers were told that they stand."""

    place: Path
    per_segment: int
    records: list[Record] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    acknowledged: int = 0
    """So many lines, from the first, were acknowledged to somebody."""
    told: list[str] = field(default_factory=list)
    """The hashes of the acknowledged lines, as they were then."""
    torn: bool = False
    """Whether something that is no line follows the last one."""
    _known: dict[str, bytes] = field(default_factory=dict)

    def look(self) -> list[Record]:
        """Take in what was added; InvariantError where anything that was there is gone or changed."""
        before = len(self.records)
        for name in self._names(since=max(self._known, default="")):
            known, data = self._known.get(name, b""), (self.place / name).read_bytes()
            require(data.startswith(known), f"{name}: lines that were there are gone or changed")
            self._known[name] = known + self._take(name, data[len(known) :])
        return self.records[before:]

    def forget(self) -> None:
        """After a power loss or a repair: what was not acknowledged may be gone. Everything is read anew."""
        self.records, self.hashes, self._known, self.torn = [], [], {}, False

    def acknowledge(self, seq: int) -> None:
        """Somebody was told that the line `seq` stands, and so do all before it."""
        require(seq < len(self.hashes), f"line {seq} was acknowledged and is not there")
        for number in range(self.acknowledged, seq + 1):
            self.told.append(self.hashes[number])
        self.acknowledged = max(self.acknowledged, seq + 1)

    def require_told(self) -> None:
        """Every line that was acknowledged is there, and is the one."""
        require(len(self.hashes) >= self.acknowledged, f"{self.acknowledged} lines told, {len(self.hashes)} are there")
        for number, told in enumerate(self.told):
            require(self.hashes[number] == told, f"line {number} is not the one that was acknowledged")

    def root(self, size: int) -> str:
        """The Merkle tree hash of RFC 6962 over the first `size` lines."""
        level = [bytes.fromhex(one) for one in self.hashes[:size]]
        while len(level) > 1:
            # From the left in pairs; one that is left over goes up as it is, which is the same tree.
            pairs = [sha256(b"\1" + a + b).digest() for a, b in zip(level[::2], level[1::2], strict=False)]
            level = [*pairs, level[-1]] if len(level) % 2 else pairs
        return (level[0] if level else sha256(b"").digest()).hex()

    def _names(self, since: str) -> list[str]:
        return sorted(path.name for path in self.place.glob("*.jsonl") if path.name >= since)

    def _take(self, name: str, data: bytes) -> bytes:
        """The good lines at the start of `data`, all taken in."""
        taken, self.torn = 0, False
        while (end := data.find(b"\n", taken)) >= 0:
            line = data[taken:end]
            body = line[76:-1]
            digest = sha256(b"\0" + body).hexdigest()
            if line[:76] != b'{"h":"%b","r":' % digest.encode() or line[-1:] != b"}":
                self.torn = True
                break
            self._add(name, json.loads(body), digest)
            taken = end + 1
        self.torn = self.torn or taken < len(data)
        return data[:taken]

    def _add(self, name: str, record: Record, digest: str) -> None:
        seq = len(self.records)
        require(list(record) == KEYS and record["v"] == 1, f"line {seq}: not the keys of a line")
        require(record["seq"] == seq, f"line {record['seq']} stands where {seq} should")
        require(record["prev"] == (self.hashes[-1] if seq else "0" * 64), f"line {seq} does not follow the one before")
        require(record["ledger"] == (self.records[0] if seq else record)["ledger"], f"line {seq}: another ledger")
        first = seq - seq % self.per_segment
        require(name == f"{first:016d}.jsonl", f"line {seq} stands in {name}")
        require((record["kind"] == "segment.opened") == (seq > 0 and seq == first), f"line {seq}: {record['kind']}")
        self.records.append(record)
        self.hashes.append(digest)
