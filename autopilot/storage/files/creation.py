"""Making a ledger: folders, the first line, the empty lease log, and last of all `LEDGER.json`.

A run that was cut short before the last step is taken up again by the next one: the first line is there already and
keeps its id. What stands there was seen, not synced: every name is synced again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import encode
from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.kernel.files import (
    Files,
    create_durably,
    make_dir_durably,
    make_empty,
    storage_error,
    sync_dir_or_fail,
)
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
    _make_folders(parts.files, paths)
    ObjectStore(parts.files, paths.objects).prepare()
    ledger = _begin(parts, paths, genesis)
    RecordLog.create(parts.files, LogPlace(paths.leases, paths.quarantine, ledger))
    make_empty(parts.files, paths.reserve)
    identity = {"format": FORMAT, "ledger": ledger, "created_by": genesis.created_by}
    create_durably(parts.files, paths.identity, encode(identity) + b"\n")
    return FileStore.open(parts)


def _make_folders(files: Files, paths: StorePaths) -> None:
    """Make what is missing, then sync each folder that holds one of them, once."""
    make_dir_durably(files, paths.state_dir.parent)
    wanted = (
        paths.state_dir,
        paths.ledger,
        paths.segments,
        paths.leases.parent,
        paths.objects.parent,
        paths.objects,
    )
    for folder in wanted:
        try:
            files.make_dir(folder)
        except FileExistsError:
            continue
        except OSError as error:
            raise storage_error(error, folder) from error
    for holder in dict.fromkeys(folder.parent for folder in wanted):
        sync_dir_or_fail(files, holder)


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
        content = path.read_bytes()
        ledger = _unfinished(content, str(path))
        create_durably(parts.files, path, content)
        return ledger
    ledger = new_ledger_id(parts.draw)
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
