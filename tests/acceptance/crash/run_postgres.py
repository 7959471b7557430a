"""Clients append to one ledger in PostgreSQL while their connections are cut and the server is crashed.

    python tests/acceptance/crash/run_postgres.py --seconds 60 --stops 3 --seed 7

Backends are terminated at random every 100 ms; `pg_ctl stop -m immediate` is a crash of the server. What must hold:
every acknowledged line stands, once and with its hash; none that was reported as not written does; the chain is intact.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psycopg

from autopilot.kernel.callers import Caller
from autopilot.storage.files.creation import Genesis
from autopilot.storage.postgres.address import Address
from autopilot.storage.postgres.creation import create_store
from autopilot.storage.postgres.schema import set_up
from autopilot.storage.postgres.store import PostgresStore, RowParts
from autopilot.testing.folds import TallyFold
from autopilot.testing.postgres import PostgresServer, find_binaries

WORKER = Path(__file__).with_name("postgres_worker.py")
APP = "autopilot_app"
CLIENTS = 8
EVERY_SECONDS = 0.1
AT_MOST_SECONDS = 150.0


@dataclass
class Figures:
    """What a run did and found. `lost`, `doubled` and `denied` (reported as not written, and there) must be 0."""

    seed: int
    seconds: float
    clients: int = CLIENTS
    stops: int = 0
    terminated: int = 0
    acknowledged: int = 0
    retries: int = 0
    unknown: int = 0
    unknown_standing: int = 0
    entries: int = 0
    lost: int = 0
    doubled: int = 0
    denied: int = 0
    verified: str = ""
    answers: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether nothing broke."""
        return self.verified == "intact" and not (self.lost or self.doubled or self.denied or self.faults)


def run(seconds: float, stops: int, seed: int, binaries: Path) -> Figures:
    """One run on a server of its own, with fsync on."""
    figures = Figures(seed, seconds)
    with (
        tempfile.TemporaryDirectory(prefix="autopilot-notes-") as folder,
        PostgresServer.begin(binaries, durable=True) as server,
    ):
        server.sql("postgres", f"CREATE ROLE {APP} LOGIN")
        name = server.new_database()
        set_up(Address(server.url(name)), grant_to=(APP,))
        address = Address(server.url(name, APP))
        store = create_store(address, TallyFold(), Genesis(Caller("ops", "human"), "crash test"))
        ledger = store.ledger_id
        store.close()
        _storm(server, name, address.url, ledger, figures, stops, Path(folder))
        _judge(address, ledger, figures, Path(folder))
    return figures


def _storm(
    server: PostgresServer, name: str, url: str, ledger: str, figures: Figures, stops: int, folder: Path
) -> None:
    chance = random.Random(figures.seed)
    over = threading.Event()
    cutter = threading.Thread(target=_cut, args=(server.url(name), chance, figures, over))
    end, words = folder / "over", [sys.executable, str(WORKER), url, ledger]
    workers = [
        subprocess.Popen([*words, f"client-{number}", str(end), str(folder / f"{number}.notes")])
        for number in range(figures.clients)
    ]
    cutter.start()
    begun = time.monotonic()
    try:
        for moment in sorted(chance.uniform(0.25, 0.85) * figures.seconds for _ in range(stops)):
            _wait_for_acks(folder, begun + moment)
            server.stop("immediate")
            server.start()
            figures.stops += 1
        _wait_for_acks(folder, begun + figures.seconds)
        end.touch()
        for worker in workers:
            code = worker.wait(AT_MOST_SECONDS)
            if code:
                figures.faults.append(f"a client ended with {code}")
    finally:
        over.set()
        cutter.join()
        for worker in workers:
            worker.kill()
            worker.wait()


def _wait_for_acks(folder: Path, until: float) -> None:
    """Until the moment, and until a line was acknowledged since this began: a slow start proves nothing."""
    before, give_up = _acks(folder), until + AT_MOST_SECONDS
    while time.monotonic() < until or (_acks(folder) == before and time.monotonic() < give_up):
        time.sleep(EVERY_SECONDS)


def _acks(folder: Path) -> int:
    return sum(path.read_text().count("ack ") for path in folder.glob("*.notes"))


def _cut(url: str, chance: random.Random, figures: Figures, over: threading.Event) -> None:
    """Terminate one client's backend every 100 ms."""
    pids = "SELECT pid FROM pg_stat_activity WHERE usename = %s"
    while not over.wait(EVERY_SECONDS):
        with contextlib.suppress(psycopg.Error), psycopg.connect(url, autocommit=True) as other:
            found = [row[0] for row in other.execute(pids, (APP,)).fetchall()]
            if found:
                done = other.execute("SELECT pg_terminate_backend(%s)", (chance.choice(sorted(found)),)).fetchone()
                figures.terminated += done == (True,)


def _judge(address: Address, ledger: str, figures: Figures, folder: Path) -> None:
    store = PostgresStore.open(RowParts(address, ledger, TallyFold()))
    try:
        report = store.verify()
        figures.verified, figures.entries = report.reason or report.status, report.entries
        standing: Counter[str] = Counter()
        hashes: dict[str, tuple[int, str]] = {}
        for entry in store.entries(1):
            if entry.kind == "violation":
                standing[entry.data["where"]] += 1
                hashes[entry.data["where"]] = (entry.seq, entry.hash)
    finally:
        store.close()
    figures.doubled = sum(count - 1 for count in standing.values())
    noted = set[str]()
    for path in sorted(folder.glob("*.notes")):
        for note in path.read_text().splitlines():
            _hold(f"client-{path.stem}", note.split(), hashes, figures, noted)
    # A client that was stopped between the answer and its note: nothing is stopped here, so there is none.
    figures.faults += [f"nobody noted {attempt}" for attempt in sorted(set(hashes) - noted)[:5]]


def _hold(client: str, note: list[str], hashes: dict[str, tuple[int, str]], figures: Figures, noted: set[str]) -> None:
    """One note against what stands."""
    attempt = f"{client}-{note[1]}"
    found = hashes.get(attempt)
    noted.add(attempt)
    if note[0] == "ack":
        figures.acknowledged += 1
        figures.lost += found != (int(note[2]), note[3])
    elif note[0] == "no":
        figures.retries += 1
        figures.answers[note[2]] = figures.answers.get(note[2], 0) + 1
        figures.denied += found is not None
    else:
        figures.unknown += 1
        figures.unknown_standing += found is not None


def main() -> int:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--stops", type=int, default=3)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    args = parser.parse_args()
    binaries = find_binaries()
    if binaries is None:
        print("no PostgreSQL here")
        return 6
    figures = run(args.seconds, args.stops, args.seed, binaries)
    for name, value in asdict(figures).items():
        print(f"{name:>16}  {value}")
    return 0 if figures.good else 1


if __name__ == "__main__":
    sys.exit(main())
