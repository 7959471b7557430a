"""Making a ledger: folders, the first line, the empty lease log, and last of all `LEDGER.json`.

A run that was cut short before the last step is taken up again by the next one: the first line is there already and
keeps its id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import encode
from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.kernel.files import create_durably, make_dir_durably
from autopilot.kernel.framing import unframe
from autopilot.kernel.ids import new_ledger_id
from autopilot.kernel.stamps import stamp
from autopilot.ledger.chain import START, compose, walk
from autopilot.ledger.entry import Draft, LedgerEntry
from autopilot.storage.files.layout import StorePaths
from autopilot.storage.files.record_log import LogPlace, RecordLog
from autopilot.storage.files.store import FORMAT, FileStore, StoreParts
from autopilot.storage.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class Genesis:
    """How a ledger begins: who made it, with what, and in the place of which lost one."""

    caller: Caller
    created_by: str
    replaced: Mapping[str, Any] | None = None


def create_store(parts: StoreParts, genesis: Genesis) -> FileStore:
    """Make the ledger in `parts.state_dir` and open it; ContractError `ledger_exists` if there is one."""
    paths = StorePaths(parts.state_dir)
    if paths.identity.exists():
        raise ContractError("ledger_exists", where=str(paths.identity))
    for folder in (paths.ledger, paths.segments, paths.leases.parent):
        make_dir_durably(parts.files, folder)
    ObjectStore(parts.files, paths.objects).prepare()
    ledger = _begin(parts, paths, genesis)
    RecordLog.create(parts.files, LogPlace(paths.leases, paths.quarantine, ledger))
    if not paths.lock.exists():
        create_durably(parts.files, paths.lock, b"")
    identity = {"format": FORMAT, "ledger": ledger, "created_by": genesis.created_by}
    create_durably(parts.files, paths.identity, encode(identity) + b"\n")
    return FileStore.open(parts)


def genesis_draft(ledger: str, genesis: Genesis) -> Draft:
    """The first line."""
    data = {
        "ledger": ledger,
        "format": FORMAT,
        "created_by": genesis.created_by,
        "replaced": None if genesis.replaced is None else dict(genesis.replaced),
    }
    return Draft(kind="genesis", caller=genesis.caller, data=data)


def _begin(parts: StoreParts, paths: StorePaths, genesis: Genesis) -> str:
    """Write the first line, or find it written by a run that got no further; the ledger's id."""
    path = paths.segment(0)
    if path.exists():
        return _unfinished(path.read_bytes(), str(path))
    ledger = new_ledger_id()
    _, line = compose(START, ledger, genesis_draft(ledger, genesis), stamp(parts.clock.wall()))
    create_durably(parts.files, path, line)
    return ledger


def _unfinished(content: bytes, where: str) -> str:
    # More than the first line means that a ledger was in use here: losing LEDGER.json is damage, not a beginning.
    if content.count(b"\n") != 1 or not content.endswith(b"\n"):
        raise IntegrityError("ledger_missing", where=where, detail="a ledger without its LEDGER.json")
    _, body = unframe(content[:-1])
    ledger = body[body.find(b'"ledger":"') + 10 :][:32].decode("ascii", "replace")
    entries: list[LedgerEntry] = []
    if walk(content, START, ledger, entries.append).fault is not None or entries[0].kind != "genesis":
        raise IntegrityError("ledger_missing", where=where, detail="not the beginning of a ledger")
    return ledger
