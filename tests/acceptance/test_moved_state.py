"""A fresh ledger by moving the state away: the variable, the setting, the folder itself.

The cheat leaves a repository that remembers its ledger and a state directory that has none, or another one. Every
command says so and ends with 3; a new ledger is begun by a person who says why, and never while the old one stands.

Red without: `replaced`, `standing_elsewhere`, `check_identity` (wiring/lost.py); `_require_operator`, `_check_ledger`
(cli/init.py); `_is_the_remembered` (cli/status.py); `raise_marker` (wiring/marker.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_repo import AGENT, PERSON, Repo

from autopilot.cli.demo.project import make_repository
from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import AutopilotError, ContractError, IntegrityError, RefusedError
from autopilot.testing.clock import FakeClock
from autopilot.wiring.full import Outside, Workspace
from autopilot.wiring.marker import Marker, read_marker

BOB = Caller("agent-7", "agent", "s-1")
ADA = Caller("ada", "human", "tty-1")
COMMANDS = (
    ("status",),
    ("init",),
    ("init", "--join"),
    ("task", "list"),
    ("task", "open", "T-9", "--title", "Something else"),
    ("advance", "T-1"),
    ("next", "T-1"),
    ("ledger", "log"),
    ("flags", "list"),
    ("guard", "check", "--tool", "Read", "--input", "{}"),
)


def _by_variable(repo: Repo) -> None:
    repo.environ["AUTOPILOT_STATE_DIR"] = str(repo.root.parent / "elsewhere")


def _by_setting(repo: Repo) -> None:
    settings = repo.root / "autopilot.toml"
    settings.write_text('state_dir = "state2"\n' + settings.read_text())


def _by_hand(repo: Repo) -> None:
    repo.state.rename(repo.root.parent / "moved")


WAYS: dict[str, Callable[[Repo], None]] = {"variable": _by_variable, "setting": _by_setting, "folder": _by_hand}


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("moved") / "shop"
    root.mkdir()
    repo = Repo(make_repository(root))
    repo.quick("init", check=0)
    repo.quick("task", "open", "T-1", "--title", "Take the discount off once in shop pricing", check=0)
    return root


@pytest.fixture
def repo(tmp_path: Path, stock: Path) -> Repo:
    shutil.copytree(stock, tmp_path / "shop", symlinks=True)
    return Repo(tmp_path / "shop")


def _marker(repo: Repo) -> Marker:
    known = read_marker(repo.root / ".git")
    assert known is not None
    return known


def _place(repo: Repo) -> Path:
    """The state directory that is in use, after a way."""
    if "AUTOPILOT_STATE_DIR" in repo.environ:
        return Path(repo.environ["AUTOPILOT_STATE_DIR"])
    moved = (repo.root / "autopilot.toml").read_text().startswith("state_dir")
    return repo.root / ("state2" if moved else "state")


def _another_ledger(repo: Repo, place: Path) -> None:
    """A ledger of another repository, in `place`."""
    stranger = Repo(repo.root.parent / "stranger")
    stranger.root.mkdir()
    make_repository(stranger.root)
    stranger.quick("init", check=0)
    shutil.copytree(stranger.state, place)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("other", [False, True], ids=["none", "another"])
def test_every_command_misses_the_ledger(repo: Repo, way: str, other: bool) -> None:
    repo.quick("status", check=0)
    WAYS[way](repo)
    if other:
        _another_ledger(repo, _place(repo))
    before = _marker(repo)
    for words in COMMANDS:
        if words == ("init", "--join") and not other:
            continue
        for dry in ((), ("--dry-run",)) if words[0] in ("init", "advance") else ((),):
            told = repo.quick(*words, *dry, "--json")
            assert (told.code, told.codes) == (3, ["ledger_missing"]), (words, told)
            (reason,) = told.json["error"]["reasons"]
            assert reason["remedy"].startswith("unset AUTOPILOT_STATE_DIR"), reason
    assert repo.quick("ledger", "verify").code == repo.quick("doctor").code == 3
    assert _marker(repo) == before
    assert _place(repo).exists() is other


@pytest.mark.parametrize("way", WAYS)
def test_no_agent_begins_a_new_one(repo: Repo, way: str) -> None:
    WAYS[way](repo)
    before = _marker(repo)
    begin = ("init", "--replace-lost", "--reason", "it is gone", "--yes", "--json")
    assert repo.quick(*begin).codes == ["human_only"]
    assert repo.quick(*begin, env={**AGENT, "AUTOPILOT_ACTOR_KIND": "human"}).codes == ["not_a_terminal"]
    with pytest.raises(RefusedError) as caught:
        _begin(repo, BOB)
    assert caught.value.code == "human_only"
    assert _marker(repo) == before
    assert not _place(repo).exists()


@pytest.mark.parametrize("way", WAYS)
def test_a_person_begins_one_only_where_the_old_one_is_gone(repo: Repo, way: str) -> None:
    WAYS[way](repo)
    lost = _marker(repo)
    begin = ("init", "--replace-lost", "--reason", "the disk died", "--json")
    if way != "folder":
        for words in (begin, (*begin, "--dry-run")):
            told = repo.person(*words)
            assert (told.code, told.codes) == (2, ["ledger_exists"])
            assert str(repo.state) in told.json["error"]["reasons"][0]["detail"]
        with pytest.raises(ContractError) as caught:
            _begin(repo, ADA)
        assert caught.value.code == "ledger_exists"
        assert _marker(repo) == lost
        # It stands, but no longer intact: that is lost too.
        repo.segment.write_bytes(repo.segment.read_bytes()[:-40])
    made = repo.person(*begin, check=0).json["ledger"]
    assert made != lost.ledger
    (genesis, *_) = repo.quick("ledger", "log", "--json", check=0).json["records"]
    assert genesis["data"]["replaced"] == {"ledger": lost.ledger, "entries": lost.size, "reason": "the disk died"}


def test_a_forged_successor_is_not_taken_over_by_an_agent(repo: Repo) -> None:
    """A ledger whose first line claims the repository's place is soon made, with the Python API and a clone."""
    clone = Repo(repo.root.parent / "clone")
    shutil.copytree(repo.root, clone.root, symlinks=True)
    shutil.rmtree(clone.state)
    _begin(clone, ADA)
    repo.environ["AUTOPILOT_STATE_DIR"] = str(clone.state)
    before = _marker(repo)
    assert repo.quick("init", "--yes", "--json").codes == ["human_only"]
    assert repo.quick("init", "--yes", "--json", env=PERSON).codes == ["not_a_terminal"]
    assert repo.person("init", "--json").codes == ["ledger_exists"]
    assert _marker(repo) == before


def test_a_deleted_marker_does_not_help(repo: Repo) -> None:
    (repo.root / ".git/autopilot.id").unlink()
    _by_variable(repo)
    assert repo.quick("status", "--json").codes == ["not_a_workspace"]
    assert repo.quick("init", "--json").codes == ["ledger_elsewhere"]
    (repo.root / "autopilot.toml").unlink()
    assert repo.quick("init", "--json").codes == ["ledger_exists"]
    _another_ledger(repo, _place(repo))
    for words in COMMANDS:
        told = repo.quick(*words, "--json")
        assert told.code in (2, 3), (words, told)
        assert told.codes in (["ledger_missing"], ["ledger_exists"]), (words, told)
    assert read_marker(repo.root / ".git") is None
    del repo.environ["AUTOPILOT_STATE_DIR"]
    repo.quick("task", "list", check=0)
    assert _marker(repo).ledger


def _begin(repo: Repo, caller: Caller) -> None:
    outside = Outside(environ=dict(repo.environ), clock=FakeClock())
    Workspace.init(repo.root, caller=caller, lost="it is gone", outside=outside).close()


def _older(repo: Repo) -> Path:
    """The state as it was, before three more lines."""
    kept = repo.root.parent / "older"
    shutil.copytree(repo.state, kept, symlinks=True)
    repo.quick("lease", "acquire", "T-1", check=0)
    repo.quick("task", "open", "T-2", "--title", "Something else", check=0)
    repo.quick("status", check=0)
    return kept


def test_an_older_state_put_back_is_found_by_the_marker(repo: Repo) -> None:
    repo.quick("status", check=0)
    older = _older(repo)
    shutil.rmtree(repo.state)
    shutil.copytree(older, repo.state, symlinks=True)
    before = _marker(repo)
    for words in (("status",), ("task", "list"), ("advance", "T-1"), ("ledger", "log"), ("init",)):
        told = repo.quick(*words, "--json")
        assert (told.code, told.codes) == (3, ["truncated"]), (words, told)
    told = repo.quick("ledger", "verify", "--json")
    assert (told.code, told.json["reason"]) == (3, "rolled_back")
    assert repo.quick("doctor").code == 3
    assert _marker(repo) == before


def test_what_is_cut_off_is_found_by_the_marker(repo: Repo) -> None:
    _older(repo)
    lines = repo.segment.read_bytes().splitlines(keepends=True)
    repo.segment.write_bytes(b"".join(lines[:-1]))
    (repo.state / "ledger" / "head").unlink()
    for words in (("status",), ("task", "list")):
        assert repo.quick(*words, "--json").codes == ["truncated"], words


def test_the_marker_never_goes_back(repo: Repo) -> None:
    outside = Outside(environ={}, clock=FakeClock())
    first = Workspace.open(repo.root, outside=outside)
    first.tasks.open("T-2", title="Something else", caller=BOB)
    with Workspace.open(repo.root, outside=outside) as second:
        second.tasks.open("T-3", title="Something more", caller=BOB)
    high = _marker(repo)
    first.close()
    assert _marker(repo) == high
    assert high.size == repo.lines()
    with Workspace.open(repo.root, outside=outside):
        pass
    assert _marker(repo) == high


def test_a_workspace_of_the_lost_ledger_does_not_take_the_marker_back(repo: Repo) -> None:
    old = Workspace.open(repo.root, outside=Outside(environ={}, clock=FakeClock()))
    old.tasks.open("T-2", title="Something else", caller=BOB)
    _by_hand(repo)
    repo.person("init", "--replace-lost", "--reason", "the disk died", check=0)
    new = _marker(repo)
    try:
        old.close()
    except AutopilotError as error:
        assert not isinstance(error, IntegrityError)  # noqa: PT017 - whether it raises is not the point
    assert _marker(repo).ledger == new.ledger
