"""`autopilot status`: light, and never shows what is not so."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from cli_repo import COMMAND, Repo

from autopilot.cli import status

HEAVY = (
    "pydantic",
    "opentelemetry",
    "orjson",
    "transitions",
    "argparse",
    "typing",
    "autopilot.kernel",
    "autopilot.wiring",
)


def _imported(repo: Repo, *words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *COMMAND[1:], *words],
        cwd=repo.root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time")}


def test_help_and_status_import_nothing_heavy(repo: Repo) -> None:
    repo.run("status", check=0)
    for words in (("--help",), ("status",), ("status", "--json")):
        heavy = {name for name in _imported(repo, *words) if name.startswith(HEAVY)}
        assert heavy == set(), words


def test_the_light_way_shows_what_the_long_way_shows(repo: Repo) -> None:
    repo.run("lease", "acquire", "T-1", check=0)
    kept = repo.state / status.PLACE
    light = repo.run("status", "--json", check=0).shaped("status")
    spoken = repo.run("status", check=0)
    kept.unlink()
    full = repo.run("status", "--json", check=0).shaped("status")
    assert kept.exists()
    for shown in (light, full):
        seconds = shown["tasks"][0]["lease"].pop("expires_in_seconds")
        assert 0 < seconds <= 120
    assert light == full
    assert full["tasks"][0]["lease"] == {"resource": "T-1/STRATEGIZE", "fence": 1, "actor": "agent-7"}
    assert "STRATEGIZE" in spoken.out
    assert "trust mode 0" in spoken.out
    assert spoken.err == "next: autopilot next T-1\n"


def test_a_snapshot_that_is_behind_is_not_shown(repo: Repo) -> None:
    kept = repo.state / status.PLACE
    before = kept.read_text()
    repo.run("task", "open", "T-2", "--title", "Another one", check=0)
    kept.write_text(before)
    assert [task["id"] for task in repo.run("status", "--json", check=0).json["tasks"]] == ["T-1", "T-2"]


def test_what_is_no_snapshot_is_not_shown(repo: Repo) -> None:
    kept = repo.state / status.PLACE
    good = json.loads(kept.read_text())
    for bad in ("", "[]", "{}", "null", json.dumps({**good, "format": 9}), json.dumps({**good, "ledger": "f" * 32})):
        kept.write_text(bad)
        assert repo.quick("status", "--json", check=0).json["tasks"][0]["title"].startswith("Take the discount")


def test_a_poisoned_store_is_said_though_a_snapshot_is_there(repo: Repo) -> None:
    (repo.state / "ledger" / "POISONED").write_text("{}")
    assert repo.run("status", "--json").codes == ["poisoned"]
    assert repo.run("status").code == 3


def test_a_snapshot_of_another_ledger_than_the_remembered_is_not_shown(repo: Repo) -> None:
    """Red without `_is_the_remembered`: the light way ended with 0 where every other command ends with 3."""
    repo.quick("status", check=0)
    marker, settings = repo.root / ".git" / "autopilot.id", repo.root / "autopilot.toml"
    kept = {marker: marker.read_text(), settings: settings.read_text()}
    ledger, size = kept[marker].split()
    for path, text, code in (
        (marker, f"{'f' * 32}\n1\n", "ledger_missing"),
        (marker, f"{ledger}\n{int(size) + 1}\n", "truncated"),
        (marker, "nothing", "ledger_missing"),
        (settings, kept[settings].replace(ledger, "f" * 32), "ledger_unlike_settings"),
        (settings, f"# ledger_id = '{ledger}'\nledger_id = '{'f' * 32}'\n", "ledger_unlike_settings"),
    ):
        path.write_text(text)
        for words in (("status", "--json"), ("task", "list", "--json")):
            told = repo.quick(*words)
            assert (told.code, told.codes) == (3, [code]), (text, words)
        path.write_text(kept[path])
    repo.quick("status", check=0)


def test_a_pipe_in_place_of_what_is_read_does_not_hang(repo: Repo) -> None:
    repo.quick("status", check=0)
    for path, code in (
        (repo.root / ".git" / "autopilot.id", 3),
        (repo.state / "ledger" / "LEDGER.json", 3),
        (repo.state / status.PLACE, 0),
    ):
        data = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        assert repo.quick("status").code == code, path
        path.unlink()
        path.write_bytes(data)


def test_a_lease_that_ran_out_is_not_shown() -> None:
    lease = {"resource": "T-1/SPEC", "fence": 1, "actor": "a", "boot": "b-1", "deadline_ns": 5_000_000_000}
    for boot, now, seconds in (("b-1", 1_000_000_000, 4), ("b-1", 5_000_000_000, None), ("b-2", 0, None)):
        shown = status.with_times({"tasks": [{"lease": dict(lease)}]}, boot, now)["tasks"][0]["lease"]
        assert (shown and shown["expires_in_seconds"]) == seconds


def test_the_state_directory_of_the_environment_is_followed(repo: Repo) -> None:
    moved = repo.root.parent / "moved"
    repo.state.rename(moved)
    environment = {"AUTOPILOT_STATE_DIR": str(moved)}
    assert repo.run("status", "--json", env=environment, check=0).json["tasks"]
    assert repo.run("status", env={}).code == 3


def test_a_linked_worktree_shows_the_same_ledger(repo: Repo) -> None:
    linked = Repo(repo.root.parent / "linked")
    subprocess.run(["git", "worktree", "add", "-q", str(linked.root)], cwd=repo.root, check=True, env=dict(os.environ))
    assert linked.run("status", "--json", check=0).json["tasks"][0]["id"] == "T-1"


def test_titles_cannot_redraw_the_terminal(repo: Repo) -> None:
    repo.run("task", "open", "T-3", "--title", "a\u202eb\u200bc\u0085d", check=0)
    for words in (("status",), ("task", "list"), ("task", "show", "T-3")):
        out = repo.run(*words, check=0).out
        assert not set(out) & {"\u202e", "\u200b", "\u0085", "\x1b"}, words
        assert "abcd" in out
