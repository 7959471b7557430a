"""One append-only file of framed lines, below the ledger's segments and the lease log.

It knows bytes, offsets and syncs, not what lines mean. A write that fails is taken back before anyone can see it.
A sync that fails is never tried again, by nobody: the system reports such an error to one caller only, and answers the
next that all is well. So syncs of one file are made one at a time, and after a failure every further one fails too.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path

from autopilot.kernel.errors import IntegrityError, StorageError
from autopilot.kernel.files import APPEND, Files, storage_error, sync_or_fail


class LineFile:
    """A file that grows by whole lines. `size` is where the known good part ends.

    `syncing` is held while a sync is made: the descriptor is not closed under it.
    """

    def __init__(self, files: Files, path: Path) -> None:
        self.path = path
        self.size = 0
        self.syncing = threading.Lock()
        self._files = files
        self._failed: StorageError | None = None
        try:
            self._descriptor = files.open(path, APPEND & ~os.O_CREAT)
        except FileNotFoundError:
            raise  # what that means depends on the log
        except OSError as error:
            raise storage_error(error, path) from error
        self._inode = os.fstat(self._descriptor).st_ino

    def length(self) -> int:
        """The file's length now; IntegrityError `truncated` if it is shorter than what was known to be good."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            raise IntegrityError("truncated", where=str(self.path), detail="the file is gone") from None
        if found.st_ino != self._inode:
            raise ReplacedError
        if found.st_size < self.size:
            raise IntegrityError(
                "truncated",
                where=str(self.path),
                detail=f"{found.st_size} bytes, {self.size} were acknowledged",
            )
        return found.st_size

    def is_unchanged(self) -> bool:
        """Whether the file is as long as is known to be good and still has a name: a file put in its place takes it.

        On the path of every append, so the descriptor is asked and not the name, at a quarter of the cost.
        """
        found = os.fstat(self._descriptor)
        return found.st_size == self.size and found.st_nlink > 0

    def read(self, start: int, end: int) -> bytes:
        """The bytes from `start` to `end`."""
        chunks: list[bytes] = []
        while start < end:
            chunk = os.pread(self._descriptor, end - start, start)
            if not chunk:
                break
            chunks.append(chunk)
            start += len(chunk)
        return b"".join(chunks)

    def append(self, line: bytes) -> None:
        """Add `line`, one or several whole ones, with one write and no sync. StorageError."""
        try:
            self._files.write(self._descriptor, line)
        except OSError as error:
            # Nobody has seen it: we hold the lock. If cutting fails too, the rest is a torn tail for the next opener.
            with contextlib.suppress(OSError):
                self._files.truncate(self._descriptor, self.size)
            raise storage_error(error, self.path) from error
        self.size += len(line)

    def sync(self) -> None:
        """Bring everything written to the disk; StorageError `sync_failed` if that is not certain."""
        with self.syncing:
            self.sync_held()

    def sync_held(self) -> None:
        """`sync` for who holds `syncing`."""
        if self._failed is not None:
            raise StorageError(self._failed.code, where=self._failed.where, detail=self._failed.detail)
        try:
            sync_or_fail(self._files, self._descriptor, self.path)
        except StorageError as error:
            self._failed = error
            raise

    def cut(self, size: int) -> None:
        """Drop everything from `size` on, durably."""
        try:
            self._files.truncate(self._descriptor, size)
        except OSError as error:
            raise storage_error(error, self.path) from error
        self.size = size
        self.sync()

    def close(self) -> None:
        """Give the descriptor back."""
        with self.syncing:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1


class ReplacedError(Exception):
    """Another file has taken the name (a repair, a compaction): what was cached of the old one is void."""
