"""Moves in a second on the three ways to keep a ledger, one after the other: files, a daemon, PostgreSQL.

    python tests/acceptance/bench/stores.py [--clients 8] [--seconds 5] [--folder DIR] [--json]

Each client is a process with a task of its own. It hands in a strategy, leaves STRATEGIZE, goes back from SPEC, and so
on: every second move is an admitted transition with a sealed document, every other a backtrack. The daemon runs as this
user and PostgreSQL is started for the purpose, with fsync on and its data in the same folder; its lines cross a Unix
socket. All of it lies on the disk of `--folder`. A printed figure is never asserted.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from daemon_clients import autopilot, governed, measured, served

from autopilot.storage.postgres.address import Address
from autopilot.storage.postgres.schema import set_up
from autopilot.testing.postgres import PostgresServer, find_binaries

CLIENT = """
import json, sys, time
from autopilot import Caller, Workspace
from autopilot.cli.demo.honest import STRATEGY, TITLE
seconds, task = float(sys.argv[1]), "T-" + sys.argv[2]
caller, taken = Caller("client-" + sys.argv[2]), []
with Workspace.open(".") as workspace:
    workspace.tasks.open(task, title=TITLE, caller=caller)
    def move(count):
        workspace.evidence.add_bytes(task, "strategy.md", f"{STRATEGY}- Try {count}.\\n".encode(), caller=caller)
        started = time.perf_counter_ns()
        workspace.enforcer.advance_phase(task, caller=caller)
        between = time.perf_counter_ns()
        workspace.enforcer.backtrack(task, "STRATEGIZE", reason="the next round", caller=caller)
        return between - started, time.perf_counter_ns() - between
    move(0)
    print("ready", flush=True)
    begin = float(sys.stdin.readline())
    while time.time() < begin:
        time.sleep(0.001)
    while time.time() < begin + seconds:
        taken += move(len(taken) + 1)
print(json.dumps(taken), flush=True)
"""


def main(words: Sequence[str] | None = None) -> int:
    """Measure the three, with one client and with all of them, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--folder", type=Path, default=Path.cwd())
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(words)
    home = Path(tempfile.mkdtemp(prefix=".stores-bench-", dir=args.folder))
    home.chmod(0o755)  # PostgreSQL may have to run as another user
    found: dict[str, tuple[float, float, float, float]] = {}
    try:
        for clients in dict.fromkeys((1, args.clients)):
            place = home / str(clients)
            found[f"files, {clients} client(s)"] = on_files(place / "files", clients, args.seconds)
            found[f"daemon, {clients} client(s)"] = on_daemon(place / "daemon", clients, args.seconds)
            found[f"PostgreSQL, {clients} client(s)"] = on_postgres(place / "postgres", clients, args.seconds)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if args.json:
        print(json.dumps(found))
        return 0
    print(f"{'':<28} {'moves/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'worst ms':>9}")
    for name, (per_second, p50, p99, worst) in found.items():
        print(f"{name:<28} {per_second:>8.0f} {p50:>8.2f} {p99:>8.2f} {worst:>9.2f}")
    return 0


def on_files(home: Path, clients: int, seconds: float) -> tuple[float, float, float, float]:
    """Every process with its own store on the same files."""
    repository = governed(home)
    autopilot(repository, "init", "--yes")
    return measured(repository, clients, seconds, {}, CLIENT)


def on_daemon(home: Path, clients: int, seconds: float) -> tuple[float, float, float, float]:
    """Every process with its own connection to one daemon."""
    with served(home) as (repository, further):
        autopilot(repository, "init", "--yes", further=further)
        return measured(repository, clients, seconds, further, CLIENT)


def on_postgres(home: Path, clients: int, seconds: float) -> tuple[float, float, float, float]:
    """Every process with its own connection to one server, which syncs as it does for its users."""
    binaries = find_binaries()
    if binaries is None:
        raise SystemExit("no PostgreSQL here: install Debian's package `postgresql`")
    repository = governed(home)
    with PostgresServer.begin(binaries, durable=True, where=home) as server:
        store = server.url(server.new_database())
        set_up(Address(store))
        further = {"AUTOPILOT_STORE": store}
        autopilot(repository, "init", "--yes", further=further)
        return measured(repository, clients, seconds, further, CLIENT)


if __name__ == "__main__":
    sys.exit(main())
