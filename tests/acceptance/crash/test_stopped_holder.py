"""A holder that is stopped (SIGSTOP) past its lease time, and comes back: what it then tries is refused.

The lease gives liveness, the fence gives safety: the stopped process believes in its lease, the append does not.
Red without: the lease judged under the lock in `_settle` (process/enforcer.py), and `_bound` there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autopilot.kernel.callers import Caller
from autopilot.kernel.phases import Phase
from autopilot.wiring.full import Workspace
from crash import governed, tracing
from crash.governed import TASK

TTL_SECONDS = 5
SHORT_LEASE = f"[lease]\nttl_seconds = {TTL_SECONDS}\n"
# Every command that looks at the shop takes its time: where only the accept block is left to run, that one too.
SLOW_IMPORT = '"""The shop."""\n\nimport time\n\ntime.sleep(0.5)\n'
OTHER = Caller("agent-2", "agent", "s-2")
POLL_SECONDS = 0.01
PATIENCE_SECONDS = 30


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task in PLAN, free to take. PLAN is left by running commands on the base: long enough to be stopped in."""
    folder = governed.prepare(
        tmp_path_factory.mktemp("stopped") / "prepared",
        Phase.PLAN,
        settings=SHORT_LEASE,
        further={"shop/__init__.py": SLOW_IMPORT},
    )
    governed.settle(folder)
    with Workspace.open(folder) as workspace:
        workspace.leases.release(TASK, caller=governed.AGENT)
    return folder


@contextlib.contextmanager
def stopped_in_its_checks(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """An `advance` out of PLAN, stopped while the engine runs commands for it: it holds the lease, not the lock."""
    process = governed.start(folder, "advance", TASK, "--json")
    try:
        wait_until(lambda: runs_a_command(process.pid), process)
        os.kill(process.pid, signal.SIGSTOP)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGCONT)
            process.kill()
        process.communicate()


def wait_until(holds: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Poll; AssertionError if it takes too long or the process ends first."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert process.poll() is None, f"it ended too early: {process.communicate()}"
        assert time.monotonic() < deadline, "it never came so far"
        time.sleep(POLL_SECONDS)


def runs_a_command(pid: int) -> bool:
    """Whether the engine has started a configured command (its supervisor is a child)."""
    return any(b"supervise.py" in governed.command_line(child) for child in governed.descendants(pid))


def ends(process: subprocess.Popen[str]) -> governed.Answer:
    """Let the stopped process go on, and what it then says."""
    os.kill(process.pid, signal.SIGCONT)
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    return governed.Answer(process.returncode, out, err)


def check_refused(folder: Path, answer: governed.Answer, codes: set[str], moves: int) -> None:
    """Exit 5 with one of `codes`, on record as contention, and no move of the stopped one on the ledger."""
    assert answer.code == 5, answer
    assert set(answer.codes) <= codes, answer
    lines = governed.chain(folder)
    assert lines[answer.error["seq"]].kind == "lease.contended"
    assert lines[answer.error["seq"]].body["actor"]["session"] == governed.AGENT.session
    out_of_plan = [
        line for line in lines if line.kind == "phase.transition" and line.body["phase"]["from"] == Phase.PLAN
    ]
    assert [line.body["actor"]["session"] for line in out_of_plan] == [OTHER.session] * moves
    assert not [line.body["data"] for line in lines if line.kind == "violation"]
    assert governed.autopilot(folder, "ledger", "verify").code == 0


def test_another_took_over_and_moved_the_task(prepared: Path, tmp_path: Path) -> None:
    folder = governed.copy(prepared, tmp_path / "repository")
    with stopped_in_its_checks(folder) as holder:
        time.sleep(TTL_SECONDS + 0.5)
        assert governed.autopilot(folder, "lease", "acquire", TASK, "--json", caller=OTHER).code == 0
        moved = governed.autopilot(folder, "advance", TASK, "--json", caller=OTHER)
        assert moved.code == 0, moved
        check_refused(folder, ends(holder), {"lost_race"}, moves=1)


def test_another_took_over_and_has_not_moved_yet(prepared: Path, tmp_path: Path) -> None:
    folder = governed.copy(prepared, tmp_path / "repository")
    with stopped_in_its_checks(folder) as holder:
        time.sleep(TTL_SECONDS + 0.5)
        taken = governed.autopilot(folder, "lease", "acquire", TASK, "--json", caller=OTHER)
        assert taken.code == 0, taken
        # On a machine under load the other's lease may have run out too by then: nobody holds the phase.
        check_refused(folder, ends(holder), {"lease_held", "lease_expired", "lease_missing"}, moves=0)
    assert governed.autopilot(folder, "lease", "acquire", TASK, "--json", caller=OTHER).code == 0
    assert governed.autopilot(folder, "advance", TASK, "--json", caller=OTHER).code == 0, (
        "the new holder is not blocked"
    )


@pytest.mark.soak
def test_nobody_took_over_but_the_time_ran_out(prepared: Path, tmp_path: Path) -> None:
    folder = governed.copy(prepared, tmp_path / "repository")
    with stopped_in_its_checks(folder) as holder:
        time.sleep(TTL_SECONDS + 0.5)
        check_refused(folder, ends(holder), {"lease_expired"}, moves=0)
    # It looks at the state again, takes the lease anew, and goes on.
    assert governed.autopilot(folder, "lease", "acquire", TASK, "--json").code == 0
    assert governed.autopilot(folder, "advance", TASK, "--json").code == 0


def test_a_fence_from_before_the_takeover_is_refused(prepared: Path, tmp_path: Path) -> None:
    folder = governed.copy(prepared, tmp_path / "repository")
    first = governed.autopilot(folder, "lease", "acquire", TASK, "--json").document
    claim = {"AUTOPILOT_LEASE": f"{first['fence']}:{first['token']}"}
    time.sleep(TTL_SECONDS + 0.5)
    assert governed.autopilot(folder, "lease", "acquire", TASK, "--json", caller=OTHER).code == 0
    answer = governed.autopilot(folder, "advance", TASK, "--json", further=claim)
    assert answer.code == 5, answer
    assert set(answer.codes) <= {"lease_expired", "stale_fence"}, answer


@pytest.mark.skipif(bool(tracing.missing()) and not os.environ.get("CI"), reason=tracing.missing() or "strace is there")
def test_stopped_inside_the_lock_it_holds_everyone_up_and_loses_nothing(prepared: Path, tmp_path: Path) -> None:
    assert not tracing.missing(), tracing.missing()
    reference = governed.copy(prepared, tmp_path / "reference")
    words = ("lease", "acquire", TASK, "--json")
    assert governed.autopilot(reference, *words, prefix=tracing.tracer(tmp_path / "trace", ("fdatasync",))).code == 0
    syncs = sum(call.name == "fdatasync" for call in tracing.read_trace(tmp_path / "trace"))
    folder = governed.copy(prepared, tmp_path / "repository")
    # Stopped by the kernel at its last sync: the record is written, the lock is held, nothing is acknowledged.
    stopper = tracing.tracer(tmp_path / "trace", ("fdatasync",), kill=("fdatasync", syncs), signal="SIGSTOP")
    holder = governed.start(folder, *words, prefix=stopper)
    traced = 0
    try:
        wait_until(lambda: tracing.shows_stop(tmp_path / "trace"), holder)
        traced = tracing.child_of(holder.pid)
        waiting = governed.start(folder, *words, caller=OTHER)
        time.sleep(2)
        assert waiting.poll() is None, f"it did not wait for the lock: {waiting.communicate()}"
        os.kill(traced, signal.SIGCONT)
        out, err = holder.communicate(timeout=PATIENCE_SECONDS)
        first = governed.Answer(holder.returncode, out, err)
        out, err = waiting.communicate(timeout=PATIENCE_SECONDS)
        second = governed.Answer(waiting.returncode, out, err)
    finally:
        if traced:
            governed.kill_pid(traced)
        holder.kill()
        holder.communicate()
    assert (first.code, second.code) == (0, 5), (first, second)
    assert second.codes == ["lease_held"]
    assert governed.autopilot(folder, "ledger", "verify").code == 0
