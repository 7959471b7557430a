"""Whole lines from many processes; a file that an agent prepared is refused; a cut line spoils no other."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from autopilot.telemetry.lines import LineFile

WRITER = """
import sys
from pathlib import Path
from autopilot.telemetry.lines import LineFile
file = LineFile(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    file.append((sys.argv[2] * (1 + number * 397 % 60_000) + "\\n").encode())
"""


def test_the_file_and_its_folder_are_private(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "state" / "traces.jsonl")
    file.append(b"{}\n")
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.path.parent.stat().st_mode) == 0o700


def test_a_wider_mode_is_narrowed(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_bytes(b"")
    path.chmod(0o644)
    LineFile(path).append(b"{}\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_processes_at_once_leave_only_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    count = 150
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), mark, str(count)]) for mark in "abcdef"]
    assert [writer.wait(120) for writer in writers] == [0] * 6
    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    found = sorted((line[:1], len(line)) for line in lines if len(set(line)) == 1)
    assert found == sorted((m.encode(), 1 + n * 397 % 60_000) for m in "abcdef" for n in range(count))
    assert len(lines) == 6 * count


def test_a_line_cut_short_by_a_crash_is_closed_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    LineFile(path).append(b'{"a":1}\n')
    with path.open("ab") as file:
        file.write(b'{"b":')
    LineFile(path).append(b'{"c":1}\n')
    assert path.read_bytes() == b'{"a":1}\n{"b":\n{"c":1}\n'


def test_a_held_lock_stops_nobody(tmp_path: Path) -> None:
    path = tmp_path / "traces.jsonl"
    path.write_bytes(b"1\n")
    with path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        LineFile(path).append(b"2\n")
    assert path.read_bytes() == b"1\n2\n"


def test_a_file_moved_away_is_made_anew(tmp_path: Path) -> None:
    file = LineFile(tmp_path / "traces.jsonl")
    file.append(b"1\n")
    file.path.rename(tmp_path / "old.jsonl")
    file.append(b"2\n")
    assert file.path.read_bytes() == b"2\n"


def test_links_pipes_and_folders_are_refused(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"keep")
    (tmp_path / "symbolic").symlink_to(victim)
    os.link(victim, tmp_path / "hard")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "linked-folder").symlink_to(elsewhere)
    for name in ("symbolic", "hard", "pipe", "folder", "linked-folder/traces.jsonl"):
        with pytest.raises(OSError, match=r".+"):
            LineFile(tmp_path / name).append(b"{}\n")
        assert name.startswith("linked") or LineFile(tmp_path / name).problem()
    assert victim.read_bytes() == b"keep"
    assert list(elsewhere.iterdir()) == []


def test_problem_is_empty_where_lines_can_be_added_and_writes_nothing(tmp_path: Path) -> None:
    assert LineFile(tmp_path / "new" / "traces.jsonl").problem() == ""
    assert list(tmp_path.iterdir()) == []
    file = LineFile(tmp_path / "traces.jsonl")
    file.append(b"{}\n")
    assert file.problem() == ""
