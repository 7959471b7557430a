"""`autopilot init`: shows, asks, writes two files and a ledger; can be cut short anywhere and run again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from cli_repo import COMMAND, PERSON, Repo

from autopilot.wiring.marker import Marker, read_marker, write_marker


def _ledger_of(repo: Repo) -> str:
    return str(json.loads((repo.state / "ledger" / "LEDGER.json").read_text())["ledger"])


def _settings(repo: Repo) -> dict[str, object]:
    return tomllib.loads((repo.root / "autopilot.toml").read_text())


def _complete(repo: Repo) -> None:
    ledger = _ledger_of(repo)
    marker = read_marker(repo.root / ".git")
    assert marker is not None
    assert marker.ledger == _settings(repo)["ledger_id"] == ledger
    assert "/state/" in (repo.root / ".gitignore").read_text().splitlines()
    assert repo.quick("ledger", "verify").code == 0
    again = repo.quick("init", env=PERSON, check=0)
    assert again.out == f"nothing to do: this repository is governed by ledger {ledger}\n"


def test_it_shows_what_it_writes_and_a_second_run_proposes_nothing(plain: Repo) -> None:
    first = plain.run("init", env=PERSON, check=0)
    assert "+++ b/autopilot.toml" in first.out
    assert "+/state/" in first.out
    assert first.err.splitlines()[-1] == 'next: autopilot task open T-1 --title "what it is for"'
    shown = [line[1:] for line in first.out.splitlines() if line.startswith("+") and not line.startswith("+++")]
    written = (plain.root / "autopilot.toml").read_text().replace(_ledger_of(plain), "<made by init>").splitlines()
    assert all(line in shown for line in written)
    _complete(plain)


def test_nothing_else_is_touched(plain: Repo) -> None:
    before = plain.files()
    plain.quick("init", env=PERSON, check=0)
    after = {name: data for name, data in plain.files().items() if not name.startswith("state/")}
    assert {name for name in after if after[name] != before.get(name)} == {"autopilot.toml", ".gitignore"}
    assert before[".gitignore"] in after[".gitignore"]


def test_a_dry_run_writes_nothing(plain: Repo) -> None:
    before = plain.files()
    shown = plain.quick("init", "--dry-run", "--json", env=PERSON, check=0).shaped("init", "dry_run", "diff")
    assert "autopilot.toml" in shown["diff"]
    assert plain.files() == before
    assert read_marker(plain.root / ".git") is None


@pytest.mark.parametrize("answer", ["n", "", "y"])
def test_at_a_terminal_it_asks(plain: Repo, answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from autopilot.cli import console, main

    monkeypatch.setattr(console, "at_terminal", lambda: True)
    monkeypatch.setattr(console, "ask", lambda _: answer)
    before = plain.files()
    code = main.main(["init", "-C", str(plain.root)])
    assert code == (0 if answer == "y" else 1)
    assert (plain.files() == before) is (answer != "y")


@pytest.mark.parametrize(
    "lost",
    [
        ("marker",),
        ("autopilot.toml",),
        (".gitignore",),
        ("autopilot.toml", ".gitignore"),
        ("marker", "autopilot.toml", ".gitignore"),
        ("LEDGER.json", "marker", "autopilot.toml", ".gitignore"),
        ("leases", "LEDGER.json", "marker", "autopilot.toml", ".gitignore"),
    ],
)
def test_a_run_that_was_cut_short_is_completed_by_the_next(plain: Repo, lost: tuple[str, ...]) -> None:
    ignored = (plain.root / ".gitignore").read_text()
    plain.quick("init", env=PERSON, check=0)
    ledger = _ledger_of(plain)
    for name in lost:
        if name == "marker":
            (plain.root / ".git" / "autopilot.id").unlink()
        elif name == ".gitignore":
            (plain.root / name).write_text(ignored)
        elif name == "LEDGER.json":
            # Written last of all when a ledger is made: its first line is there, and nothing else yet.
            (plain.state / "ledger" / name).unlink()
            (plain.state / "ledger" / "head").unlink()
            plain.segment.write_bytes(plain.segment.read_bytes().splitlines(keepends=True)[0])
        elif name == "leases":
            shutil.rmtree(plain.state / "leases")
        else:
            (plain.root / name).unlink()
    plain.quick("init", env=PERSON, check=0)
    assert _ledger_of(plain) == ledger
    _complete(plain)


def test_a_ledger_that_is_gone_is_missed_until_someone_says_how(repo: Repo) -> None:
    ledger = _ledger_of(repo)
    shutil.rmtree(repo.state)
    for words in (("init",), ("status",), ("ledger", "verify"), ("task", "list")):
        assert repo.quick(*words, "--json", env=PERSON).code == 3, words
    assert repo.person("init", "--replace-lost", "--json").codes == ["reason_missing"]
    repo.person("init", "--replace-lost", "--reason", "the disk died", check=0)
    genesis = repo.quick("ledger", "log", "--json", check=0).json["records"][0]
    assert genesis["data"]["replaced"]["ledger"] == ledger
    assert genesis["data"]["replaced"]["reason"] == "the disk died"
    assert _ledger_of(repo) != ledger
    _complete(repo)


@pytest.mark.parametrize("keep_marker", [True, False])
def test_a_replacement_that_was_cut_short_is_completed(repo: Repo, keep_marker: bool) -> None:
    lost, settings = _ledger_of(repo), (repo.root / "autopilot.toml").read_text()
    shutil.rmtree(repo.state)
    repo.person("init", "--replace-lost", "--reason", "the disk died", check=0)
    # As after a crash between the new ledger and autopilot.toml (and, the other way, before the marker).
    (repo.root / "autopilot.toml").write_text(settings)
    if not keep_marker:
        write_marker(repo.root / ".git", Marker(lost, 3))
    # Finishing it is a person's as well: a ledger that names the lost one is soon made.
    assert repo.quick("init", "--json").codes == ["human_only"]
    assert repo.quick("init", "--json", env=PERSON).codes == ["not_a_terminal"]
    repo.person("init", check=0)
    _complete(repo)


def test_a_clone_asks_whether_to_join_or_to_replace(repo: Repo) -> None:
    ledger = _ledger_of(repo)
    (repo.root / ".git" / "autopilot.id").unlink()
    elsewhere = repo.root.parent / "elsewhere"
    repo.state.rename(elsewhere)
    assert repo.quick("init", "--json", env=PERSON).codes == ["ledger_elsewhere"]
    assert repo.quick("init", "--join", "--json", env=PERSON).codes == ["ledger_elsewhere"]
    shared = {**PERSON, "AUTOPILOT_STATE_DIR": str(elsewhere)}
    assert repo.quick("init", "--join", "--json", env=shared, check=0).json["ledger"] == ledger
    assert repo.quick("task", "list", "--json", env=shared, check=0).json["tasks"]


def test_in_a_clone_the_new_ledger_names_the_lost_one(repo: Repo) -> None:
    ledger = _ledger_of(repo)
    (repo.root / ".git" / "autopilot.id").unlink()
    shutil.rmtree(repo.state)
    repo.person("init", "--replace-lost", "--reason", "a clone of my own", check=0)
    replaced = repo.quick("ledger", "log", "--json", check=0).json["records"][0]["data"]["replaced"]
    assert (replaced["ledger"], replaced["reason"]) == (ledger, "a clone of my own")
    _complete(repo)


def test_another_ledger_in_the_place_of_the_repositorys_is_refused(repo: Repo, plain: Repo) -> None:
    other = Repo(repo.root.parent / "other")
    shutil.copytree(repo.root, other.root, symlinks=True)
    shutil.rmtree(other.state)
    (other.root / "autopilot.toml").unlink()
    (other.root / ".git" / "autopilot.id").unlink()
    other.run("init", env=PERSON, check=0)
    shutil.rmtree(repo.state)
    shutil.copytree(other.state, repo.state)
    for words in (("init",), ("init", "--replace-lost", "--reason", "x"), ("init", "--join")):
        assert repo.person(*words, "--json").codes == ["ledger_missing"], words
    assert repo.quick("ledger", "verify", "--json").json["reason"] == "missing"


def _begin_at_once(root: Path, count: int) -> list[tuple[int, str]]:
    """Exit codes and stdout of that many `init`, started together as processes of their own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AUTOPILOT_")}
    begun = [
        subprocess.Popen(
            [*COMMAND, "init", "--json"],
            cwd=root,
            env=kept,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(count)
    ]
    return [(process.wait(timeout=120), process.communicate()[0]) for process in begun]


def test_of_several_that_begin_at_once_one_does_and_the_others_go_on_with_it(plain: Repo) -> None:
    """Red without `claimed` in `Workspace.init`."""
    answers = _begin_at_once(plain.root, 6)
    assert {code for code, _ in answers} == {0}, answers
    assert {json.loads(out)["ledger"] for _, out in answers} == {_ledger_of(plain)}
    assert not (plain.root / ".autopilot-state").exists()
    _complete(plain)


def test_signing_keys_do_not_make_the_state_the_projects_own(repo: Repo) -> None:
    (repo.state / "keys").mkdir()
    (repo.root / "autopilot.toml").unlink()
    assert repo.person("init", "--json", check=0).json["state_dir"] == str(repo.state)


def test_a_state_folder_of_the_project_moves_ours(plain: Repo) -> None:
    (plain.root / "state").mkdir()
    (plain.root / "state" / "capitals.csv").write_text("a,b\n")
    plain.quick("init", env=PERSON, check=0)
    assert _settings(plain)["state_dir"] == ".autopilot-state"
    assert (plain.root / ".autopilot-state" / "ledger" / "LEDGER.json").exists()
    assert plain.quick("init", "--json", env=PERSON, check=0).json["files"] == []
    plain.quick("task", "open", "T-1", "--title", "Something", check=0)


def test_a_repository_of_no_known_kind_is_told_what_is_missing(plain: Repo) -> None:
    for path in (*plain.root.glob("*.toml"), plain.root / "shop", plain.root / "tests"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shown = plain.quick("init", "--json", env=PERSON, check=0).shaped("init")
    assert any("commands.test" in item for item in shown["missing"])
    assert plain.quick("task", "open", "T-1", "--title", "Something", "--json").codes[0] == "not_configured"
