"""Checkout, read, paths, digest: what a tree holds comes out byte for byte, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from real_repository import Repo

from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.vcs.entries import FILE, SYMLINK, TREE, Entry, format_tree
from autopilot.vcs.objects import ObjectStore


def test_bytes_modes_and_links_come_out(repo: Repo, tmp_path: Path) -> None:
    repo.write("run.sh", "#!/bin/sh\n").chmod(0o755)
    repo.write("dos.txt", b"a\r\n$Id$\r\n")
    (repo.root / "link").symlink_to("/etc/passwd")
    repo.write(".gitattributes", "*.txt text eol=crlf ident\n*.py export-ignore\n")
    repo.commit()
    trees = repo.trees()
    tree = trees.snapshot(base_tree=None).tree
    old = os.umask(0o077)
    try:
        trees.checkout(tree, tmp_path / "out")
    finally:
        os.umask(old)
    out = tmp_path / "out"
    assert (out / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (out / "a.py").stat().st_mode & 0o777 == 0o644
    assert (out / "link").readlink() == Path("/etc/passwd")
    assert (out / "dos.txt").read_bytes() == b"a\n$Id$\n"
    assert not (out / ".git").exists()


def test_the_copy_has_the_same_tree(repo: Repo, tmp_path: Path) -> None:
    repo.write("folder/x", b"\0")
    trees = repo.trees()
    tree = trees.snapshot(base_tree=None).tree
    copy = Repo(tmp_path / "out")
    trees.checkout(tree, copy.root)
    copy.git("init", "-q")
    assert copy.trees().snapshot(base_tree=None).tree == tree


def test_without_leaves_out_files_and_whole_folders(repo: Repo, tmp_path: Path) -> None:
    trees = repo.trees()
    tree = trees.snapshot(base_tree=None).tree
    trees.checkout(tree, tmp_path / "out", without=frozenset({"pkg/", "a.py", "not-there"}))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [".gitignore"]


def test_a_target_that_is_not_empty_is_refused(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old").write_text("x")
    trees = repo.trees()
    with pytest.raises(ContractError, match="checkout_collides"):
        trees.checkout(trees.snapshot(base_tree=None).tree, tmp_path / "out")


def test_a_target_that_is_a_link_is_refused(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    trees = repo.trees()
    with pytest.raises(ContractError, match="checkout_collides"):
        trees.checkout(trees.snapshot(base_tree=None).tree, tmp_path / "out")


@pytest.mark.parametrize("name", [b"..", b".", b".git", b".GiT", b"", b"a/b"])
def test_a_tree_with_a_name_git_never_writes_is_corrupt(repo: Repo, tmp_path: Path, name: bytes) -> None:
    store = ObjectStore(repo.root / "state/git", repo.root / ".git/objects", "sha1")
    with store.session() as objects:
        blob = objects.add("blob", b"evil")
        tree = objects.add("tree", format_tree({name: Entry(FILE, blob)}))
        objects.flush()
    with pytest.raises(IntegrityError, match="git_object_corrupt"):
        repo.trees().checkout(tree, tmp_path / "out")


def test_a_tree_with_one_name_twice_cannot_write_through_its_own_link(repo: Repo, tmp_path: Path) -> None:
    store = ObjectStore(repo.root / "state/git", repo.root / ".git/objects", "sha1")
    with store.session() as objects:
        inner = objects.add("tree", format_tree({b"f": Entry(FILE, objects.add("blob", b"evil"))}))
        link = format_tree({b"x": Entry(SYMLINK, objects.add("blob", os.fsencode(tmp_path)))})
        tree = objects.add("tree", link + format_tree({b"x": Entry(TREE, inner)}))
        objects.flush()
    with pytest.raises(IntegrityError, match="git_object_corrupt"):
        repo.trees().checkout(tree, tmp_path / "out")
    assert not (tmp_path / "f").exists()


def test_read_paths_and_digest(repo: Repo) -> None:
    (repo.root / "link").symlink_to("a.py")
    trees = repo.trees()
    tree = trees.snapshot(base_tree=None).tree
    assert trees.paths(tree) == (".gitignore", "a.py", "link", "pkg/b.py")
    assert trees.read(tree, "pkg/b.py") == b"b = 1\n"
    for absent in ("link", "pkg", "nothing", "a.py/below", "pkg/", "/a.py", "../a.py", "", "a\udce9"):
        assert trees.read(tree, absent) is None
    assert trees.digest(tree, ["a.py", "nothing"]) == {"a.py": repo.git("hash-object", "a.py").strip()}
