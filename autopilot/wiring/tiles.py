"""An export as a tiled transparency log: verified first, and carried on where an earlier export left off.

The order in which files appear keeps every reader right: tiles, then the checkpoint that needs them, and only then do
the partial tiles go whose full ones are there. What stands in the folder is held against the ledger before anything is
written: a folder of another ledger, or of another history of this one, is not touched.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from autopilot.kernel.errors import ContractError, IntegrityError, RefusedError
from autopilot.kernel.files import is_already, read_regular, storage_error
from autopilot.kernel.framing import BODY_START
from autopilot.kernel.placing import place_file
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.ledger.anchoring import Held
from autopilot.ledger.tiles import tiles
from autopilot.signing.checkpoint import Checkpoint, checkpoint_of
from autopilot.signing.note import MAX_NOTE_BYTES, Note
from autopilot.storage.files.checkpoints import CheckpointFiles
from autopilot.storage.files.layout import SEGMENT_ENTRIES, StorePaths
from autopilot.wiring.checkpoints import Given, Verified, verify_state

CHECKPOINT = "checkpoint"
TILE = "tile"
_PARTIAL = ".p"


@dataclass(frozen=True, slots=True)
class Tiled:
    """What was exported: the log's origin, its size, how many files it has, and how many of them were written now."""

    origin: str
    size: int
    files: int
    written: int


def export_tiles(
    place: Path, floor: int, target: Path, *, note: tuple[str, bytes] | None = None, dry_run: bool = False
) -> Tiled:
    """Write the ledger of `place` to `target`, up to the newest stored checkpoint, or to `note` (where, bytes).

    IntegrityError for a ledger that does not verify, or is not the one in `target`; ContractError `no_checkpoint`,
    `target_exists` for a folder with anything else in it; RefusedError `older_checkpoint`.
    """
    before = _exported(target)
    held = (Held(before, str(target / CHECKPOINT)),) if before else ()
    verified = verify_state(place, floor, Given(notes=(note,) if note else (), held=held))
    if not verified.report.intact:
        raise verified.report.error()
    newest = note[1] if note else _newest(place)
    checkpoint = checkpoint_of(Note.parse(newest))
    if before is not None and checkpoint.size < before.size:
        detail = f"{checkpoint.size} entries; {before.size} are exported"
        raise RefusedError(Verdict((Reason("older_checkpoint", where=str(target), detail=detail),)))
    paths, written = _write(place, target, _sizes(verified, checkpoint.size), dry_run=dry_run)
    if not dry_run:
        place_file(target, CHECKPOINT, newest)
        _drop_partials(target, paths)
    return Tiled(checkpoint.origin, checkpoint.size, len(paths) + 1, written + 1)


def _exported(target: Path) -> Checkpoint | None:
    """The checkpoint of an earlier export in `target`; ContractError `target_exists` for anything else there."""
    if not target.exists() and not target.is_symlink():
        return None
    if not target.is_dir() or any(path.name not in (CHECKPOINT, TILE) for path in target.iterdir()):
        raise ContractError("target_exists", where=str(target))
    try:
        return checkpoint_of(Note.parse(read_regular(target, CHECKPOINT, cap=MAX_NOTE_BYTES)))
    except ContractError as error:
        if error.code == "artifact_missing":
            return None  # an export that was interrupted
        raise
    except IntegrityError as error:
        raise IntegrityError(error.code, where=str(target / CHECKPOINT), detail=error.detail) from None


def _newest(place: Path) -> bytes:
    files = CheckpointFiles(place)
    sizes = files.sizes()
    if not sizes:
        raise ContractError("no_checkpoint", where=str(files.folder))
    return files.read(max(sizes))


def _sizes(verified: Verified, size: int) -> set[int]:
    """The sizes at which the log was told, up to this one."""
    return {size, *(one.checkpoint.size for one in verified.held if one.checkpoint.size <= size)}


def _write(place: Path, target: Path, sizes: set[int], *, dry_run: bool) -> tuple[list[str], int]:
    """Every tile, written unless it is there as it must be; the paths, and how many were written."""
    paths, written = [], 0
    for path, data in tiles(_bodies(place, max(sizes)), sizes):
        paths.append(path)
        # A tile is written once; other bytes under its name are another history.
        if is_already(target / path, data):
            continue
        written += 1
        if not dry_run:
            place_file(target, path, data)
    return paths, written


def _bodies(place: Path, entries: int) -> Iterator[bytes]:
    paths = StorePaths(place)
    for first in range(0, entries, SEGMENT_ENTRIES):
        for line in paths.segment(first).read_bytes().split(b"\n")[:-1]:
            yield line[BODY_START:-1]


def _drop_partials(target: Path, paths: list[str]) -> None:
    try:
        for path in paths:
            partials = target / (path + _PARTIAL)
            if partials.is_dir():
                shutil.rmtree(partials)
    except OSError as error:
        raise storage_error(error, target) from error
