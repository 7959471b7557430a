"""The simulated disk under several processes: one list of operations, torn and lost as `testing.power` tells.

Each process has its own port on it. At every operation the process may lose its turn, be killed, lose power with all
the others, or meet an error of the disk; the names of temporary files, which the engine draws by chance, are numbered.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from autopilot.kernel.files import DiskFiles
from autopilot.testing.power.disk import Image
from autopilot.testing.power.files import Fault, PowerFiles
from autopilot.testing.simulation.baton import KilledError

_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{12}\.tmp")


class SimDisk(PowerFiles):
    """The disk since the power came on; errors can be put on order while it runs."""

    def __init__(self, root: Path, image: Image) -> None:
        super().__init__(root, image)
        self.owners: dict[int, ProcessFiles] = {}
        """Whose each open descriptor is: a number that was closed may stand for another's file by now."""

    def is_segment(self, descriptor: int) -> bool:
        """Whether the open file is a segment of the ledger."""
        return "/seg/" in self._opened[descriptor][1]

    def arm(self, after: int, error: int, *, short: bool) -> None:
        """The operation that comes `after` so many others fails once."""
        self._fault = Fault(self.count + after, error, short=short)


def lay_out(root: Path, there: Image, image: Image) -> None:
    """Make the folder that holds `there` hold `image`."""
    for path in sorted(there.keys() - image.keys(), reverse=True):
        if there[path] is None:
            shutil.rmtree(root / path, ignore_errors=True)
        else:
            (root / path).unlink(missing_ok=True)
    for path, data in image.items():
        if path in there and there[path] == data:
            continue
        if data is None:
            (root / path).mkdir(exist_ok=True)
        else:
            (root / path).unlink(missing_ok=True)
            (root / path).write_bytes(data)


class Fate(Protocol):
    """What the seed has in store for a process."""

    def meet(self, operation: str) -> None:
        """Called before each operation: may hand the baton on, and raises KilledError where the process ends."""
        ...

    def torn(self, length: int) -> int:
        """How much of a write is there when the process is killed in it."""
        ...

    def number(self) -> int:
        """A number that no other file of this run has."""
        ...


class ProcessFiles(DiskFiles):
    """One process's port on `disk`. `fate` is asked before each operation and raises what befalls the process there."""

    concurrent = False

    def __init__(self, disk: Callable[[], SimDisk], fate: Fate) -> None:
        self.dead = False
        self._disk = disk
        self._fate = fate
        self._names: dict[Path, Path] = {}
        self._opened: dict[int, tuple[int, int]] = {}

    def open(self, path: Path, flags: int, mode: int = 0o644) -> int:
        self._before("open")
        descriptor = self._disk().open(self._named(path), flags, mode)
        found = os.fstat(descriptor)
        self._opened[descriptor] = (found.st_ino, found.st_dev)
        self._disk().owners[descriptor] = self
        return descriptor

    def write(self, descriptor: int, data: bytes) -> None:
        was_dead = self.dead
        try:
            self._before("write")
        except KilledError:
            # Killed in the middle of the write: a beginning of it may be there.
            part = 0 if was_dead else self._fate.torn(len(data))
            if part:
                self._disk().write(descriptor, data[:part])
            raise
        self._disk().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self._before("sync")
        self._disk().sync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        self._before("truncate")
        self._disk().truncate(descriptor, size)

    def move(self, source: Path, target: Path, *, replace: bool) -> None:
        self._before("move")
        self._disk().move(self._named(source), target, replace=replace)

    def remove(self, path: Path) -> None:
        self._before("remove")
        self._disk().remove(self._named(path))

    def make_dir(self, path: Path, mode: int = 0o755) -> None:
        self._before("make_dir")
        self._disk().make_dir(path, mode)

    def sync_dir(self, path: Path) -> None:
        self._before("sync_dir")
        self._disk().sync_dir(path)

    def give_back(self) -> None:
        """Close what the dead process left open, as the kernel does. Numbers that stand for other files stay."""
        self.dead = True
        for descriptor, known in self._opened.items():
            if self._disk().owners.get(descriptor) is not self:
                continue
            try:
                found = os.fstat(descriptor)
                if (found.st_ino, found.st_dev) == known:
                    os.close(descriptor)
            except OSError:
                continue
        self._opened = {}

    def _before(self, operation: str) -> None:
        if self.dead:
            raise KilledError
        try:
            self._fate.meet(operation)
        except KilledError:
            self.dead = True
            raise

    def _named(self, path: Path) -> Path:
        """The path, a temporary file's with a number in the place of its random part."""
        match = _TEMPORARY.fullmatch(path.name)
        if match is None:
            return path
        if path not in self._names:
            self._names[path] = path.with_name(f".{match[1]}.{self._fate.number():012x}.tmp")
        return self._names[path]
