"""What will stand in a task's way is said by `init`, `doctor` and `task open`, before any work is done."""

from __future__ import annotations

import subprocess

import pytest
from cli_repo import PERSON, Repo


def _git(repo: Repo, *words: str) -> None:
    subprocess.run(["git", *words], cwd=repo.root, check=True, capture_output=True)


def _check(repo: Repo, name: str) -> dict[str, object]:
    return next(check for check in repo.quick("doctor", "--json").json["checks"] if check["name"] == name)


def test_a_repository_inside_the_repository_is_said_before_a_task_is_refused(plain: Repo) -> None:
    """Red without `_obstacles` (cli/init.py) and `nested` (cli/doctor.py)."""
    (plain.root / "vendor").mkdir()
    _git(plain, "init", "-q", "vendor/lib")
    (note,) = [note for note in plain.quick("init", "--json", env=PERSON).json["notes"] if "vendor" in note]
    assert "vendor/lib" in note
    assert "git submodule deinit" in note
    check = _check(plain, "nested")
    assert (check["ok"], check["required"]) == (False, True)
    assert plain.quick("doctor").code == 1
    refused = plain.quick("task", "open", "T-1", "--title", "Something", "--json")
    assert refused.codes == ["nested_repository"]
    with (plain.root / ".gitignore").open("a") as ignored:
        ignored.write("/vendor/\n")
    assert _check(plain, "nested")["ok"]
    assert not [note for note in plain.quick("init", "--json", env=PERSON, check=0).json["notes"] if "vendor" in note]
    plain.quick("task", "open", "T-1", "--title", "Something", check=0)


@pytest.mark.parametrize("value", ["true", "input"])
def test_a_setting_that_converts_line_ends_is_said_before_the_pr_is_refused(plain: Repo, value: str) -> None:
    """Red without `_obstacles` (cli/init.py), the check of doctor, and the warning of `task open`."""
    _git(plain, "config", "core.autocrlf", value)
    assert f"core.autocrlf={value}" in plain.quick("init", env=PERSON, check=0).err
    check = _check(plain, "line ends")
    assert (check["ok"], check["required"]) == (False, False)
    told = plain.quick("task", "open", "T-1", "--title", "Something", check=0)
    assert f"warning: core.autocrlf={value}" in told.err
    assert "`* text=auto`" in told.err
    (plain.root / ".gitattributes").write_text("* text=auto\n")
    assert _check(plain, "line ends")["ok"]
    assert "warning" not in plain.quick("task", "open", "T-2", "--title", "Something", check=0).err
