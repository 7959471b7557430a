"""Sealed bytes by digest: `<aa>/<sha256>` below one folder, written once, checked whenever they are read.

An object is durable before `put` returns, so that a line may name it: two syncs for a new one. Orphans are
harmless; a line that names an object which is not there is corrupt.
"""

from __future__ import annotations

import re
from pathlib import Path

from autopilot.kernel.canonical import sha256_hex
from autopilot.kernel.errors import ContractError, IntegrityError, StorageError
from autopilot.kernel.files import Files, create_durably, make_dir_durably

_DIGEST = re.compile(r"[0-9a-f]{64}")


class ObjectStore:
    """Objects in a folder."""

    def __init__(self, files: Files, root: Path) -> None:
        self._files = files
        self._root = root

    def prepare(self) -> None:
        """Make the folder and its 256 subfolders, so that no later `put` has to make and sync one."""
        make_dir_durably(self._files, self._root)
        for number in range(256):
            folder = self._root / f"{number:02x}"
            if not folder.is_dir():
                self._files.make_dir(folder)
        self._files.sync_dir(self._root)

    def put(self, data: bytes) -> str:
        """Keep `data` durably and return its digest. IntegrityError `evidence_edited` if other bytes stand there."""
        digest = sha256_hex(data)
        path = self._path(digest)
        try:
            create_durably(self._files, path, data)
        except StorageError:
            # `prepare` made all folders; one that is gone is made again, any other fault is not tried twice.
            if path.parent.is_dir():
                raise
            make_dir_durably(self._files, path.parent)
            create_durably(self._files, path, data)
        return digest

    def get(self, sha256: str) -> bytes:
        """The object's bytes; IntegrityError `object_missing`, or `evidence_edited` if they are not its own."""
        path = self._path(sha256)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise IntegrityError("object_missing", where=sha256) from None
        if sha256_hex(data) != sha256:
            raise IntegrityError("evidence_edited", where=str(path), detail="the object does not have its digest")
        return data

    def has(self, sha256: str) -> bool:
        """Whether an object of that digest is there."""
        return self._path(sha256).is_file()

    def _path(self, sha256: str) -> Path:
        # Digests come from lines and from people: one that is not hex must not become a path.
        if not _DIGEST.fullmatch(sha256):
            raise ContractError("object_missing", where=sha256[:80], detail="not a SHA-256 in hex")
        return self._root.joinpath(sha256[:2], sha256)
