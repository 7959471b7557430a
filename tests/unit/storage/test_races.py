"""Real processes on one ledger: eight that append at once, and writers killed at random moments."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from autopilot.ledger.entry import LedgerEntry
from autopilot.ledger.kinds import MIRRORED
from autopilot.storage.files.store import FileStore
from autopilot.storage.files.verify import verify_files

# Appends `count` lines (0: for ever), now and then takes a lease, and says on its output what was acknowledged.
_WRITER = """
import sys
from pathlib import Path
from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import RefusedError
from autopilot.ledger.entry import LeaseRef
from autopilot.leases.terms import Moment
from autopilot.storage.files.store import FileStore, StoreParts
from autopilot.testing.contracts.ledger import a_draft, grant
from autopilot.testing.folds import TallyFold

folder, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
store = FileStore.open(StoreParts(Path(folder), TallyFold()))
caller = Caller(f"agent-{name}")
print("ready", flush=True)
sys.stdin.readline()
number = 0
while count == 0 or number < count:
    with store.transaction() as tx:
        if number % 5 == 0:
            at = Moment((tx.leases.wal_seq + 1) * 10**12, "boot-1")
            fence = grant(tx, caller, at=at)
            entry = tx.append(a_draft(number, caller=caller, lease=LeaseRef("T-1/PLAN", fence)))
        else:
            entry = tx.append(a_draft(number, caller=caller), sync=number % 3 != 0)
    if entry.seq % 7 == 0 and not store.view().head.seq >= entry.seq:
        sys.exit("a reader is behind its own line")
    print(entry.seq, number, number % 5 == 0 or number % 3 != 0, flush=True)
    number += 1
if not store.verify().intact:
    sys.exit("does not verify")
store.close()
"""


def start(folder: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(folder), name, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def go(writers: list[subprocess.Popen[str]]) -> None:
    """Let all of them begin at once."""
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()


def lines_of(entries: list[LedgerEntry]) -> dict[int, tuple[str, str]]:
    """What each seq holds: actor and running number."""
    return {
        entry.seq: (entry.actor["id"], entry.data["reasons"][0]["where"])
        for entry in entries
        if entry.kind == "gate.verdict"
    }


def test_eight_processes_make_one_chain_and_lose_nothing(store: FileStore) -> None:
    each = 40
    writers = [start(store.paths.state_dir, str(name), each) for name in range(8)]
    go(writers)
    acknowledged: dict[int, tuple[str, str]] = {}
    for name, writer in enumerate(writers):
        output, errors = writer.communicate(timeout=120)
        assert writer.returncode == 0, errors
        for line in output.splitlines():
            seq, number, _ = line.split()
            assert int(seq) not in acknowledged, "two processes were given one seq"
            acknowledged[int(seq)] = (f"agent-{name}", f"plan-{number}.md")
    assert len(acknowledged) == 8 * each
    report = store.verify()
    assert report.intact
    entries = list(store.entries())
    assert lines_of(entries) == acknowledged
    fences = [entry.lease.fence for entry in entries if entry.kind == "lease.granted" and entry.lease]
    assert fences == list(range(1, 8 * each // 5 + 1)), "fences rise by one, none is given out twice"


@pytest.mark.parametrize("seed", [1])
def test_writers_killed_at_random_lose_no_acknowledged_line(
    store: FileStore, opened: Callable[..., FileStore], seed: int
) -> None:
    """Each round kills three writers at random moments; the next round's openers recover what they left."""
    rng = random.Random(seed)
    print("seed", seed)
    acknowledged: dict[int, tuple[str, str]] = {}
    for round_ in range(3):
        names = [f"{round_}-{number}" for number in range(3)]
        writers = [start(store.paths.state_dir, name, 0) for name in names]
        go(writers)
        for writer in writers:
            time.sleep(rng.uniform(0.01, 0.12))
            writer.send_signal(signal.SIGKILL)
        for name, writer in zip(names, writers, strict=True):
            output, errors = writer.communicate(timeout=60)
            assert writer.returncode == -signal.SIGKILL, errors
            for line in output.splitlines(keepends=True):
                if line.endswith("\n"):
                    seq, number, _ = line.split()
                    acknowledged[int(seq)] = (f"agent-{name}", f"plan-{number}.md")
    with opened().transaction():
        pass
    assert verify_files(store.paths.state_dir).intact
    entries = list(store.entries())
    kept = lines_of(entries)
    assert acknowledged.items() <= kept.items()
    # A kill loses no unsynced line either, and leaves at most one unacknowledged line of each writer behind.
    assert len(kept) - len(acknowledged) <= 9
    repeated = Counter(entry.data["wal_seq"] for entry in entries if entry.kind in MIRRORED)
    assert set(repeated.values()) <= {1}, "each lease record is repeated once"
