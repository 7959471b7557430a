"""Restarts and lost files: the ledger is the state, everything else can be deleted, and a lost ledger is missed.

Red without: `ProcessFold` (process/fold.py); the marker in `Workspace.open` (wiring/full.py); `_finished`
(sandbox/setup.py); `JournalDesk.mend` in `Workspace.open`.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import textwrap
from typing import Any

import pytest
from governed import HUMAN, OTHER, TASK, Governed, Prepare, expect_refusal

from autopilot.cli.demo.honest import AGENT
from autopilot.journal.projection import parse
from autopilot.kernel.errors import ContractError, IntegrityError, RefusedError
from autopilot.kernel.phases import PHASES, Phase
from autopilot.process.fold import ProcessFold
from autopilot.wiring.full import Outside, Workspace


def test_a_process_of_its_own_for_each_step(at: Prepare) -> None:
    governed = at(Phase.STRATEGIZE)
    for phase in PHASES:
        governed.reopen()
        before = governed.task
        governed.agent.prepare(phase)
        governed.agent.advance(phase, governed.approve)
        told = governed.task
        governed.reopen()
        assert governed.task == told != before
    assert governed.task.stage == "CLOSED"
    fold = ProcessFold()
    state = fold.initial()
    for entry in governed.workspace.ledger.entries():
        state = fold.apply(state, entry)
    assert fold.dump(state) == fold.dump(governed.workspace.ledger.view().state)
    assert fold.dump(fold.load(fold.dump(state))) == fold.dump(state)


@pytest.mark.parametrize("phase", [Phase.PLAN, Phase.IMPLEMENT, Phase.REVIEW])
def test_caches_and_projections_can_be_deleted(at: Prepare, phase: Phase) -> None:
    governed = at(phase)
    told = governed.task
    governed.workspace.close()
    for name in ("cache", "journal", "telemetry", f"evidence/{TASK}", "ledger/head"):
        place = governed.state_dir / name
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
    governed.reopen()
    assert governed.task == told
    governed.agent.prepare(phase)
    governed.advance()
    assert governed.workspace.ledger.verify().status == "intact"


DIE_BEHIND_THE_LINE = """
    import os, sys
    from autopilot.cli.demo.honest import AGENT
    from autopilot.process.desks.journaling import JournalDesk
    from autopilot.wiring.full import Workspace
    JournalDesk.project = lambda *_: os.kill(os.getpid(), 9)
    workspace = Workspace.open(sys.argv[1])
    workspace.leases.acquire("T-1", caller=AGENT)
    workspace.enforcer.advance_phase("T-1", caller=AGENT)
"""


@pytest.mark.parametrize("phase", [Phase.STRATEGIZE, Phase.MONITOR])
def test_the_next_opening_mends_the_journal_that_a_killed_move_left_short(at: Prepare, phase: Phase) -> None:
    # Behind the closing move comes no other one that would make the file anew.
    governed = at(phase)
    governed.agent.prepare(phase)
    governed.workspace.close()
    program = [sys.executable, "-c", textwrap.dedent(DIE_BEHIND_THE_LINE), str(governed.root)]
    killed = subprocess.run(program, check=False, timeout=120, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    path = governed.state_dir / "journal" / f"{TASK}.jsonl"
    short = parse(path.read_bytes()) if path.exists() else ()
    governed.workspace = opened(governed)
    moves = [line.seq for kind in ("phase.transition", "task.closed") for line in governed.lines(kind)]
    assert governed.task.stage == phase.following, "the move stands: its line was written"
    assert [one.seq for one in parse(path.read_bytes())] == moves
    assert len(short) == len(moves) - 1
    assert path.read_bytes() == governed.workspace.journal.rebuild(governed.task)


def test_an_opening_leaves_a_whole_journal_alone_and_a_broken_one_to_be_read_about(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    path = governed.state_dir / "journal" / f"{TASK}.jsonl"
    whole, number = path.read_bytes(), path.stat().st_ino
    governed.reopen()
    assert (path.read_bytes(), path.stat().st_ino) == (whole, number)
    governed.object(governed.lines("phase.transition")[-1].data["journal"]).write_bytes(b"{}")
    path.unlink()
    governed.reopen()
    assert governed.task.stage == Phase.SPEC, "an opening fails over nothing that is only shown"


def test_a_task_that_another_opens_while_the_journal_is_mended_is_in_nobodys_way(
    at: Prepare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red without the tuple in `JournalDesk.mend`: to rebuild a file is to read on, and the state grows."""
    governed = at(Phase.SPEC)
    path = governed.state_dir / "journal" / f"{TASK}.jsonl"
    whole = path.read_bytes()
    path.unlink()
    rebuild = governed.workspace.journal.rebuild

    def meanwhile(*about: Any) -> bytes:
        with opened(governed) as other:
            other.tasks.open("T-2", title="Another one of shop pricing", caller=OTHER)
        return rebuild(*about)

    monkeypatch.setattr(governed.workspace.journal, "rebuild", meanwhile)
    governed.workspace.journal.mend()
    assert path.read_bytes() == whole


def test_edited_caches_admit_nothing(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    governed.workspace.close()
    cache = governed.state_dir / "cache"
    cache.mkdir(exist_ok=True)
    for name in ("state.json", "tasks.json", "T-1.json"):
        (cache / name).write_text('{"tasks": {"T-1": {"stage": "CLOSED"}}}')
    (governed.state_dir / "journal" / f"{TASK}.jsonl").write_text('{"seq":99,"phase":"CLOSED"}\n')
    governed.reopen()
    with expect_refusal(governed, "artifact_missing"):
        governed.advance()


def opened(governed: Governed) -> Workspace:
    return Workspace.open(governed.root, outside=Outside(environ=governed.environ, clock=governed.clock))


def test_a_deleted_ledger_is_missed(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    governed.workspace.close()
    shutil.rmtree(governed.state_dir)
    outside = Outside(environ=governed.environ, clock=governed.clock)
    for attempt in (
        lambda: Workspace.open(governed.root, outside=outside),
        lambda: Workspace.init(governed.root, caller=AGENT, outside=outside),
    ):
        with pytest.raises(IntegrityError) as caught:
            attempt()
        assert caught.value.code == "ledger_missing"
    with pytest.raises(RefusedError) as refusal:
        Workspace.init(governed.root, caller=AGENT, lost="the disk broke", outside=outside)
    assert refusal.value.code == "human_only"
    governed.workspace = Workspace.init(governed.root, caller=HUMAN, lost="the disk broke", outside=outside)
    (genesis,) = governed.lines("genesis")
    assert genesis.data["replaced"]["reason"] == "the disk broke"


def test_an_older_state_put_back_is_missed(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    governed.workspace.close()
    older = governed.root.parent / "older-state"
    shutil.copytree(governed.state_dir, older, symlinks=True)
    governed.workspace = opened(governed)
    governed.agent.prepare(Phase.SPEC)
    governed.advance()
    governed.workspace.close()
    shutil.rmtree(governed.state_dir)
    older.rename(governed.state_dir)
    with pytest.raises(IntegrityError) as caught:
        opened(governed)
    assert caught.value.code in ("truncated", "rolled_back", "rewritten")


def test_the_ledger_of_another_repository_is_not_taken(at: Prepare) -> None:
    governed, other = at(Phase.SPEC), at(Phase.SPEC)
    for each in (governed, other):
        each.workspace.close()
    (governed.root / ".git/autopilot.id").write_text("0" * 32 + "\n1\n")
    with pytest.raises(IntegrityError) as caught:
        opened(governed)
    assert caught.value.code == "ledger_missing"


def test_no_second_ledger(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    with pytest.raises(ContractError) as caught:
        Workspace.init(governed.root, caller=AGENT, outside=Outside(environ=governed.environ, clock=governed.clock))
    assert caught.value.code == "ledger_exists"


SETUP = """
[commands.setup]
argv = ["python", "-c", "import sys; open(sys.argv[1] + '/helper.py', 'w').write('VALUE = 1')", "{deps}"]
"""


def test_edited_dependencies_are_provided_anew(fresh: Governed) -> None:
    # An agent that can write the cache puts a runner of its own there; the tree no longer has its digest.
    fresh.settings(lambda text: text + SETUP)
    fresh.agent.open()
    fresh.work(until=Phase.VERIFY)
    (cached,) = (fresh.state_dir / "cache" / "deps").glob("*/deps")
    (cached / "pytest.py").write_text("raise SystemExit(0)\n")
    (cached / "helper.py").write_text("VALUE = 2\n")
    fresh.advance()
    assert not (cached / "pytest.py").exists()
    assert (cached / "helper.py").read_text() == "VALUE = 1"
