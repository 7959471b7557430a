"""The paths of design section 6, each as its own benchmark, floors beside them. Measured, never asserted.

`autopilot bench` measures the same calls interleaved with their floors and prints ratios; here pytest-benchmark does,
so that runs can be saved and compared (`--benchmark-save`, `--benchmark-compare`).
"""

from __future__ import annotations

import hashlib
import itertools
from contextlib import closing

import pytest

from autopilot.attestation.baselines import Baseline, prompt_digest
from autopilot.attestation.drift import Question, Severity, attest
from autopilot.bench.floors import BareLog, BareMove
from autopilot.bench.paths import READ, SHELL
from autopilot.bench.scale import verification, write_ledger
from autopilot.bench.workplace import AGENT, PROMPT, TASK
from autopilot.guard import decision
from autopilot.kernel.phases import Phase
from autopilot.ledger.entry import Draft
from autopilot.process.fold import ProcessFold
from autopilot.process.router import ToolCall
from autopilot.storage.files.store import FileStore, StoreParts

ROUNDS = 200
LINE_BYTES = 640


def test_floor_write_and_sync(benchmark, tmp_path):
    with closing(BareLog(tmp_path / "log", LINE_BYTES)) as log:
        benchmark.pedantic(log.append, rounds=ROUNDS)


def test_ledger_append(benchmark, place):
    def append():
        with place.store.transaction() as tx:
            return tx.append(Draft(kind="decision", caller=AGENT, data={"why": "x" * 100}))

    assert benchmark.pedantic(append, rounds=ROUNDS).kind == "decision"


def test_lease_acquire(benchmark, place):
    leases = place.workspace.leases

    def free():
        if leases.held(TASK):
            leases.release(TASK, caller=AGENT)

    benchmark.pedantic(lambda: leases.acquire(TASK, caller=AGENT), setup=free, rounds=ROUNDS)


def test_lease_release(benchmark, place):
    leases = place.workspace.leases

    def held():
        leases.acquire(TASK, caller=AGENT)

    benchmark.pedantic(lambda: leases.release(TASK, caller=AGENT), setup=held, rounds=ROUNDS)


def test_floor_sha256_of_a_prompt(benchmark):
    benchmark(lambda: hashlib.sha256(PROMPT).hexdigest())


def test_attestation_of_a_prompt(benchmark):
    baseline = Baseline(TASK, Phase.VERIFY, prompt_digest(PROMPT), 1)

    def decide():
        return attest(Question(TASK, Phase.VERIFY, prompt_digest(PROMPT), Severity.ERROR, False), baseline)

    assert not benchmark(decide).drift


@pytest.mark.parametrize(("tool", "given"), [READ, SHELL], ids=["named tool", "shell line"])
def test_guard_decision(benchmark, place, tool, given):
    snapshot = place.workspace.router.snapshot(place.store.view().state.tasks[TASK], AGENT)
    names = decision.paths_named(snapshot, tool, "", dict(given))
    snapshot["resolved"] = {name: str((place.root / name).resolve()) for name in names}
    answer = benchmark(decision.decide, snapshot, tool, "", dict(given))
    assert not answer.reasons


def test_guard_through_the_router(benchmark, place):
    call = ToolCall(READ[0], READ[1], task=TASK)
    assert benchmark(lambda: place.workspace.router.check(call, caller=AGENT)).admitted


def test_floor_of_a_transition(benchmark, tmp_path):
    numbers = itertools.count()
    with closing(BareMove(tmp_path / "floor", (600, 450, 1100), 1600)) as move:
        benchmark.pedantic(lambda: move(next(numbers)), rounds=ROUNDS)


@pytest.mark.parametrize("synced", [True, False], ids=["durable", "syncs stubbed"])
def test_full_transition(benchmark, request, synced):
    place = request.getfixturevalue("place" if synced else "unsynced")
    numbers = itertools.count()

    def prepare():
        number = next(numbers)
        if number:
            place.back()
        place.prepare(number)

    entry = benchmark.pedantic(place.move, setup=prepare, rounds=ROUNDS)
    assert [ref.name for ref in entry.artifacts] == ["strategy.md", "edge_cases.md"]
    assert entry.prompt == prompt_digest(PROMPT)


@pytest.mark.parametrize("entries", [5_000, 50_000])
def test_opening_a_ledger(benchmark, tmp_path, entries):
    parts = write_ledger(tmp_path / "state", entries)
    benchmark.pedantic(lambda: FileStore.open(parts).close(), rounds=20)


def test_verifying_a_ledger(benchmark, tmp_path):
    write_ledger(tmp_path / "state", 50_000)
    parts = StoreParts(tmp_path / "state", ProcessFold())
    found = benchmark.pedantic(lambda: verification(parts.state_dir), rounds=3)
    assert found.intact
    assert found.entries == 50_000
