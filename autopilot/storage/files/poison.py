"""The mark that keeps everyone out: a sync failed, and what the disk holds is not known any more."""

from __future__ import annotations

import contextlib
import os

from autopilot.kernel.canonical import encode
from autopilot.kernel.clock import Clock
from autopilot.kernel.errors import IntegrityError, StorageError
from autopilot.kernel.files import APPEND, Files
from autopilot.kernel.stamps import stamp
from autopilot.storage.files.layout import StorePaths
from autopilot.storage.files.moved import refuse_moved


class Poison:
    """The mark of one store."""

    def __init__(self, files: Files, paths: StorePaths, clock: Clock) -> None:
        self._files = files
        self._paths = paths
        self._clock = clock
        self._place = str(paths.poisoned)
        self._unmarked: StorageError | None = None

    def stands(self) -> bool:
        """Whether the store is poisoned."""
        if self._unmarked is not None:
            self.mark(self._unmarked)
            return True
        return os.access(self._place, os.F_OK)  # the cheapest look: it is on the path of every append

    def refuse(self) -> None:
        """IntegrityError `poisoned`, or that the store was moved, if the mark stands."""
        if self.stands():
            refuse_moved(self._paths)
            raise IntegrityError("poisoned", where=self._place, detail="a sync failed earlier")

    def mark(self, error: StorageError) -> None:
        """Keep everyone out.

        The mark is a name; what it says is for people. A rename needs no room on the disk; if that fails, a file is
        made. No sync: after a power loss nothing is in doubt, each log is what the disk has of it. Where neither way
        goes, this store at least is not used again, and tries each time. A disk that refuses every rename and every
        new file until this process has ended, and then serves the next, is beyond it: no place is left to tell it.
        """
        content = encode({"where": error.where, "detail": error.detail, "ts": stamp(self._clock.wall())})
        self._unmarked = error
        with contextlib.suppress(OSError):
            self._files.move(self._paths.reserve, self._paths.poisoned, replace=True)
            self._unmarked = None
        with contextlib.suppress(OSError):
            descriptor = self._files.open(self._paths.poisoned, APPEND)
            self._unmarked = None
            try:
                self._files.write(descriptor, content + b"\n")
            finally:
                os.close(descriptor)
