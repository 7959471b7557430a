"""Writing git objects durably, in git's two forms: one loose file, or many in a pack.

Both forms appear under their final name only when they are whole and synced. Format: gitformat-pack(5).
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
import zlib
from pathlib import Path

from autopilot.vcs.git import Place, run_git

_KINDS = {"commit": 1, "tree": 2, "blob": 3}
_CHUNK_BYTES = 1 << 20
# The engine writes more often than it reads, and disk is cheap beside a person waiting.
_LEVEL = 1


def write_loose(objects: Path, sha: str, kind: str, data: bytes) -> None:
    """One object as `objects/<aa>/<rest>`: temporary file, sync, rename, sync of the folder."""
    folder = objects / sha[:2]
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(objects)
    handle, name = tempfile.mkstemp(prefix="tmp_obj_", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(zlib.compress(b"%s %d\0" % (kind.encode(), len(data)) + data, _LEVEL))
            file.flush()
            os.fchmod(file.fileno(), 0o444)
            os.fsync(file.fileno())
        # Renaming over a file of the same name is harmless: the name is the content.
        Path(name).rename(folder / sha[2:])
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class PackWriter:
    """Objects appended one by one to an unfinished pack; nothing of it is visible before `finish`."""

    def __init__(self, place: Place, object_format: str) -> None:
        self._place = place
        self._object_format = object_format
        self._count = 0
        self._path = place.git_dir / "unfinished.pack"
        self._file = self._path.open("wb")
        self._file.write(_header(0))

    def append(self, kind: str, data: bytes) -> None:
        """Add one object."""
        self._file.write(_entry_header(_KINDS[kind], len(data)) + zlib.compress(data, _LEVEL))
        self._count += 1

    def finish(self) -> None:
        """Hand the pack to `git index-pack`, which hashes every object, syncs, and names pack and index."""
        self._file.seek(0)
        self._file.write(_header(self._count))
        self._file.close()
        digest = hashlib.new(self._object_format, usedforsecurity=False)
        with self._path.open("r+b") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
            file.write(digest.digest())
        # --keep: a `git gc` run in the engine's folder finds no refs there and must not take the objects for rubbish.
        run_git(self._place, "index-pack", "--stdin", "--keep=autopilot", feed_from=self._path)
        sync_folder(self._place.objects / "pack")
        sync_folder(self._place.objects)

    def close(self) -> None:
        """Let go of the file; without `finish` the pack is dropped with the scratch folder it lies in."""
        self._file.close()


def _header(count: int) -> bytes:
    return b"PACK" + struct.pack(">II", 2, count)


def _entry_header(kind: int, size: int) -> bytes:
    """Kind and size: four bits of size in the first byte, then seven in each, low bits first."""
    first, size = kind << 4 | size & 0x0F, size >> 4
    header = bytearray()
    while size:
        header.append(first | 0x80)
        first, size = size & 0x7F, size >> 7
    header.append(first)
    return bytes(header)
