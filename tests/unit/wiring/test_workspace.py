"""One repository, one ledger: `autopilot.toml`, the marker and the state directory must agree.

Red without: `replaced` and `check_identity` (wiring/lost.py), `refuse_strangers` in `Workspace.open` and `init`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from autopilot.cli.demo.project import make_repository
from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.testing.clock import FakeClock
from autopilot.wiring.full import Outside, Workspace

ADA = Caller("ada", "human", "tty-1")


def _outside() -> Outside:
    return Outside(environ={}, clock=FakeClock())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    return make_repository(tmp_path / "shop")


def _init(root: Path, lost: str = "") -> tuple[str, object]:
    """Make the ledger; its id and what its first line says of a lost one."""
    with Workspace.init(root, caller=ADA, lost=lost, outside=_outside()) as workspace:
        (genesis,) = workspace.ledger.entries(0, 1)
        return workspace.ledger.ledger_id, genesis.data["replaced"]


def _open(root: Path) -> str:
    with Workspace.open(root, outside=_outside()) as workspace:
        return workspace.ledger.ledger_id


def _name(root: Path, ledger: str) -> None:
    (root / "autopilot.toml").write_text(f'ledger_id = "{ledger}"\n')


def _as_a_clone(root: Path) -> None:
    """What a fresh clone lacks: the state and the marker."""
    shutil.rmtree(root / "state")
    (root / ".git/autopilot.id").unlink()


def test_in_a_clone_the_first_line_names_the_ledger_of_the_settings(root: Path) -> None:
    ledger, replaced = _init(root)
    assert replaced is None
    _name(root, ledger)
    _as_a_clone(root)
    fresh, replaced = _init(root, lost=" a clone of my own ")
    assert fresh != ledger
    assert replaced == {"ledger": ledger, "entries": 0, "reason": "a clone of my own"}


def test_a_clone_is_not_governed_anew_in_silence(root: Path) -> None:
    ledger, _ = _init(root)
    _name(root, ledger)
    _as_a_clone(root)
    for lost in ("", "  "):
        with pytest.raises(ContractError) as caught:
            _init(root, lost=lost)
        assert caught.value.code == "ledger_elsewhere"
        assert ledger in caught.value.detail
    assert not (root / "state").exists()


def test_the_marker_knows_more_than_the_settings(root: Path) -> None:
    ledger, _ = _init(root)
    _name(root, "0" * 32)
    shutil.rmtree(root / "state")
    _, replaced = _init(root, lost="the disk died")
    assert replaced == {"ledger": ledger, "entries": 1, "reason": "the disk died"}


def test_a_ledger_that_the_settings_do_not_name_is_not_opened(root: Path) -> None:
    ledger, _ = _init(root)
    _name(root, ledger)
    assert _open(root) == ledger
    _name(root, "f" * 32)
    with pytest.raises(IntegrityError) as caught:
        _open(root)
    assert caught.value.code == "ledger_unlike_settings"
    assert ledger in caught.value.detail
    assert "f" * 32 in caught.value.detail
    (root / "autopilot.toml").unlink()
    assert _open(root) == ledger


def test_an_agent_that_puts_another_ledger_and_marker_in_place_is_found_by_the_settings(root: Path) -> None:
    ledger, _ = _init(root)
    _name(root, ledger)
    settings = (root / "autopilot.toml").read_text()
    _as_a_clone(root)
    (root / "autopilot.toml").unlink()
    _init(root)
    (root / "autopilot.toml").write_text(settings)
    with pytest.raises(IntegrityError) as caught:
        _open(root)
    assert caught.value.code == "ledger_unlike_settings"


def test_a_refused_opening_lets_go_of_the_store(root: Path) -> None:
    ledger, _ = _init(root)
    _name(root, "f" * 32)
    for _ in range(3):
        with pytest.raises(IntegrityError):
            _open(root)
    _name(root, ledger)
    assert _open(root) == ledger


@pytest.mark.parametrize("name", ["ledger", "ledger/seg", "leases", "git", "cache", "evidence", "evidence/.objects"])
def test_the_engines_own_folders_are_no_links(root: Path, name: str) -> None:
    _init(root)
    place, away = root / "state" / name, root.parent / "away"
    if place.exists():
        place.rename(away)
    else:
        away.mkdir()
    place.symlink_to(away)
    before = sorted(away.rglob("*"))
    with pytest.raises(IntegrityError) as caught:
        _open(root)
    assert caught.value.code == "state_linked"
    assert caught.value.where == str(place)
    assert sorted(away.rglob("*")) == before


def test_a_ledger_is_not_made_through_a_link(root: Path) -> None:
    away = root.parent / "away"
    away.mkdir()
    (root / "state").mkdir()
    (root / "state/ledger").symlink_to(away)
    with pytest.raises(IntegrityError) as caught:
        _init(root)
    assert caught.value.code == "state_linked"
    assert list(away.iterdir()) == []


def test_the_whole_state_directory_may_be_a_link(root: Path) -> None:
    (root.parent / "big-disk").mkdir()
    (root / "state").symlink_to(root.parent / "big-disk")
    ledger, _ = _init(root)
    assert _open(root) == ledger


@pytest.mark.parametrize(
    "name", ["ledger/LEDGER.json", "ledger/head", "ledger/lock", "ledger/queue", "leases/leases.wal"]
)
def test_a_pipe_in_place_of_a_file_is_refused_and_does_not_hang(root: Path, name: str) -> None:
    _init(root)
    (root / "state" / name).unlink(missing_ok=True)
    os.mkfifo(root / "state" / name)
    with pytest.raises(IntegrityError) as caught:
        _open(root)
    assert caught.value.code == "state_linked"


def test_a_pipe_in_place_of_the_marker_does_not_hang(root: Path) -> None:
    _init(root)
    (root / ".git/autopilot.id").unlink()
    os.mkfifo(root / ".git/autopilot.id")
    with pytest.raises(IntegrityError) as caught:
        _open(root)
    assert caught.value.code == "ledger_missing"


def test_a_pipe_in_place_of_a_sealed_object_does_not_hang(root: Path) -> None:
    with Workspace.init(root, caller=ADA, outside=_outside()) as workspace:
        digest = workspace.ledger.objects.put(b"sealed")
        path = root / "state/evidence/.objects" / digest[:2] / digest
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(IntegrityError):
            workspace.ledger.objects.get(digest)
