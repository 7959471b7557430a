"""An audit pack of the ledger as it stands: verified first, cut at the line that was verified last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autopilot.audit.pack import PackContent, require_free, write_pack
from autopilot.kernel.canonical import parse
from autopilot.kernel.errors import ContractError
from autopilot.kernel.files import DiskFiles
from autopilot.kernel.framing import BODY_START
from autopilot.storage.files.checkpoints import CheckpointFiles
from autopilot.storage.files.layout import SEGMENT_ENTRIES, StorePaths
from autopilot.storage.files.store import read_identity
from autopilot.storage.objects import ObjectStore
from autopilot.wiring.checkpoints import known_keys, scan_intact


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
