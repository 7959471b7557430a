"""A file port that writes down what is asked of it, and fails where it is told to."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from autopilot.kernel.files import DiskFiles


class FaultyFiles(DiskFiles):
    """The disk, with a log of calls and faults on order.

    `fail` maps an operation's name to the number of its calls that still go well; after them each one raises EIO (or
    `error`). `half` makes the next failing write leave half of its bytes behind.
    """

    # One after the other, so that the log and the faults are the same in every run.
    concurrent = False

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.fail: dict[str, int] = {}
        self.error = errno.EIO
        self.half = False
        self._names: dict[int, str] = {}

    def open(self, path: Path, flags: int, mode: int = 0o644) -> int:
        self._note("open", path.name)
        descriptor = super().open(path, flags, mode)
        self._names[descriptor] = path.name
        return descriptor

    def write(self, descriptor: int, data: bytes) -> None:
        try:
            self._note("write", self._names.get(descriptor, "?"))
        except OSError:
            if self.half:
                os.write(descriptor, data[: len(data) // 2])
            raise
        super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._note("sync", self._names.get(descriptor, "?"))
        super().sync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        self._note("truncate", self._names.get(descriptor, "?"))
        super().truncate(descriptor, size)

    def move(self, source: Path, target: Path, *, replace: bool) -> None:
        self._note("move", target.name)
        super().move(source, target, replace=replace)

    def remove(self, path: Path) -> None:
        self._note("remove", path.name)
        super().remove(path)

    def make_dir(self, path: Path, mode: int = 0o755) -> None:
        self._note("make_dir", path.name)
        super().make_dir(path, mode)

    def sync_dir(self, path: Path) -> None:
        self._note("sync_dir", path.name)
        super().sync_dir(path)

    def operations(self) -> list[str]:
        """The names of the calls so far."""
        return [name for name, _ in self.calls]

    def _note(self, operation: str, name: str) -> None:
        self.calls.append((operation, name))
        left = self.fail.get(operation)
        if left is None:
            return
        if left == 0:
            raise OSError(self.error, os.strerror(self.error), name)
        self.fail[operation] = left - 1
