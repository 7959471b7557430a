"""The `Files` port over a disk that forgets: it does what is asked in a real folder, and writes it down.

Programs read the real folder, so nothing but the port has to be replaced. The list of operations, up to any of them,
is what a `Disk` is fed with. Operations can be made to fail, once or from then on.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from autopilot.kernel.files import DiskFiles
from autopilot.testing.power.disk import Cut, Disk, Image, Made, Mark, Named, Op, Synced, Unnamed, Written, nodes_of

_HELPERS = ("kernel/files.py", "storage/files/line_file.py", "storage/crew.py", "testing/power/files.py")
_ALLOCATING = frozenset({"open", "write", "make_dir", "sync"})
_SECRETS = "state/keys"
_HEX = re.compile(r"[0-9a-f]{64}|[0-9]{16}|\b[0-9a-f]{2}\b(?=/|$)|[0-9a-f]{8}(?=\.v?key)|[0-9]+(?=\.note)")
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{12}\.tmp")


class KilledError(BaseException):
    """The program is dead: nothing it still tries reaches the disk."""


@dataclass(slots=True)
class Fault:
    """An error on order: the operation number `at` raises `error`, and `times` in all; for ever if `sticky`."""

    at: int
    error: int
    sticky: bool = False
    short: bool = False
    """A write that fails leaves half of its bytes behind."""
    allocating: bool = False
    """Only what needs room on the disk fails: not a rename, a cut, a removal or a sync of names."""
    times: int = 1


class PowerFiles(DiskFiles):
    """The port over `root`, which holds `image` at the start, all of it synced."""

    # One after the other, so that the order is the same in every run. Nothing is missed by it: whatever two syncs at
    # the same time could leave, the first of two in turn leaves as well, for what is not synced may be there or not.
    concurrent = False

    def __init__(self, root: Path, image: Image, fault: Fault | None = None) -> None:
        self.ops: list[Op] = []
        self.count = 0
        self.struck: list[str] = []
        self.kill_at = -1
        self.kill_write = False
        self.torn = False
        self.killed = False
        self.failing = ""
        self._root = root
        self._image = image
        self._fault = fault
        self._nodes = nodes_of(image)
        self._sizes = {self._nodes[path]: len(data) for path, data in image.items() if data}
        self._opened: dict[int, tuple[int, str, bool]] = {}
        self._next = len(self._nodes)
        self._turn = threading.RLock()

    def disk(self) -> Disk:
        """The disk as it is now."""
        disk = Disk(self._image)
        for op in self.ops:
            disk.apply(op)
        return disk

    def mark(self, count: int) -> None:
        """Write down that the caller was told `count` facts by now."""
        self.ops.append(Mark(count))

    def give_back(self) -> None:
        """Close what a run left open."""
        for descriptor in self._opened:
            try:
                os.close(descriptor)
            except OSError:
                continue

    def revive(self) -> None:
        """Another program comes, on the same machine: what the dead one wrote is there to be read, synced or not."""
        self.killed, self.kill_at, self.kill_write, self.failing = False, -1, False, ""

    # --- the port

    def open(self, path: Path, flags: int, mode: int = 0o644) -> int:
        with self._turn:
            name = self._name(path)
            self._strike("open", name)
            descriptor = super().open(path, flags, mode)
            node = self._nodes.get(name)
            if node is None:
                node = self._new(name, folder=False)
            # A number that was closed and given out again stands for the newer file.
            self._opened[descriptor] = (node, name, bool(flags & os.O_APPEND))
            return descriptor

    def write(self, descriptor: int, data: bytes) -> None:
        with self._turn:
            name, dead = self._opened[descriptor][1], self.killed
            try:
                self._strike("write", name)
            except (OSError, KilledError):
                half = self.torn if self.killed else self._fault is not None and self._fault.short
                if half and not dead and len(data) > 1:
                    self._put(descriptor, data[: len(data) // 2])
                raise
            self._put(descriptor, data)

    def sync(self, descriptor: int) -> None:
        with self._turn:
            node, name, _ = self._opened[descriptor]
            self._sync(node, name, "sync")

    def truncate(self, descriptor: int, size: int) -> None:
        with self._turn:
            node, name, _ = self._opened[descriptor]
            self._strike("truncate", name)
            super().truncate(descriptor, size)
            self.ops.append(Cut(node, size))
            self._sizes[node] = size

    def move(self, source: Path, target: Path, *, replace: bool) -> None:
        with self._turn:
            self._strike("move", self._name(target))
            super().move(source, target, replace=replace)
            old, new = self._name(source), self._name(target)
            node = self._nodes.pop(old)
            self._nodes[new] = node
            (folder, name), was = self._split(new), self._split(old)
            if replace:
                self.ops.append(Named(folder, name, node, was))
            else:
                self.ops += [Named(folder, name, node), Unnamed(*was)]

    def remove(self, path: Path) -> None:
        with self._turn:
            self._strike("remove", self._name(path))
            super().remove(path)
            name = self._name(path)
            del self._nodes[name]
            self.ops.append(Unnamed(*self._split(name)))

    def make_dir(self, path: Path, mode: int = 0o755) -> None:
        with self._turn:
            self._strike("make_dir", self._name(path))
            super().make_dir(path, mode)
            self._new(self._name(path), folder=True)

    def sync_dir(self, path: Path) -> None:
        with self._turn:
            name = self._name(path)
            self._sync(self._nodes[name], name, "sync_dir")

    # --- inside

    def _sync(self, node: int, name: str, operation: str) -> None:
        site = f"{operation} {_role(name)} in {_caller()}"
        try:
            self._strike(operation, name)
        except OSError:
            self.ops.append(Synced(node, site, failed=True))
            raise
        self.ops.append(Synced(node, site))

    def _put(self, descriptor: int, data: bytes) -> None:
        node, _, appending = self._opened[descriptor]
        offset = self._sizes.get(node, 0) if appending else os.lseek(descriptor, 0, os.SEEK_CUR)
        super().write(descriptor, data)
        self.ops.append(Written(node, offset, data))
        self._sizes[node] = max(self._sizes.get(node, 0), offset + len(data))

    def _new(self, name: str, *, folder: bool) -> int:
        node, self._next = self._next, self._next + 1
        self._nodes[name] = node
        self.ops += [Made(node, folder), Named(*self._split(name), node)]
        return node

    def _split(self, name: str) -> tuple[int, str]:
        folder, _, last = name.rpartition("/")
        return self._nodes[folder], last

    def _name(self, path: Path) -> str:
        return str(path)[len(str(self._root)) :].lstrip("/")

    def _strike(self, operation: str, name: str) -> None:
        number, self.count = self.count, self.count + 1
        if self.killed or number == self.kill_at or (self.kill_write and operation == "write"):
            self.killed = True
            raise KilledError
        if self.failing and self.failing == f"{operation} {_role(name)}":
            self.failing = ""
            raise OSError(errno.EIO, os.strerror(errno.EIO), name)
        fault = self._fault
        if fault is None or number < fault.at or (fault.allocating and operation not in _ALLOCATING):
            return
        if fault.sticky or len(self.struck) < fault.times:
            self.struck.append(f"{operation} {_role(name)}")
            raise OSError(fault.error, os.strerror(fault.error), name)

    def heal(self) -> None:
        """No more errors."""
        self._fault, self.failing = None, ""

    def fail_next(self, what: str) -> None:
        """The next operation that is `what`, "sync state/leases/leases.wal" for example, fails with EIO."""
        self.failing = what


class Bench:
    """A real folder that is made to hold one image after another, changing only what differs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._there: Image = {}
        root.mkdir(parents=True, exist_ok=True)

    def load(self, image: Image) -> None:
        """Make the folder hold `image`. Lock files stay: they are no part of what a disk may lose."""
        for path in sorted(self._there.keys() - image.keys(), reverse=True):
            target = self.root / path
            if self._there[path] is None:
                shutil.rmtree(target, ignore_errors=True)
            else:
                target.unlink(missing_ok=True)
        for path, data in image.items():
            if path in self._there and self._there[path] == data:
                continue
            target = self.root / path
            if data is None:
                target.mkdir(exist_ok=True)
            else:
                target.unlink(missing_ok=True)
                target.write_bytes(data)
            if path.startswith(_SECRETS):
                # Rights are made with the name, and stay with it.
                target.chmod(0o700 if data is None else 0o600)
        self._there = dict(image)

    def left_by(self, files: PowerFiles) -> Image:
        """Take note of what a run left in the folder; its image."""
        self._there = files.disk().live()
        return self._there


def _role(name: str) -> str:
    """The path with numbers, digests and random parts taken out: what the file is for."""
    folder, slash, last = name.rpartition("/")
    temporary = _TEMPORARY.fullmatch(last)
    return _HEX.sub("*", folder + slash + (temporary[1] if temporary else last)) or "."


def _caller() -> str:
    """The function that wanted the operation, past the helpers that all of them use."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.endswith(_HELPERS):
        frame = frame.f_back
    return "?" if frame is None else frame.f_code.co_qualname
