"""What a killed call left is removed by the next, and nothing else ever is."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from autopilot.kernel.throwaway import OWNER, sweep, throwaway

# Not swept: made in a place of the caller's own.
ALLOWED: list[str] = []

MAKING = """
import sys
from pathlib import Path
from autopilot.kernel.throwaway import throwaway
with throwaway("autopilot-run-", Path(sys.argv[1])) as folder:
    (folder / "tree").mkdir()
    (folder / "tree" / "file").write_text("x")
    print(folder, flush=True)
    input()
"""


def _made(place: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", MAKING, str(place)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def _end(process: subprocess.Popen[str], number: int) -> None:
    process.send_signal(number)
    process.communicate(timeout=60)


def test_it_goes_with_the_block(tmp_path: Path) -> None:
    with suppress(ZeroDivisionError), throwaway("autopilot-", tmp_path) as folder:
        (folder / "deep/er").mkdir(parents=True)
        assert folder.stat().st_mode & 0o077 == 0
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    process, folder = _made(tmp_path)
    _end(process, signal.SIGKILL)
    assert (folder / "tree/file").exists()
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("stopped", [False, True])
def test_a_living_process_keeps_its_folder(tmp_path: Path, stopped: bool) -> None:
    process, folder = _made(tmp_path)
    if stopped:
        process.send_signal(signal.SIGSTOP)
    sweep(tmp_path)
    assert (folder / "tree/file").exists()
    _end(process, signal.SIGKILL)


def _dead(place: Path, name: str = "autopilot-dead") -> Path:
    """A folder as a dead process leaves it."""
    folder = place / name
    folder.mkdir(mode=0o700)
    (folder / OWNER).touch(mode=0o600)
    (folder / "kept").write_text("x")
    return folder


def test_what_is_not_provably_ours_and_dead_stays(tmp_path: Path) -> None:
    target = _dead(tmp_path, "target")
    (tmp_path / "autopilot-link").symlink_to(target)
    unowned = tmp_path / "autopilot-unowned"
    unowned.mkdir(mode=0o700)
    (unowned / "kept").write_text("x")
    open_to_others = _dead(tmp_path, "autopilot-open")
    open_to_others.chmod(0o755)
    other_name = _dead(tmp_path, "pytest-of-me")
    piped = _dead(tmp_path, "autopilot-pipe")
    (piped / OWNER).unlink()
    os.mkfifo(piped / OWNER, 0o600)
    linked = _dead(tmp_path, "autopilot-owner-link")
    (linked / OWNER).unlink()
    (linked / OWNER).symlink_to(target / OWNER)
    (tmp_path / "autopilot-file").write_text("x")
    sweep(tmp_path)
    for folder in (target, unowned, open_to_others, other_name, piped, linked):
        assert (folder / "kept").exists(), folder
    assert (tmp_path / "autopilot-file").exists()


def test_another_users_folder_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _dead(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1)
    sweep(tmp_path)
    assert (folder / "kept").exists()


def test_links_inside_are_taken_away_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "kept").write_text("x")
    folder = _dead(tmp_path)
    (folder / "out").symlink_to(victim)
    sweep(tmp_path)
    assert not folder.exists()
    assert (victim / "kept").exists()


def test_folders_that_a_command_closed_are_removed_too(tmp_path: Path) -> None:
    folder = _dead(tmp_path)
    closed = folder / "tree/closed"
    closed.mkdir(parents=True)
    (closed / "file").write_text("x")
    closed.chmod(0)
    sweep(tmp_path)
    assert not folder.exists()


def test_nothing_is_there_to_sweep(tmp_path: Path) -> None:
    sweep(tmp_path / "nowhere")


def test_every_folder_of_one_call_proves_its_owners_life() -> None:
    # A folder that is made without its lock is left behind for good when the call is killed.
    package = Path(__file__).parents[3] / "autopilot"
    made = [
        f"{path.relative_to(package)}:{number}"
        for path in sorted(package.rglob("*.py"))
        if "testing" not in path.parts
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if re.search(r"(TemporaryDirectory|mkdtemp)\(prefix=\"autopilot-", line)
    ]
    assert made == ALLOWED
