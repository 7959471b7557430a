"""After a crash: no process is left over, nothing is wedged, every cache and every half-written file is worth nothing.

Red without: the control pipe of `sandbox/supervise.py` (processes that outlive the engine); the torn-tail rule of
`kernel/framing.py` and the store's `_catch_up`; write-aside-and-move of objects and exports.
"""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from autopilot.kernel.phases import Phase
from autopilot.storage.files.verify import verify_files
from crash import governed
from crash.governed import TASK

POLL_SECONDS = 0.02
PATIENCE_SECONDS = 30
GONE_SECONDS = 10
CACHES = ("cache", "journal", "telemetry", "ledger/head", "git/tmp", f"evidence/{TASK}")
NEVER_WRITTEN = b"\0"
"""Stands for NULs up to the end of a block: allocated, and never written."""

# A test that takes its time, and leaves a daemon behind in a session of its own.
SLOW_TEST = """import subprocess
import time


def test_takes_its_time():
    subprocess.Popen(["sleep", "787"], start_new_session=True)
    time.sleep(1)
"""


@pytest.fixture(scope="module", params=["auto", pytest.param("none", marks=pytest.mark.soak)])
def in_verify(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task in VERIFY whose tests take a second, run isolated where that works, or not."""
    return governed.prepare(
        tmp_path_factory.mktemp("verify") / "prepared",
        Phase.VERIFY,
        settings=f'[sandbox]\nisolation = "{request.param}"\n',
        further={"tests/test_slow.py": SLOW_TEST},
    )


@pytest.fixture(scope="module")
def in_spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task in SPEC, its documents written."""
    return governed.prepare(tmp_path_factory.mktemp("spec") / "prepared", Phase.SPEC)


def test_killed_while_the_tests_run(in_verify: Path, tmp_path: Path) -> None:
    folder = governed.copy(in_verify, tmp_path / "repository")
    process = governed.start(folder, "advance", TASK, "--json")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not any(b"sleep\000787" in governed.command_line(pid) for pid in governed.descendants(process.pid)):
        assert process.poll() is None, f"it ended too early: {process.communicate()}"
        assert time.monotonic() < deadline, "the tests never ran"
        time.sleep(POLL_SECONDS)
    # The daemon has another parent by the time it is looked for: every process of the tree is remembered by number.
    started = {pid: governed.command_line(pid) for pid in governed.descendants(process.pid)}
    assert len(started) >= 3, started
    answer = governed.kill(process)
    assert answer.document == {}
    left = living(started)
    deadline = time.monotonic() + GONE_SECONDS
    while left and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        left = living(started)
    assert left == {}, "the killed engine's processes live on"

    assert verify_files(folder / "state").intact
    again = governed.autopilot(folder, "advance", TASK, "--json")
    assert again.code == 0, again
    assert governed.store_problems(folder) == []
    assert not [line for line in governed.chain(folder) if line.kind == "violation"]


def living(started: dict[int, bytes]) -> dict[int, bytes]:
    """Those of the processes that still live (a number may have been given to another process since)."""
    return {pid: words for pid, words in started.items() if words and governed.command_line(pid) == words}


@pytest.mark.parametrize("gone", [CACHES[:1], CACHES], ids=["cache", "all"])
def test_what_can_be_made_again_can_be_deleted(in_spec: Path, tmp_path: Path, gone: tuple[str, ...]) -> None:
    folder = governed.copy(in_spec, tmp_path / "repository")
    assert governed.autopilot(folder, "status", "--json").code == 0
    for name in gone:
        place = folder / "state" / name
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
    assert governed.autopilot(folder, "ledger", "verify").code == 0
    status = governed.autopilot(folder, "status", "--json")
    assert [(task["id"], task["phase"]) for task in status.document["tasks"]] == [(TASK, "SPEC")]
    governed.write_documents(folder, TASK, Phase.SPEC)
    assert governed.autopilot(folder, "advance", TASK, "--json").code == 0
    assert governed.store_problems(folder) == []
    exported = governed.autopilot(folder, "evidence", "export", TASK, "--json")
    assert exported.code == 0, exported
    assert (folder / "state" / "evidence" / TASK / "strategize" / "strategy.md").is_file()


def test_an_edited_cache_moves_nothing(in_spec: Path, tmp_path: Path) -> None:
    folder = governed.copy(in_spec, tmp_path / "repository")
    assert governed.autopilot(folder, "advance", TASK, "--json").code == 0  # writes the cache on its way out
    cache = folder / "state" / "cache" / "status.json"
    kept = json.loads(cache.read_text())
    kept["tasks"][0]["phase"] = "MONITOR"
    cache.write_text(json.dumps(kept))
    answer = governed.autopilot(folder, "task", "close", TASK, "--json")
    assert answer.code == 1, answer
    assert answer.codes == ["out_of_sequence"]
    assert governed.autopilot(folder, "task", "show", TASK, "--json").document["task"]["phase"] == "PLAN"


@pytest.mark.parametrize(
    ("log", "torn"),
    [("ledger", b'{"h":"00'), ("ledger", NEVER_WRITTEN), ("leases", b"{")],
    ids=["cut", "nul", "leases"],
)
def test_a_torn_tail_is_mended_by_the_next_writer(in_spec: Path, tmp_path: Path, log: str, torn: bytes) -> None:
    folder = governed.copy(in_spec, tmp_path / "repository")
    state = folder / "state"
    path = state / "ledger" / "seg" / f"{0:016d}.jsonl" if log == "ledger" else state / "leases" / "leases.wal"
    whole = path.read_bytes()
    if torn == NEVER_WRITTEN:
        torn = b"\0" * (512 - len(whole) % 512)
    path.write_bytes(whole + torn)
    assert governed.autopilot(folder, "status").code == 0, "a reader needs no mending"
    assert path.read_bytes() == whole + torn, "a reader mends nothing"
    if log == "ledger":
        found = governed.autopilot(folder, "ledger", "verify", "--json")
        assert (found.code, found.document["reason"]) == (3, "torn_tail")
    assert governed.autopilot(folder, "advance", TASK, "--json").code == 0
    assert governed.autopilot(folder, "ledger", "verify").code == 0
    recovered = [line for line in governed.chain(folder) if line.kind == "ledger.recovered"]
    assert [(line.body["data"]["log"], line.body["data"]["cause"]) for line in recovered] == [(log, "torn_tail")]
    dropped = recovered[0].body["data"]["dropped"][0]
    assert (state / "ledger" / "quarantine" / dropped["name"]).read_bytes() == torn
    assert path.read_bytes().startswith(whole)


def test_half_written_files_are_no_evidence(in_spec: Path, tmp_path: Path) -> None:
    folder = governed.copy(in_spec, tmp_path / "repository")
    state = folder / "state"
    evidence = state / "evidence"
    spec = evidence / TASK / "spec"
    half = (spec / "spec.md").read_bytes()[:100]
    digest = "ab" * 32
    (evidence / ".objects" / "ab" / f".{digest}.0123456789ab.tmp").write_bytes(half)
    (spec / ".spec.md.new").write_bytes(half)
    (state / "git" / "objects" / "ab").mkdir(parents=True, exist_ok=True)
    (state / "git" / "objects" / "ab" / "tmp_obj_half").write_bytes(half)
    (state / "git" / "tmp" / "autopilot-git-killed").mkdir(parents=True)
    (state / "ledger" / "head").write_bytes(b'{"check":"')
    (folder / ".git" / "autopilot.id.1").write_text("half")
    (state / "cache").mkdir(exist_ok=True)
    (state / "cache" / "status.json").write_text('{"format":')
    (state / "journal" / f"{TASK}.jsonl").write_bytes((state / "journal" / f"{TASK}.jsonl").read_bytes()[:-40])
    assert governed.autopilot(folder, "status", "--json").code == 0
    assert governed.autopilot(folder, "ledger", "verify").code == 0
    assert governed.autopilot(folder, "advance", TASK, "--json").code == 0
    assert governed.store_problems(folder) == []
    governed.write_documents(folder, TASK, Phase.PLAN)
    governed.settle(folder)
    assert governed.autopilot(folder, "advance", TASK, "--json").code == 0


def test_a_half_written_document_is_refused_for_its_content(in_spec: Path, tmp_path: Path) -> None:
    folder = governed.copy(in_spec, tmp_path / "repository")
    spec = folder / "state" / "evidence" / TASK / "spec" / "spec.md"
    whole = spec.read_bytes()
    spec.write_bytes(whole[:100])
    answer = governed.autopilot(folder, "advance", TASK, "--json")
    assert answer.code == 1, answer
    assert governed.chain(folder)[answer.error["seq"]].kind == "gate.verdict"
    spec.write_bytes(whole)
    assert governed.autopilot(folder, "advance", TASK, "--json").code == 0
