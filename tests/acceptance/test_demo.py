"""The demo shows what it says: cheats refused for real, a fix verified for real, and no pass without the fix."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from autopilot.cli.demo.cheats import CHEATS, Cheat
from autopilot.cli.demo.play import play, play_on_copy
from autopilot.cli.demo.project import make_repository
from autopilot.cli.demo.show import Show


def test_the_demo_passes_from_the_command_line_and_refuses_at_least_twelve_cheats() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "autopilot.cli.main", "demo", "--json"], capture_output=True, text=True, timeout=200
    )
    result = json.loads(done.stdout)
    assert (done.returncode, result["passed"], result["honest"]) == (0, True, "CLOSED"), done.stdout + done.stderr
    assert result["cheats_refused"] == result["cheats"] == len(CHEATS) >= 12
    assert result["ledger"] == "intact"


def test_without_the_fix_but_with_its_new_test_the_honest_task_is_refused_in_verify(tmp_path: Path) -> None:
    show = Show(quiet=True)
    result = play(tmp_path, show, fix=False, cheats=())
    assert (result["passed"], result["honest"]) == (False, "refused in VERIFY")
    assert "tests_failed" in show.rows[-1][2]
    assert "accept_failed" in show.rows[-1][2]


def test_a_cheat_that_is_let_through_fails_the_demo(tmp_path: Path) -> None:
    def nothing(_stage: object) -> None:
        """A cheat that meets no refusal."""

    show = Show(quiet=True)
    cheats = (Cheat("meets nothing", "out_of_sequence", nothing), Cheat("skips", "tests_changed", CHEATS[0].attempt))
    result = play(tmp_path, show, cheats=cheats)
    assert (result["passed"], result["cheats_refused"], result["honest"]) == (False, 0, "CLOSED")
    assert [row[2].split(":")[0] for row in show.rows[:2]] == ["HOLE", "HOLE"]


def test_the_demo_runs_on_a_copy_and_leaves_the_repository_as_it_is(tmp_path: Path) -> None:
    source = tmp_path / "mine"
    source.mkdir()
    make_repository(source)
    before = {path: path.read_bytes() for path in source.rglob("*") if path.is_file() and ".git/" not in str(path)}
    (tmp_path / "scratch").mkdir()
    result = play_on_copy(source, tmp_path / "scratch", Show(quiet=True))
    assert result["honest"] == "CLOSED", result
    after = {path: path.read_bytes() for path in source.rglob("*") if path.is_file() and ".git/" not in str(path)}
    assert after == before
