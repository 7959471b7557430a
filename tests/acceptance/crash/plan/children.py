"""Children of the trials: forked, each with one end of a pipe to say what was acknowledged, and killed at will."""

from __future__ import annotations

import os
import select
import signal
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from autopilot.kernel.files import DiskFiles, Files
from autopilot.storage.files.store import FileStore, StoreParts
from autopilot.testing.folds import TallyFold
from autopilot.testing.power.trials import LossError, a_line

PATIENCE_SECONDS = 120
Say = Callable[[str], None]


class SplitFiles(DiskFiles):
    """Every second write comes in two halves, so that a kill can fall between them."""

    def __init__(self) -> None:
        self._count = 0

    def write(self, descriptor: int, data: bytes) -> None:
        self._count += 1
        half = len(data) // 2 if self._count % 2 else 0
        if half:
            os.write(descriptor, data[:half])
            time.sleep(0.0002)
        super().write(descriptor, data[half:])


class Child:
    """A forked process that runs `work` and says lines; never returns into the caller's code."""

    def __init__(self, work: Callable[[Say], None]) -> None:
        reading, writing = os.pipe()
        self.pid = os.fork()
        self._rest = b""
        if self.pid == 0:
            code = 1
            try:
                os.close(reading)
                work(lambda text: (os.write(writing, f"{text}\n".encode()), None)[1])
                code = 0
            except BaseException:  # noqa: BLE001 - a child that fails says so and ends
                os.write(writing, ("!" + traceback.format_exc().replace("\n", " | ") + "\n").encode())
            finally:
                os._exit(code)
        os.close(writing)
        self._pipe = reading

    def line(self) -> str:
        """The next line it says, waited for; "" when it has ended."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while b"\n" not in self._rest:
            if not select.select([self._pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise LossError("a child said nothing for two minutes")
            data = os.read(self._pipe, 65536)
            if not data:
                return ""
            self._rest += data
        text, _, self._rest = self._rest.partition(b"\n")
        return text.decode()

    def rest(self) -> list[str]:
        """All whole lines it still has to say, to its end. LossError if it failed."""
        lines: list[str] = []
        while text := self.line():
            if text.startswith("!"):
                raise LossError(f"a child failed: {text}")
            lines.append(text)
        return lines

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def end(self) -> int:
        """Wait for its end; its status."""
        os.close(self._pipe)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def kill(self) -> None:
        """End it, whatever it does."""
        self.signal(signal.SIGKILL)
        self.signal(signal.SIGCONT)


def parts(folder: Path, files: Files | None = None) -> StoreParts:
    """The parts of a real store on a real clock."""
    return StoreParts(folder / "state", TallyFold(), files or DiskFiles())


def append_for_ever(folder: Path, name: str, *, split: bool, count: int = 0) -> Callable[[Say], None]:
    """Work that appends lines, `count` of them or until it is killed, and says each number once it is acknowledged."""

    def work(say: Say) -> None:
        store = FileStore.open(parts(folder, SplitFiles() if split else None))
        number = 0
        say("ready")
        while count == 0 or number < count:
            with store.transaction() as tx:
                entry = tx.append(a_line(f"{name}-{number}"))
            say(f"{entry.seq} {entry.hash}")
            number += 1
        store.close()

    return work


def require_acked(store: FileStore, acked: dict[int, str], since: int = 0) -> None:
    """LossError unless each acknowledged line from `since` on stands, and all of it verifies."""
    found = {entry.seq: entry.hash for entry in store.entries(since)}
    gone = [seq for seq, digest in acked.items() if seq >= since and found.get(seq) != digest]
    if gone:
        raise LossError(f"acknowledged and lost: {gone[:5]}")
    if not store.verify().intact:
        raise LossError(f"verification says {store.verify()}")
