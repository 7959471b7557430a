"""What the machine itself needs: the bare system calls behind a durable line and a durable object."""

from __future__ import annotations

import os
from pathlib import Path

from autopilot.kernel.files import APPEND, DiskFiles


class UnsyncedFiles(DiskFiles):
    """The machine's files with both syncs left out: what remains is the work of the processor."""

    def sync(self, descriptor: int) -> None:
        """Leave it to the kernel."""

    def sync_dir(self, path: Path) -> None:
        """Leave it to the kernel."""


class BareLog:
    """A file that is appended to: one write and one fdatasync a call."""

    def __init__(self, path: Path, line_bytes: int, files: DiskFiles | None = None) -> None:
        self._files = files or DiskFiles()
        self._descriptor = self._files.open(path, APPEND)
        self._line = b"x" * (line_bytes - 1) + b"\n"

    def append(self, _round: int = 0) -> None:
        """One line, durable."""
        self._files.write(self._descriptor, self._line)
        self._files.sync(self._descriptor)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)


class BareMove:
    """What a move must bring to the disk and nothing else: new objects (two syncs each), then one line (one sync).

    An object is written under another name, synced, renamed into one of 256 folders, and the folder synced: the least
    that leaves a whole file or none after a power loss.
    """

    def __init__(self, folder: Path, objects: tuple[int, ...], line_bytes: int, files: DiskFiles | None = None) -> None:
        self._files = files or DiskFiles()
        self._folders = [folder / f"{number:02x}" for number in range(256)]
        for place in self._folders:
            place.mkdir(parents=True)
        self._contents = [b"x" * size for size in objects]
        self._log = BareLog(folder / "log", line_bytes, self._files)

    def __call__(self, number: int) -> None:
        """One move."""
        for index, content in enumerate(self._contents):
            folder = self._folders[(number * 31 + index * 89) % 256]
            path = f"{folder}/{number}-{index}"
            descriptor = os.open(path + ".tmp", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            os.write(descriptor, content)
            self._files.sync(descriptor)
            os.close(descriptor)
            os.rename(path + ".tmp", path)  # noqa: PTH104 - the bare call
            self._files.sync_dir(folder)
        self._log.append()

    def close(self) -> None:
        """Give the descriptor back."""
        self._log.close()
