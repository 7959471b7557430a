"""Sealed bytes by digest: `<aa>/<sha256>` below one folder, written once, checked whenever they are read.

An object is durable before a line may name it: two syncs for a new one. `put` does that at once. `stage` keeps it
back until `settle`, which brings all that a call has staged to the disk at the same time; a store settles before it
takes its lock, so that no line of a transaction can name what is not durable. Orphans are harmless; a line that names
an object which is not there is corrupt.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

from autopilot.kernel.canonical import sha256_hex
from autopilot.kernel.errors import ContractError, IntegrityError, StorageError
from autopilot.kernel.files import (
    Files,
    create_all_durably,
    create_durably,
    in_turn,
    is_already,
    make_dir_durably,
    replace_durably,
    storage_error,
)
from autopilot.storage.crew import CREW

STAGED_BYTES_MAX = 8 * 1024 * 1024
"""What one thread may keep staged; more is settled at once, so that nothing large waits in memory."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


class _Staged(threading.local):
    """What this thread has staged. A call runs in one thread: what it staged fails with it and with no other."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.bytes = 0


class ObjectStore:
    """Objects in a folder."""

    def __init__(self, files: Files, root: Path, failed: Callable[[StorageError], None] | None = None) -> None:
        """`failed` is told of a sync that failed: what is named by then may not last, and nobody can tell later."""
        self._files = files
        self._root = root
        self._failed = failed
        self._staged = _Staged()

    def prepare(self) -> None:
        """Make the folder and its 256 subfolders, so that no later `put` has to make and sync one."""
        make_dir_durably(self._files, self._root)
        try:
            for number in range(256):
                folder = self._root / f"{number:02x}"
                if not folder.is_dir():
                    self._files.make_dir(folder)
            self._files.sync_dir(self._root)
        except OSError as error:
            raise storage_error(error, self._root) from error

    def put(self, data: bytes) -> str:
        """Keep `data` durably and return its digest. IntegrityError `evidence_edited` if other bytes stand there."""
        digest = sha256_hex(data)
        self._create(self._path(digest), data)
        return digest

    def stage(self, data: bytes) -> str:
        """Keep `data` until this thread's next `settle`; its digest. IntegrityError `evidence_edited` as `put`."""
        digest, staged = sha256_hex(data), self._staged
        if digest not in staged.objects:
            path = self._path(digest)
            try:
                is_already(path, data)
            except OSError as error:
                raise storage_error(error, path) from error
            staged.objects[digest] = data
            staged.bytes += len(data)
            if staged.bytes > STAGED_BYTES_MAX:
                self.settle()
        return digest

    def settle(self) -> None:
        """Make durable what this thread has staged. StorageError or IntegrityError as `put`; then nothing is staged.

        All at the same time: the disk takes little longer for several syncs than for one.
        """
        staged = self._staged.objects
        if not staged:
            return
        self._staged.objects, self._staged.bytes = {}, 0
        wanted = [(self._path(digest), data) for digest, data in staged.items()]
        try:
            create_all_durably(self._files, wanted, CREW.run if self._files.concurrent else in_turn)
        except StorageError as error:
            self._report(error)
            if all(path.parent.is_dir() for path, _ in wanted):
                raise
            for path, data in wanted:
                self._create(path, data)

    def renew(self) -> None:
        """Write every object anew, for a repair: after a failed sync the system may hold for stored what it lost.

        An object that does not have its digest stays as it is, for an audit to find. StorageError as `put`.
        """
        for path in sorted(self._root.glob("[0-9a-f][0-9a-f]/*")):
            if _DIGEST.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                data = path.read_bytes()
                if sha256_hex(data) == path.name:
                    replace_durably(self._files, path, data)

    def _create(self, path: Path, data: bytes) -> None:
        try:
            create_durably(self._files, path, data)
        except StorageError as error:
            self._report(error)
            # `prepare` made all folders; one that is gone is made again, any other fault is not tried twice.
            if path.parent.is_dir():
                raise
            make_dir_durably(self._files, path.parent)
            create_durably(self._files, path, data)

    def _report(self, error: StorageError) -> None:
        if error.code == "sync_failed" and self._failed is not None:
            self._failed(error)

    def get(self, sha256: str) -> bytes:
        """The object's bytes; IntegrityError `object_missing`, or `evidence_edited` if they are not its own."""
        staged = self._staged.objects.get(sha256)
        if staged is not None:
            return staged
        path = self._path(sha256)
        try:
            # Never a pipe: the first reader of one would wait for ever.
            data = b"" if path.is_fifo() else path.read_bytes()
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
