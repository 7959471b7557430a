"""Sixteen clients of one daemon against sixteen processes on the files: appends in a second, and how long one takes.

    python tests/acceptance/bench/daemon_clients.py [--clients 16] [--seconds 5] [--folder DIR] [--json]

One append is `flags.set` of a flag to the mode that it has: one synced line, nothing else, through the same desk both
ways. Each process opens its workspace once, waits for the others, and appends until the time is over. The daemon runs
as this user (trust mode 0): what a split costs is the socket, not the user. Measured on the disk that `--folder` lies
on, beside the bare write and fdatasync of as many bytes; a printed figure is never asserted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[3]
CLIENT = """
import json, sys, time
from pathlib import Path
from autopilot import Caller, Workspace
seconds, number = float(sys.argv[1]), sys.argv[2]
caller, taken = Caller(f"client-{number}"), []
with Workspace.open(".") as workspace:
    workspace.flags.set("watchdog", "enforce", reason="warm", caller=caller)
    print("ready", flush=True)
    begin = float(sys.stdin.readline())
    while time.time() < begin:
        time.sleep(0.001)
    while time.time() < begin + seconds:
        started = time.perf_counter_ns()
        workspace.flags.set("watchdog", "enforce", reason="one line", caller=caller)
        taken.append(time.perf_counter_ns() - started)
print(json.dumps(taken), flush=True)
"""
LINE_BYTES = 600


def main(words: Sequence[str] | None = None) -> int:
    """Measure both, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--folder", type=Path, default=Path.cwd())
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(words)
    home = Path(tempfile.mkdtemp(prefix=".daemon-bench-", dir=args.folder))
    try:
        found = {
            "bare write and fdatasync, one process": bare(home, args.seconds),
            f"{args.clients} processes on files": on_files(home / "files", args.clients, args.seconds),
            f"{args.clients} clients of a daemon": on_daemon(home / "daemon", args.clients, args.seconds),
        }
    finally:
        shutil.rmtree(home, ignore_errors=True)
    if args.json:
        print(json.dumps(found))
        return 0
    print(f"{'':<40} {'appends/s':>10} {'p50 ms':>8} {'p99 ms':>8} {'worst ms':>9}")
    for name, (per_second, p50, p99, worst) in found.items():
        print(f"{name:<40} {per_second:>10.0f} {p50:>8.2f} {p99:>8.2f} {worst:>9.2f}")
    return 0


def bare(home: Path, seconds: float) -> tuple[float, float, float, float]:
    """What the disk itself needs for the bytes of one line."""
    taken, line = [], b"x" * LINE_BYTES
    with (home / "bare").open("ab", buffering=0) as file:
        until = time.perf_counter() + min(seconds, 2.0)
        while time.perf_counter() < until:
            started = time.perf_counter_ns()
            file.write(line)
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter_ns() - started)
    return figures([taken], min(seconds, 2.0))


def on_files(home: Path, clients: int, seconds: float) -> tuple[float, float, float, float]:
    """Every process with its own store on the same files."""
    repository = governed(home)
    autopilot(repository, "init", "--yes")
    return measured(repository, clients, seconds, {})


def on_daemon(home: Path, clients: int, seconds: float) -> tuple[float, float, float, float]:
    """Every process with its own connection to one daemon."""
    with served(home) as (repository, further):
        return measured(repository, clients, seconds, further)


@contextlib.contextmanager
def served(home: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A repository with a daemon of this user, and the variables that lead its clients there."""
    repository, place = governed(home), home / "engine"
    place.mkdir(mode=0o700)
    line = place / "engine.sock"
    where = ("--state-dir", str(place / "state"), "--socket", str(line), "--allow-same-user")
    made = autopilot(repository, "daemon", "--init", *where, "--json")
    (repository / "autopilot.toml").write_text(json.loads(made)["settings"])
    daemon = subprocess.Popen(
        [sys.executable, "-m", "autopilot.cli.main", "daemon", *where, "--json"],
        cwd=repository,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert daemon.stdout is not None
        daemon.stdout.readline()
        yield repository, {"AUTOPILOT_SOCKET": str(line)}
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()


def measured(
    repository: Path, clients: int, seconds: float, further: dict[str, str], program: str = CLIENT
) -> tuple[float, float, float, float]:
    """All clients at once, from the moment that the last one is ready."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(seconds), str(number)],
            cwd=repository,
            env=environment() | further,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(clients)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    begin = time.time() + 0.5
    for process in running:
        assert process.stdin is not None
        process.stdin.write(f"{begin}\n")
        process.stdin.flush()
    answers = [process.communicate()[0] for process in running]
    return figures([json.loads(answer) for answer in answers], seconds)


def figures(taken: list[list[int]], seconds: float) -> tuple[float, float, float, float]:
    """Appends in a second over all, and the middle, the 99th in a hundred and the longest, in milliseconds."""
    every = sorted(ns for one in taken for ns in one)
    return (
        len(every) / seconds,
        every[len(every) // 2] / 1e6,
        every[min(len(every) - 1, len(every) * 99 // 100)] / 1e6,
        every[-1] / 1e6,
    )


def governed(home: Path) -> Path:
    """A repository with one commit."""
    from autopilot.cli.demo.project import make_repository

    repository = home / "repository"
    repository.mkdir(parents=True)
    make_repository(repository)
    return repository


def autopilot(repository: Path, *words: str, further: dict[str, str] | None = None) -> str:
    """One command that must succeed; what it printed."""
    argv = [sys.executable, "-m", "autopilot.cli.main", *words]
    env = environment() | (further or {})
    return subprocess.run(argv, cwd=repository, env=env, check=True, stdout=subprocess.PIPE, text=True).stdout


def environment() -> dict[str, str]:
    """This process's, without what steers autopilot."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith("AUTOPILOT_")}
    return plain | {"PYTHONPATH": str(ROOT)}


if __name__ == "__main__":
    sys.exit(main())
