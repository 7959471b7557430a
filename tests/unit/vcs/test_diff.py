"""Changes and patches of two trees."""

from __future__ import annotations

import subprocess
from pathlib import Path

from real_repository import ENVIRONMENT, Repo

from autopilot.vcs import FileChange


def _changed(repo: Repo) -> tuple[str, str]:
    repo.write("data.bin", b"\0\1\2")
    repo.write("run.sh", "#!/bin/sh\n")
    repo.write("folder/x", "1\n")
    repo.write("was-file", "1\n")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},sub")
    (repo.root / "sub").mkdir()
    repo.git("commit", "-qm", "sub")
    base = repo.trees().snapshot(base_tree=None).tree
    repo.write("a.py", "a = 2\nb = 3\n")
    (repo.root / "pkg/b.py").rename(repo.root / "pkg/renamed.py")
    repo.write("data.bin", b"\0\1\3")
    (repo.root / "run.sh").chmod(0o755)
    (repo.root / "folder/x").unlink()
    (repo.root / "folder").rmdir()
    repo.write("folder", "now a file\n")
    (repo.root / "was-file").unlink()
    repo.write("was-file/inside", "1\n")
    (repo.root / "link").symlink_to("a.py")
    repo.write('odd "name"\t\n.txt', "no newline at end")
    (repo.root / "sub").rmdir()
    return base, repo.trees().snapshot(base_tree=base).tree


def test_every_kind_of_change(repo: Repo) -> None:
    old, new = _changed(repo)
    found = {change.path: change for change in repo.trees().changes(old, new)}
    kinds = {path: change.change for path, change in found.items()}
    assert kinds == {
        "a.py": "modified",
        "pkg/b.py": "deleted",
        "pkg/renamed.py": "added",
        "data.bin": "modified",
        "run.sh": "mode",
        "folder/x": "deleted",
        "folder": "added",
        "was-file": "deleted",
        "was-file/inside": "added",
        "link": "added",
        'odd "name"\t\n.txt': "added",
        "sub": "deleted",
    }
    assert list(found) == sorted(found)
    assert (found["a.py"].added_lines, found["a.py"].deleted_lines, found["a.py"].binary) == (2, 1, False)
    assert (found["data.bin"].added_lines, found["data.bin"].deleted_lines, found["data.bin"].binary) == (0, 0, True)
    blob = repo.git("hash-object", "a.py").strip()
    assert found["a.py"].new_sha == blob
    assert found["link"].old_sha is None
    assert found["pkg/b.py"].new_sha is None
    assert found["run.sh"] == FileChange(
        path="run.sh",
        change="mode",
        old_sha=found["run.sh"].new_sha,
        new_sha=found["run.sh"].new_sha,
        added_lines=0,
        deleted_lines=0,
        binary=False,
    )


def test_equal_trees_have_no_changes_and_no_patch(repo: Repo) -> None:
    trees = repo.trees()
    tree = trees.snapshot(base_tree=None).tree
    assert trees.changes(tree, tree) == ()
    assert trees.patch(tree, tree) == b""


def test_a_file_becomes_a_link(repo: Repo) -> None:
    trees = repo.trees()
    base = trees.snapshot(base_tree=None).tree
    (repo.root / "a.py").unlink()
    (repo.root / "a.py").symlink_to("pkg/b.py")
    (change,) = trees.changes(base, trees.snapshot(base_tree=base).tree)
    assert change.change == "modified"


def test_the_patch_is_stable_and_makes_the_new_tree_of_the_old(repo: Repo, tmp_path: Path) -> None:
    old, new = _changed(repo)
    trees = repo.trees()
    patch = trees.patch(old, new)
    assert patch == trees.patch(old, new)
    assert b"\x1b[" not in patch
    for name, tree in (("old", old), ("new", new)):
        trees.checkout(tree, tmp_path / name)
    done = subprocess.run(
        ["git", "apply", "-"], cwd=tmp_path / "old", env=ENVIRONMENT, input=patch, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    left, right = ((_content(tmp_path / name)) for name in ("old", "new"))
    assert left == right


def _content(folder: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(folder))] = path.readlink()
        elif path.is_file():
            found[str(path.relative_to(folder))] = (path.read_bytes(), bool(path.stat().st_mode & 0o100))
    return found


def test_the_users_diff_settings_change_no_byte_of_the_patch(repo: Repo) -> None:
    old, new = _changed(repo)
    patch = repo.trees().patch(old, new)
    for key, value in (
        ("diff.noprefix", "true"),
        ("diff.context", "0"),
        ("diff.algorithm", "patience"),
        ("diff.renames", "copies"),
        ("diff.mnemonicPrefix", "true"),
        ("diff.orderFile", "/dev/null"),
        ("diff.ignoreSubmodules", "all"),
        ("color.ui", "always"),
        ("core.quotePath", "true"),
        ("core.abbrev", "4"),
    ):
        repo.git("config", key, value)
    assert repo.trees().patch(old, new) == patch


def test_a_tree_of_the_users_repository_can_be_compared(repo: Repo) -> None:
    before = repo.tree()
    repo.write("a.py", "a = 2\n")
    repo.commit()
    (change,) = repo.trees().changes(before, repo.tree())
    assert change.path == "a.py"
    assert b"+a = 2" in repo.trees().patch(before, repo.tree())
