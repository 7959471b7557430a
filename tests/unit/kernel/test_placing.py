"""Nothing is written through a link, two writers do not meet in one temporary name, and leftovers go."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from autopilot.kernel import placing
from autopilot.kernel.errors import IntegrityError, StorageError
from autopilot.kernel.placing import move_below, opened_log, place_file, place_folder, refuse_strangers

NAME = "evidence/T-1/plan/plan.md"
FOLDERS = ("evidence", "evidence/T-1", "evidence/T-1/plan")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    folder = tmp_path / "elsewhere"
    (folder / "T-1" / "plan").mkdir(parents=True)
    (folder / "plan").mkdir()
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "state"


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if not path.is_dir()]


def test_folders_are_made_and_a_file_is_replaced(root: Path) -> None:
    assert place_file(root, NAME, b"one") == root / NAME
    place_file(root, NAME, b"two")
    assert (root / NAME).read_bytes() == b"two"
    assert _files(root) == [root / NAME]


@pytest.mark.parametrize("linked", FOLDERS)
def test_no_component_may_be_a_link(root: Path, elsewhere: Path, linked: str) -> None:
    (root / linked).parent.mkdir(parents=True)
    (root / linked).symlink_to(elsewhere)
    attempts = (
        lambda: place_file(root, NAME, b"x"),
        lambda: place_folder(root, "evidence/T-1/plan"),
        lambda: move_below(root, NAME, "evidence/T-1/.superseded/0/plan.md"),
        lambda: opened_log(root, "evidence/T-1/plan/x.jsonl").__enter__(),
    )
    for attempt in attempts:
        with pytest.raises(IntegrityError) as caught:
            attempt()
        assert caught.value.code == "state_linked"
    assert _files(elsewhere) == []


def test_the_root_itself_may_be_reached_through_a_link(root: Path, elsewhere: Path) -> None:
    root.symlink_to(elsewhere)
    place_file(root, "a/b", b"x")
    assert (elsewhere / "a/b").read_bytes() == b"x"


def test_a_link_in_place_of_the_file_is_replaced_not_followed(root: Path, elsewhere: Path) -> None:
    victim = elsewhere / "victim"
    victim.write_text("untouched")
    place_folder(root, "evidence/T-1/plan")
    (root / NAME).symlink_to(victim)
    place_file(root, NAME, b"x")
    assert victim.read_text() == "untouched"
    assert not (root / NAME).is_symlink()


@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_what_is_no_folder_is_refused_and_does_not_hang(root: Path, kind: str) -> None:
    root.mkdir()
    os.mkfifo(root / "evidence") if kind == "pipe" else (root / "evidence").write_text("x")
    with pytest.raises(IntegrityError):
        place_file(root, NAME, b"x")


def test_a_log_is_no_link_and_no_pipe(root: Path, elsewhere: Path) -> None:
    place_folder(root, "journal")
    (root / "journal/a").symlink_to(elsewhere / "victim")
    os.mkfifo(root / "journal/b")
    for name in ("journal/a", "journal/b"):
        with pytest.raises(IntegrityError), opened_log(root, name):
            pass
    assert _files(elsewhere) == []


@pytest.mark.parametrize("relative", ["../x", "a/../../x", "a//x", "./x"])
def test_no_name_leads_out(root: Path, relative: str) -> None:
    with pytest.raises(IntegrityError):
        place_file(root, relative, b"x")
    assert not (root.parent / "x").exists()


def test_a_folder_in_place_of_the_file_is_an_error_of_the_store(root: Path) -> None:
    place_folder(root, NAME)
    with pytest.raises(StorageError):
        place_file(root, NAME, b"x")
    assert _files(root) == []


def test_moving(root: Path, elsewhere: Path) -> None:
    place_file(root, "a/plan/x", b"new")
    place_file(root, "shelf/plan/old", b"old")
    assert move_below(root, "a/plan", "shelf/plan")
    assert _files(root) == [root / "shelf/plan/x"]
    assert not move_below(root, "a/plan", "shelf/plan")
    assert not move_below(root, "nowhere/plan", "shelf/plan")
    (root / "a/plan").symlink_to(elsewhere)
    assert not move_below(root, "a/plan", "shelf/plan")
    assert (root / "shelf/plan/x").read_bytes() == b"new"


def test_links_among_the_engines_own_folders(root: Path, elsewhere: Path) -> None:
    place_folder(root, "ledger")
    refuse_strangers(root, folders=("ledger", "git"), files=("ledger/lock",))
    (root / "git").symlink_to(elsewhere / "nowhere")
    with pytest.raises(IntegrityError):
        refuse_strangers(root, folders=("ledger", "git"), files=("ledger/lock",))


KILLED = """
import os, signal, sys
from pathlib import Path
from autopilot.kernel import placing
placing.os.replace = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
placing.place_file(Path(sys.argv[1]), sys.argv[2], b"half")
"""


def test_what_a_killed_writer_left_is_swept_by_the_next(root: Path) -> None:
    for _ in range(2):
        subprocess.run([sys.executable, "-c", KILLED, str(root), NAME], check=False, timeout=60)
    left = _files(root)
    assert left
    assert all(path.name.endswith(".new") for path in left)
    place_file(root, "evidence/T-1/plan/other.md", b"x")
    assert set(left) & set(_files(root)), "another file's leftovers are not this writer's to judge"
    place_file(root, NAME, b"whole")
    assert sorted(path.name for path in _files(root)) == ["other.md", "plan.md"]


def test_a_living_writer_is_never_swept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is stopped just before its rename; the second writes and sweeps; the first still comes through."""
    writing, go_on, replace = threading.Event(), threading.Event(), os.replace

    def slowly(*names: object, **folders: object) -> None:
        if not writing.is_set():
            writing.set()
            assert go_on.wait(60)
        replace(*names, **folders)  # type: ignore[arg-type]

    monkeypatch.setattr(placing.os, "replace", slowly)
    first = threading.Thread(target=place_file, args=(root, NAME, b"first"))
    first.start()
    assert writing.wait(60)
    place_file(root, NAME, b"second")
    assert (root / NAME).read_bytes() == b"second"
    go_on.set()
    first.join(60)
    assert (root / NAME).read_bytes() == b"first"
    assert _files(root) == [root / NAME]


def test_a_pipe_or_a_strangers_file_under_such_a_name_is_left_alone(root: Path, elsewhere: Path) -> None:
    place_folder(root, "evidence/T-1/plan")
    folder = (root / NAME).parent
    os.mkfifo(folder / ".plan.md.pipe.new")
    (elsewhere / "victim").write_text("untouched")
    (folder / ".plan.md.link.new").symlink_to(elsewhere / "victim")
    place_file(root, NAME, b"x")
    assert (elsewhere / "victim").read_text() == "untouched"
    assert (folder / ".plan.md.pipe.new").exists()
