"""Where bytes go that a recovery or a repair takes out of a log: kept, named by what they are, never read again."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from autopilot.kernel.callers import ENGINE, Caller
from autopilot.kernel.canonical import sha256_hex
from autopilot.kernel.files import Files, create_durably, make_dir_durably
from autopilot.ledger.entry import Draft

_CUT = re.compile(r"([0-9]{16})-(.+)-([0-9a-f]{64})\.bin")


@dataclass(frozen=True, slots=True)
class Torn:
    """What was taken out: the file it is kept in, its length and its digest."""

    name: str
    bytes: int
    sha256: str


def quarantine(files: Files, folder: Path, label: str, data: bytes) -> Torn:
    """Keep `data` as `<label>-<sha256>.bin` below `folder`, durably."""
    make_dir_durably(files, folder, below=folder.parent)
    digest = sha256_hex(data)
    name = f"{label}-{digest}.bin"
    create_durably(files, folder / name, data)
    return Torn(name, len(data), digest)


def kept_in(folder: Path) -> int:
    """How many files are kept. One more than before: somebody cut a log, and may not have come to say so."""
    # On the path of every append: most stores have no such folder, and an exception costs more than the look.
    if not os.access(folder, os.F_OK):
        return 0
    try:
        return len(os.listdir(folder))  # noqa: PTH208 - a list of paths costs more
    except FileNotFoundError:
        return 0


def cut_for(folder: Path, number: int) -> list[tuple[str, Torn]]:
    """What is kept for the line `number` to put on record: from which log, and what. Nothing if it was never made."""
    try:
        found = [_CUT.fullmatch(path.name) for path in sorted(folder.glob(f"{number:016d}-*.bin"))]
    except FileNotFoundError:
        return []
    return [
        (match[2], Torn(match[0], (folder / match[0]).stat().st_size, match[3])) for match in found if match is not None
    ]


def recovered(log: str, torn: Torn, caller: Caller = ENGINE) -> Draft:
    """The line that records what was taken out of a log."""
    dropped = [{"name": torn.name, "bytes": torn.bytes, "sha256": torn.sha256}]
    data = {"log": log, "cause": "torn_tail", "reason": "", "dropped": dropped, "dropped_entries": 0}
    return Draft(kind="ledger.recovered", caller=caller, data=data)
