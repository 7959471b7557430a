"""Eight processes advance, append and verify at once: one chain, nothing lost, one winner of each contested phase.

Red without: the store's lock (lines written over one another); the two guards of a move under the lock, its binding
to the phase and the lease, each of which suffices for one winner (two winners without both).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from crash import governed

from autopilot.cli.demo.honest import EDGE_CASES, FILE_MAP, PLAN, SPEC, STRATEGY
from autopilot.kernel.callers import Caller
from autopilot.kernel.phases import PHASES, Phase
from autopilot.kernel.reason_codes import REASON_CODES, Standing
from autopilot.wiring.full import Workspace

PROCESSES = 8
WORKER = Path(__file__).parent / "crash" / "race_worker.py"
UNTIL = Phase.IMPLEMENT
CONTESTED = [str(phase) for phase in PHASES[: UNTIL.position]]
# No accept blocks: without isolation they would wait for a person, and this is about races.
TESTED_SPEC = re.sub(r"```accept.*?```\n", "", SPEC, flags=re.DOTALL).replace(
    "proof: accept", "proof: test tests/test_discount.py::test_ten_percent_off"
)
DOCUMENTS = {
    "strategize/strategy.md": STRATEGY,
    "spec/spec.md": TESTED_SPEC,
    "plan/plan.md": PLAN,
    "plan/file_map.json": json.dumps(FILE_MAP, indent=2),
    "think/edge_cases.md": EDGE_CASES,
}


def prepare(folder: Path, tasks: list[str]) -> Path:
    """A governed repository with open tasks, every document in its place already; the folder of the documents."""
    governed.prepare(folder / "repository", Phase.STRATEGIZE)
    with Workspace.open(folder / "repository") as workspace:
        for task in tasks:
            if task != governed.TASK:
                workspace.tasks.open(task, title="Take the discount off once", caller=governed.AGENT)
            write(workspace.state_dir / "evidence" / task)
    write(folder / "documents")
    return folder / "documents"


def write(home: Path) -> None:
    """Every document below `home`."""
    for name, text in DOCUMENTS.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def race(folder: Path, tasks: list[str], *, seed: int, seconds: float) -> list[dict[str, Any]]:
    """Let the processes loose, wait for them all, and return what each of them was told."""
    documents = prepare(folder, tasks)
    workers: list[subprocess.Popen[str]] = []
    for number in range(PROCESSES):
        # Two processes of one session contend as well: the lease does not part them, only the lock and the line do.
        session = f"s-{max(1, number)}"
        plan = {
            "folder": str(folder / "repository"),
            "documents": str(documents),
            "tasks": tasks,
            "until": str(UNTIL),
            "actor": f"agent-{session}",
            "session": session,
            "seed": f"{seed}/{number}",
            "seconds": seconds,
            "log": str(folder / f"told-{number}.jsonl"),
            "by_cli": number in (2, 3),
        }
        place = folder / f"plan-{number}.json"
        place.write_text(json.dumps(plan))
        environ = governed.environment(Caller(f"agent-{session}", "agent", session))
        workers.append(
            subprocess.Popen(
                [sys.executable, str(WORKER), str(place)],
                env=environ,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n", worker.communicate()[1]
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for number, worker in enumerate(workers):
        _, errors = worker.communicate(timeout=seconds + 60)
        assert worker.returncode == 0, f"worker {number} died: {errors}"
    return [
        json.loads(line)
        for number in range(PROCESSES)
        for line in (folder / f"told-{number}.jsonl").read_text().splitlines()
    ]


def check(folder: Path, told: list[dict[str, Any]], tasks: list[str]) -> None:
    """What must hold after the race."""
    lines = {line.seq: line for line in governed.chain(folder / "repository")}
    for one in told:
        if one.get("seq") is not None:
            assert lines[one["seq"]].hash == one["hash"], f"acknowledged and lost, or another line: {one}"
        if one.get("refused_seq") is not None:
            assert lines[one["refused_seq"]].kind in ("lease.contended", "gate.verdict"), one
    assert len({one["seq"] for one in told if one.get("seq") is not None}) == sum(
        one.get("seq") is not None for one in told
    ), "one line was acknowledged twice"

    won = Counter((one["task"], lines[one["seq"]].body["phase"]["from"]) for one in told if is_move(one))
    assert won == {(task, phase): 1 for task in tasks for phase in CONTESTED}, "not one winner of each contested phase"
    moved = Counter(
        (line.body["task"], line.body["phase"]["from"]) for line in lines.values() if line.kind == "phase.transition"
    )
    assert moved == won, "the ledger has moves that nobody was told of"

    assert not [line.body["data"] for line in lines.values() if line.kind == "violation"]
    for one in told:
        if one["exit"] and not went_past_the_end(one, lines):
            assert one["exit"] == 5, f"a loser's answer is exit 5: {one}"
            assert all(REASON_CODES[code].standing is Standing.LEASE for code in one["codes"]), one
    assert governed.store_problems(folder / "repository") == []
    assert governed.lease_problems(folder / "repository") == []
    with Workspace.open(folder / "repository") as workspace:
        assert workspace.ledger.verify().intact
        assert {task.id: task.stage for task in workspace.tasks.list()} == dict.fromkeys(tasks, str(UNTIL))


def is_move(one: dict[str, Any]) -> bool:
    """Whether a worker was told that its move was made."""
    return bool(one["act"] == "advance" and one["exit"] == 0)


def went_past_the_end(one: dict[str, Any], lines: dict[int, governed.Line]) -> bool:
    """Whether a worker asked for the phase after the last: another made the last move after it had looked.

    A worker that named the phase it meant would be refused as well, and as out of sequence if it lost two moves.
    """
    line = lines.get(one.get("refused_seq") or -1)
    return line is not None and line.kind == "gate.verdict" and line.body["phase"]["from"] == str(UNTIL)


def run(folder: Path, *, tasks: int, seed: int, seconds: float) -> None:
    """One race and its figures."""
    names = [f"T-{number}" for number in range(1, tasks + 1)]
    told = race(folder, names, seed=seed, seconds=seconds)
    check(folder, told, names)
    codes = Counter(code for one in told for code in one.get("codes", ()))
    acts = Counter(one["act"] for one in told)
    print(f"seed {seed}: {len(told)} calls {dict(acts)}, {sum(map(is_move, told))} moves, losers {dict(codes)}")
    assert codes["lease_held"] > 0, "nobody ever contended: the race was none"


def test_eight_processes_race(tmp_path: Path) -> None:
    seed = int(os.environ.get("AUTOPILOT_TEST_SEED", "20261121"))
    run(tmp_path, tasks=4, seed=seed, seconds=90)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_eight_processes_race_often(tmp_path: Path, seed: int) -> None:
    run(tmp_path, tasks=6, seed=seed, seconds=180)
