"""The disk without syncs, where what is on it is judged as it lies there."""

from __future__ import annotations

from pathlib import Path

from autopilot.kernel.files import DiskFiles


class UnsyncedFiles(DiskFiles):
    """Writes, and never waits."""

    def sync(self, descriptor: int) -> None:
        """Not here."""

    def sync_dir(self, path: Path) -> None:
        """Not here."""
