"""T6: a ledger changed by hand in every way the list of threats has. Each change is found.

A small ledger over several segments: fields, hashes, bytes, lines deleted, doubled and swapped, segments dropped and
exchanged, cuts at every line, and the rest rewritten with all hashes anew. The last two are found by what was kept
elsewhere: the head hint and the size that the repository remembers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import orjson

from autopilot.kernel.framing import body_hash, frame
from autopilot.ledger.entry import ArtifactRef, LeaseRef
from autopilot.storage.files.creation import create_store
from autopilot.storage.files.store import StoreParts
from autopilot.storage.files.verify import verify_files
from autopilot.testing.clock import FakeClock
from autopilot.testing.contracts.ledger import a_draft, grant
from autopilot.testing.folds import TallyFold
from autopilot.testing.power.trials import GENESIS, LossError
from crash.plan.counting import Ask, Tried
from crash.plan.power import small
from crash.plan.unsynced import UnsyncedFiles

LINES = 36
SEGMENT = 8


@dataclass(slots=True)
class Ledger:
    """The state directory and its segments' lines as they were."""

    state: Path
    segments: dict[Path, list[bytes]]
    entries: int

    def put(self, path: Path, lines: list[bytes]) -> None:
        path.write_bytes(b"".join(lines))

    def restore(self) -> None:
        for path, lines in self.segments.items():
            self.put(path, lines)

    def found(self, what: str, floor: int = 0) -> Tried:
        """LossError if the change is not found; everything as it was after it."""
        report = verify_files(self.state, floor)
        if report.intact:
            raise LossError(f"not found: {what}")
        return Tried(1, 1)


def trials(ask: Ask) -> Iterator[Tried]:
    """Each kind of change at every line. Long: with changes and bytes drawn, ledger after ledger."""
    random = Random(f"T6:{ask.seed}")
    with small():
        number = 0
        while number == 0 or ask.long:
            ledger = _ledger(ask.folder / f"t6-{number}", random)
            for change in (_fields, _lines, _bytes, _segments, _cuts, _rewritten):
                yield from change(ledger, random, 1 if ask.long else 3)
                ledger.restore()
                if not verify_files(ledger.state).intact:
                    raise LossError("restored, and still refused")
            number += 1


def _ledger(folder: Path, random: Random) -> Ledger:
    parts = StoreParts(folder / "state", TallyFold(), UnsyncedFiles(), FakeClock())
    store = create_store(parts, GENESIS)
    with store.transaction() as tx:
        fence = grant(tx)
        artifact = ArtifactRef("plan.md", "ab" * 32, 1234, "text/markdown", "asserted")
        for number in range(LINES + random.randint(0, 6)):
            lease = LeaseRef("T-1/PLAN", fence) if number % 3 else None
            tx.append(a_draft(number, lease=lease, artifacts=(artifact,), prompt="cd" * 32), sync=False)
        tx.append(a_draft())
    entries = store.view().head.seq + 1
    store.close()
    paths = [store.paths.segment(first) for first in store.paths.segment_starts()]
    found = {path: path.read_bytes().splitlines(keepends=True) for path in paths}
    return Ledger(folder / "state", found, entries)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every field, objects themselves included."""
    if path:
        yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        yield from leaves(item, (*path, key))


def changed(record: Any, path: tuple[Any, ...]) -> Any:
    """A copy with another value at `path`."""
    copy = orjson.loads(orjson.dumps(record))
    at = copy
    for step in path[:-1]:
        at = at[step]
    old = at[path[-1]]
    at[path[-1]] = old + 1 if isinstance(old, int) else old[:-1] + "~" if isinstance(old, str) and old else "other"
    return copy


def _each(ledger: Ledger) -> Iterator[tuple[Path, int, bytes]]:
    for path, lines in ledger.segments.items():
        for index, line in enumerate(lines):
            yield path, index, line
        ledger.put(path, lines)


def _fields(ledger: Ledger, _: Random, step: int) -> Iterator[Tried]:
    for path, index, line in _each(ledger):
        lines, record = list(ledger.segments[path]), orjson.loads(line)["r"]
        for place in list(leaves(record))[index % step :: step]:
            lines[index] = line[:76] + orjson.dumps(changed(record, place)) + b"}\n"
            ledger.put(path, lines)
            yield ledger.found(f"{path.name} line {index}, field {place}")


def _lines(ledger: Ledger, _: Random, __: int) -> Iterator[Tried]:
    for path, index, line in _each(ledger):
        before, after = ledger.segments[path][:index], ledger.segments[path][index + 1 :]
        record = orjson.loads(line)["r"]
        changes = {
            "hash": [line[:6] + b"0" * 64 + line[70:]],
            "field and hash": [frame(orjson.dumps({**record, "task": "T-9"}))],
            "deleted": [],
            "doubled": [line, line],
            "inserted": [frame(orjson.dumps({**record, "seq": record["seq"], "task": "T-8"})), line],
        }
        for what, instead in changes.items():
            ledger.put(path, [*before, *instead, *after])
            yield ledger.found(f"{path.name} line {index} {what}")
        if after:
            ledger.put(path, [*before, after[0], line, *after[1:]])
            yield ledger.found(f"{path.name} line {index} swapped")


def _bytes(ledger: Ledger, random: Random, step: int) -> Iterator[Tried]:
    """Every bit of two lines, the last one among them; and bytes anywhere."""
    paths = list(ledger.segments)
    for path, index in ((paths[0], 1), (paths[-1], -1)):
        data, line = b"".join(ledger.segments[path]), ledger.segments[path][index]
        start = data.index(line)
        for position in range(start, start + len(line), step):
            for bit in range(8):
                flipped = bytearray(data)
                flipped[position] ^= 1 << bit
                path.write_bytes(flipped)
                yield ledger.found(f"{path.name} byte {position} bit {bit}")
        path.write_bytes(data)


def _segments(ledger: Ledger, _: Random, __: int) -> Iterator[Tried]:
    paths = list(ledger.segments)
    for path in paths:
        path.unlink()
        yield ledger.found(f"{path.name} dropped")
        ledger.restore()
    for one, other in pairwise(paths):
        ledger.put(one, ledger.segments[other])
        ledger.put(other, ledger.segments[one])
        yield ledger.found(f"{one.name} and {other.name} exchanged")
        ledger.restore()


def _cuts(ledger: Ledger, _: Random, __: int) -> Iterator[Tried]:
    """To every line: what is left verifies, and is known to be too short."""
    hint = (ledger.state / "ledger" / "head").read_bytes()
    for known in ("hint", "floor"):
        for kept in range(1, ledger.entries):
            for number, (path, lines) in enumerate(ledger.segments.items()):
                left = lines[: max(0, kept - number * SEGMENT)]
                path.unlink(missing_ok=True)
                if left:
                    ledger.put(path, left)
            yield ledger.found(f"cut to {kept} lines, known by the {known}", ledger.entries if known == "floor" else 0)
        (ledger.state / "ledger" / "head").unlink(missing_ok=True)
        ledger.restore()
    (ledger.state / "ledger" / "head").write_bytes(hint)


def _rewritten(ledger: Ledger, _: Random, __: int) -> Iterator[Tried]:
    """From each line of the last segment on, another history with every hash made anew: only the hint knows."""
    path = list(ledger.segments)[-1]
    lines = ledger.segments[path]
    for start in range(1, len(lines)):
        forged = list(lines)
        for index in range(start, len(lines)):
            record = orjson.loads(lines[index])["r"]
            prev = forged[index - 1][6:70].decode()
            body = orjson.dumps({**record, "prev": prev, "task": "T-9" if index == start else record["task"]})
            forged[index] = frame(body, body_hash(body))
        ledger.put(path, forged)
        yield ledger.found(f"rewritten from line {start}")
    ledger.restore()
