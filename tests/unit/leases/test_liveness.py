"""Death is proved by real processes dying and pids coming back, and by nothing less."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from autopilot.kernel.callers import Caller
from autopilot.leases.liveness import identify_process, proved_dead
from autopilot.leases.terms import Holder, ProcessIdentity

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="proof of death needs /proc")


def held_by(process: ProcessIdentity | None) -> Holder:
    return Holder(Caller("agent-7"), process)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits until its input is closed."""
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def fake_proc(tmp_path: Path, stat: str | None, *, pid_namespace: str = "pid:[1]", self_pid: int | None = None) -> Path:
    """A /proc that shows this process in `pid_namespace`, and `stat` as its stat file."""
    own = tmp_path / str(os.getpid())
    (own / "ns").mkdir(parents=True)
    (own / "ns/pid").symlink_to(pid_namespace)
    (tmp_path / "self").symlink_to(str(self_pid or os.getpid()))
    if stat is not None:
        (own / "stat").write_text(stat)
    return tmp_path


def test_living_process_is_held() -> None:
    assert not proved_dead(held_by(identify_process()))


def test_process_is_dead_once_it_is_gone(child: subprocess.Popen[bytes]) -> None:
    holder = held_by(identify_process(child.pid))
    assert not proved_dead(holder)
    child.kill()
    child.wait()
    assert proved_dead(holder)


def test_zombie_is_held_until_it_is_reaped(child: subprocess.Popen[bytes]) -> None:
    holder = held_by(identify_process(child.pid))
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not proved_dead(holder)


def test_pid_that_came_back_is_another_process(child: subprocess.Popen[bytes]) -> None:
    earlier = replace(identify_process(child.pid), start="1")
    assert proved_dead(held_by(earlier))


def test_another_users_process_is_not_mistaken_for_a_dead_one() -> None:
    assert not proved_dead(held_by(identify_process(1)))


@pytest.mark.parametrize(
    "change",
    [{"host": "elsewhere"}, {"namespaces": "pid:[1]"}, {"namespaces": ""}, {"start": ""}, {"pid": 0}, {"pid": -1}],
)
def test_what_cannot_be_compared_is_held(child: subprocess.Popen[bytes], change: dict[str, str | int]) -> None:
    gone = identify_process(child.pid)
    child.kill()
    child.wait()
    assert not proved_dead(held_by(replace(gone, **change)))  # type: ignore[arg-type]


def test_session_is_never_proved_dead() -> None:
    assert not proved_dead(held_by(None))


@pytest.mark.parametrize("stat", [None, "", "4711 (python) S 1 2", "\udcff"], ids=["none", "empty", "short", "garbage"])
def test_unreadable_start_time_is_held(tmp_path: Path, stat: str | None) -> None:
    if stat == "\udcff":
        proc = fake_proc(tmp_path, None)
        (proc / str(os.getpid()) / "stat").write_bytes(b"1 (x) " + b"\xff " * 30)
    else:
        proc = fake_proc(tmp_path, stat)
    process = replace(identify_process(proc=proc), start="88")
    assert process.namespaces == "pid:[1]"
    assert not proved_dead(held_by(process), proc=proc)


def test_program_name_may_hold_anything(tmp_path: Path) -> None:
    fields = " ".join(["S", *(str(n) for n in range(4, 22)), "4242", "23"])
    proc = fake_proc(tmp_path, f"4711 (a) R 1 (b) {fields}")
    assert identify_process(proc=proc).start == "4242"


def test_proc_of_another_namespace_proves_nothing(tmp_path: Path) -> None:
    proc = fake_proc(tmp_path, "1 (x) " + "7 " * 40, self_pid=1)
    process = identify_process(proc=proc)
    assert process.namespaces == ""
    assert not proved_dead(held_by(replace(process, start="88")), proc=proc)


def test_own_identity_is_the_kernels() -> None:
    process = identify_process()
    assert (process.pid, process.start.isdigit()) == (os.getpid(), True)
    assert process.namespaces.startswith("pid:[")
