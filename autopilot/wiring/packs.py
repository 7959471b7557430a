"""An audit pack of the ledger as it stands: verified first, cut at the line that was verified last. And read again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autopilot.audit.pack import ABOUT, FORMAT, PackContent, require_free, write_pack
from autopilot.kernel.canonical import dumps, parse
from autopilot.kernel.errors import AutopilotError, ContractError
from autopilot.kernel.files import DiskFiles, read_regular
from autopilot.kernel.framing import BODY_START
from autopilot.kernel.placing import refuse_strangers
from autopilot.kernel.throwaway import throwaway
from autopilot.storage.files.checkpoints import CheckpointFiles
from autopilot.storage.files.layout import SEGMENT_ENTRIES, StorePaths
from autopilot.storage.files.store import read_identity
from autopilot.storage.objects import ObjectStore
from autopilot.wiring.checkpoints import known_keys, scan_intact

_MAX_ABOUT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Exported:
    """What was exported: the ledger, its lines, how many of them are signed, and the files written."""

    ledger: str
    entries: int
    signed: int
    files: int


def export_pack(place: Path, floor: int, target: Path, *, objects: bool = False, dry_run: bool = False) -> Exported:
    """Write the pack of the state directory `place` to `target`.

    IntegrityError for a ledger that does not verify or a sealed object that is gone; ContractError `no_checkpoint`,
    for nobody could tell such a pack from a made-up one, and `target_exists`.
    """
    require_free(target)
    scanned, _ = scan_intact(place, floor)
    entries = len(scanned.leaves)
    files, ledger = CheckpointFiles(place), read_identity(StorePaths(place))
    sizes = files.sizes()
    if not sizes:
        raise ContractError("no_checkpoint", where=str(files.folder))
    content = PackContent(
        ledger=ledger,
        entries=entries,
        segments=_segments(place, entries),
        notes=((f"{size}.note", files.read(size)) for size in sizes),
        keys=known_keys(place, ledger, scanned),
        objects=_objects(place, entries) if objects else None,
    )
    written = 0 if dry_run else write_pack(content, target)
    return Exported(ledger, entries, max(sizes), written)


@contextlib.contextmanager
def opened_copy(path: Path) -> Iterator[Path]:
    """The state directory that `path` is a copy of, or an audit pack as one; not to be used after the block.

    Nothing in the pack is believed but which ledger it says it is; whoever verifies compares that. ContractError
    `bad_usage` for a `pack.json` that says nothing of the kind; IntegrityError `state_linked` where a link or a pipe
    stands for one of its files: who hands a pack in must not decide what else is read, or that nothing ends.
    """
    if not (path / ABOUT).is_file():
        yield path
        return
    try:
        about = parse(read_regular(path, ABOUT, cap=_MAX_ABOUT_BYTES), where=ABOUT)
        identity = dumps({"ledger": str(about["ledger"]), "format": FORMAT})
    except (AutopilotError, KeyError, TypeError) as error:
        detail = f"not an audit pack: {error}"
        raise ContractError("bad_usage", where=str(path / ABOUT), detail=detail, remedy="name a whole pack") from None
    folders = ("seg", "checkpoints")
    refuse_strangers(path, folders=folders, files=())
    refuse_strangers(path, folders=(), files=tuple(f"{name}/{one}" for name in folders for one in _names(path / name)))
    with throwaway("autopilot-pack-") as folder:
        ledger = StorePaths(folder).ledger
        ledger.mkdir()
        (ledger / "LEDGER.json").write_bytes(identity)
        for name in folders:
            (ledger / name).symlink_to((path / name).absolute())
        yield folder


def _names(folder: Path) -> list[str]:
    try:
        return [found.name for found in folder.iterdir()]
    except FileNotFoundError:
        return []


def _segments(place: Path, entries: int) -> Iterator[tuple[str, bytes]]:
    """The segments byte for byte; what was appended to the last one since is left out."""
    for first in range(0, entries, SEGMENT_ENTRIES):
        path = StorePaths(place).segment(first)
        lines = path.read_bytes().split(b"\n")[: min(entries - first, SEGMENT_ENTRIES)]
        yield path.name, b"\n".join(lines) + b"\n"


def _objects(place: Path, entries: int) -> Iterator[tuple[str, bytes]]:
    """Every artifact that a line names, once."""
    store, seen = ObjectStore(DiskFiles(), StorePaths(place).objects), set[str]()
    for _, data in _segments(place, entries):
        for line in data.split(b"\n")[:-1]:
            for artifact in parse(line[BODY_START:-1])["artifacts"]:
                if artifact["sha256"] not in seen:
                    seen.add(artifact["sha256"])
                    yield artifact["sha256"], store.get(artifact["sha256"])
