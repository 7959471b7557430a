"""Durable writes in their order, and reading that no link leads astray."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from autopilot.kernel.errors import ContractError, IntegrityError, StorageError
from autopilot.kernel.files import (
    create_durably,
    list_regular,
    make_dir_durably,
    make_empty_durably,
    read_regular,
    replace_durably,
)
from autopilot.testing.files import FaultyFiles


def test_a_new_file_is_synced_before_it_has_its_name(tmp_path: Path) -> None:
    files = FaultyFiles()
    create_durably(files, tmp_path / "a", b"one")
    assert files.operations() == ["open", "write", "sync", "move", "sync_dir"]
    assert (tmp_path / "a").read_bytes() == b"one"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_replaced_file_is_synced_before_it_has_its_name(tmp_path: Path) -> None:
    files = FaultyFiles()
    (tmp_path / "a").write_bytes(b"one")
    replace_durably(files, tmp_path / "a", b"two")
    assert files.operations() == ["open", "write", "sync", "move", "sync_dir"]
    assert (tmp_path / "a").read_bytes() == b"two"


def test_a_file_written_once_is_never_replaced(tmp_path: Path) -> None:
    files = FaultyFiles()
    create_durably(files, tmp_path / "a", b"one")
    with pytest.raises(IntegrityError) as caught:
        create_durably(files, tmp_path / "a", b"two")
    assert caught.value.code == "evidence_edited"
    assert (tmp_path / "a").read_bytes() == b"one"


def test_the_same_bytes_again_still_sync_the_name(tmp_path: Path) -> None:
    """Whoever made the file may have been killed before its directory was synced."""
    (tmp_path / "a").write_bytes(b"one")
    files = FaultyFiles()
    create_durably(files, tmp_path / "a", b"one")
    assert files.operations() == ["sync_dir"]


@pytest.mark.parametrize("function", [create_durably, replace_durably])
@pytest.mark.parametrize("operation", ["open", "write", "sync", "move"])
def test_a_failure_leaves_nothing_behind(tmp_path: Path, function: object, operation: str) -> None:
    files = FaultyFiles()
    files.fail = {operation: 0}
    with pytest.raises(StorageError) as caught:
        function(files, tmp_path / "a", b"one")  # type: ignore[operator]
    assert caught.value.code == ("sync_failed" if operation == "sync" else "storage_failed")
    assert not (tmp_path / "a").exists()
    if operation != "move":
        assert list(tmp_path.iterdir()) == []


def test_a_directory_that_does_not_sync_is_a_failed_sync(tmp_path: Path) -> None:
    files = FaultyFiles()
    files.fail = {"sync_dir": 0}
    with pytest.raises(StorageError) as caught:
        create_durably(files, tmp_path / "a", b"one")
    assert caught.value.code == "sync_failed"


def test_a_full_disk_is_worth_another_try(tmp_path: Path) -> None:
    files = FaultyFiles()
    files.fail, files.error = {"write": 0}, 28
    with pytest.raises(StorageError) as caught:
        create_durably(files, tmp_path / "a", b"one")
    assert (caught.value.code, caught.value.retryable) == ("disk_full", True)


def test_folders_are_synced_into_their_parents(tmp_path: Path) -> None:
    files = FaultyFiles()
    make_dir_durably(files, tmp_path / "a" / "b")
    assert files.calls == [("make_dir", "a"), ("sync_dir", tmp_path.name), ("make_dir", "b"), ("sync_dir", "a")]


def test_a_folder_that_is_there_is_synced_again_where_its_maker_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    files = FaultyFiles()
    make_dir_durably(files, tmp_path / "a" / "b")
    assert files.calls == []
    make_dir_durably(files, tmp_path / "a" / "b", below=tmp_path)
    assert files.calls == [("sync_dir", tmp_path.name), ("sync_dir", "a")]


def test_below_a_folder_that_is_missing_all_of_it_is_made(tmp_path: Path) -> None:
    make_dir_durably(FaultyFiles(), tmp_path / "x" / "y" / "z", below=tmp_path / "x" / "y")
    assert (tmp_path / "x" / "y" / "z").is_dir()


def test_an_empty_file_is_made_once_and_named_durably_each_time(tmp_path: Path) -> None:
    files = FaultyFiles()
    make_empty_durably(files, tmp_path / "a")
    (tmp_path / "a").write_bytes(b"kept")
    make_empty_durably(files, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"kept"
    assert files.operations() == ["open", "sync_dir"] * 2


# --- reading


def refused(root: Path, relative: str, cap: int = 100) -> str:
    with pytest.raises(ContractError) as caught:
        read_regular(root, relative, cap=cap)
    return caught.value.code


def test_reads_a_plain_file_up_to_the_cap(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"x" * 100)
    assert read_regular(tmp_path, "d/f", cap=100) == b"x" * 100
    assert refused(tmp_path, "d/f", cap=99) == "artifact_too_large"


@pytest.mark.parametrize(
    "relative", ["", "/", "/etc/passwd", "..", "../f", "d/../f", "d//f", "./f", "d/", "f\0", "no", "d/no"]
)
def test_a_name_that_is_not_a_plain_path_is_missing(tmp_path: Path, relative: str) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "f").write_bytes(b"x")
    assert refused(tmp_path, relative) == "artifact_missing"


def test_no_link_is_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "f").write_bytes(b"secret")
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").symlink_to(outside / "f")
    (root / "folder").symlink_to(outside)
    (root / "hard").hardlink_to(outside / "f")
    (root / "dangling").symlink_to(root / "nowhere")
    for relative in ("file", "folder/f", "hard", "dangling"):
        assert refused(root, relative) == "artifact_linked"


def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        for relative in ("folder", "pipe", "socket"):
            assert refused(tmp_path, relative) == "artifact_not_regular"
    (tmp_path / "f").write_bytes(b"x")
    assert refused(tmp_path, "f/g") == "artifact_not_regular"


def test_lists_plain_files_only(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "z").write_bytes(b"")
    (folder / "y").write_bytes(b"")
    (folder / "sub").mkdir()
    (folder / "link").symlink_to(folder / "y")
    assert list_regular(tmp_path, "a/b") == ("y", "z")
    assert list_regular(tmp_path, "a/none") == ()
    (tmp_path / "l").symlink_to(folder)
    with pytest.raises(ContractError):
        list_regular(tmp_path, "l")
