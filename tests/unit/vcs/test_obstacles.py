"""What will stand in a task's way is found beforehand, and nothing else is called an obstacle.

Red without: `Scan._list` with `names_only` (vcs/scan.py), `line_end_conversion` (vcs/obstacles.py).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from real_repository import Repo

from autopilot.kernel.errors import ContractError
from autopilot.vcs.obstacles import line_end_conversion, nested_repositories

CRLF = b"a = 1\r\nb = 2\r\n"


def _nested(repo: Repo) -> tuple[str, ...]:
    return nested_repositories(repo.located(), exclude=("state",))


def _snapshot(repo: Repo) -> str:
    return repo.trees().snapshot(base_tree=None).tree


def _make_inside(repo: Repo, *paths: str) -> None:
    for path in paths:
        (repo.root / path).mkdir(parents=True)
        repo.git("init", "-q", path)


def test_nested_repositories_are_named_and_ignored_ones_are_not(repo: Repo) -> None:
    assert _nested(repo) == ()
    _make_inside(repo, "vendor/lib", "pkg/deep/er", "build/x", "state/engine")
    assert _nested(repo) == ("pkg/deep/er", "vendor/lib")
    assert sorted(path.name for path in (repo.root / "state").iterdir()) == ["engine"]
    with pytest.raises(ContractError) as caught:
        _snapshot(repo)
    assert caught.value.code == "nested_repository"


def test_a_submodule_is_one_while_it_is_checked_out(repo: Repo, tmp_path: Path) -> None:
    library = Repo(tmp_path / "library")
    library.root.mkdir()
    library.git("init", "-q", "-b", "main")
    library.write("lib.py", "x = 1\n")
    library.commit("first")
    repo.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library.root), "lib")
    repo.commit("with a library")
    assert _nested(repo) == ("lib",)
    repo.git("submodule", "deinit", "-q", "-f", "lib")
    assert _nested(repo) == ()
    assert _snapshot(repo) == repo.tree()


def test_looking_reads_no_file(repo: Repo) -> None:
    (repo.root / "large").write_bytes(b"")
    os.truncate(repo.root / "large", 1 << 40)
    assert _nested(repo) == ()


@pytest.mark.parametrize(
    ("setting", "attributes", "told"),
    [
        ("", "", False),
        ("core.autocrlf=false", "", False),
        ("core.autocrlf=true", "", True),
        ("core.autocrlf=input", "", True),
        ("core.autocrlf=true", "*.bat text eol=crlf\n", True),
        ("core.autocrlf=true", "* text=auto\n", False),
        ("core.autocrlf=true", "* -text\n", False),
        ("core.autocrlf=input", "# all\n* text=auto eol=lf\n", False),
        ("core.eol=crlf", "", False),
        ("core.eol=crlf", "* text=auto\n", False),
    ],
)
def test_it_is_told_exactly_where_git_commits_another_tree(
    repo: Repo, setting: str, attributes: str, told: bool
) -> None:
    if attributes:
        repo.write(".gitattributes", attributes)
        repo.commit("rules")
    if setting:
        repo.git("config", *setting.split("="))
    (repo.root / "new.py").write_bytes(CRLF)
    judged = _snapshot(repo)
    repo.commit("new file")
    assert (judged != repo.tree()) is told
    found = line_end_conversion(repo.located(), {})
    assert bool(found) is told
    assert not told or (setting in found and str(repo.root) in found)


def test_settings_of_user_and_system_count_and_the_nearest_wins(repo: Repo, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / ".config/git").mkdir(parents=True)
    (home / ".config/git/config").write_text("[core]\n\tautocrlf = true\n")
    located, environ = repo.located(), {"HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1"}
    assert line_end_conversion(located, environ).endswith(f"in {home}/.config/git/config")
    assert line_end_conversion(located, {**environ, "GIT_CONFIG_GLOBAL": "/dev/null"}) == ""
    (home / ".gitconfig").write_text("[core]\n\tautocrlf = input\n")
    assert line_end_conversion(located, environ) == f"core.autocrlf=input in {home}/.gitconfig"
    system = tmp_path / "system"
    system.write_text("[core]\n\tautocrlf = TRUE\n")
    assert line_end_conversion(located, {"GIT_CONFIG_SYSTEM": str(system)}) == f"core.autocrlf=true in {system}"
    repo.git("config", "core.autocrlf", "false")
    assert line_end_conversion(located, environ) == ""


def test_settings_that_cannot_be_read_say_nothing(repo: Repo, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("[core\n")
    located = repo.located()
    assert line_end_conversion(located, {"GIT_CONFIG_GLOBAL": str(bad)}) == ""
    bad.unlink()
    os.mkfifo(bad)
    assert line_end_conversion(located, {"GIT_CONFIG_GLOBAL": str(bad)}) == ""
