"""Ignore rules: those of the base, by git's own reading of them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from real_repository import Repo


def test_the_working_trees_own_rules_hold_at_task_open(repo: Repo) -> None:
    repo.write("pkg/.gitignore", "*.tmp\n!keep.tmp\n/only-here\n")
    for path in (
        "x.log",
        "build/out.o",
        "pkg/x.tmp",
        "pkg/keep.tmp",
        "pkg/only-here",
        "pkg/sub/only-here",
        "pkg/sub/y.tmp",
    ):
        repo.write(path, "x")
    snapshot = repo.trees().snapshot(base_tree=None)
    assert snapshot.dirty == ("pkg/.gitignore", "pkg/keep.tmp", "pkg/sub/only-here")


def test_rules_written_after_the_base_hide_nothing(repo: Repo) -> None:
    trees = repo.trees()
    base = trees.snapshot(base_tree=None)
    repo.write(".gitignore", "*\n")
    repo.write("pkg/.gitignore", "*.tmp\n")
    repo.write("pkg/x.tmp", "x")
    repo.write("evil.py", "x")
    repo.write("x.log", "x")
    snapshot = trees.snapshot(base_tree=base.tree)
    assert snapshot.dirty == (".gitignore", "evil.py", "pkg/.gitignore", "pkg/x.tmp")


def test_rules_taken_away_after_the_base_still_hold(repo: Repo) -> None:
    trees = repo.trees()
    base = trees.snapshot(base_tree=None)
    (repo.root / ".gitignore").unlink()
    repo.write("x.log", "x")
    assert trees.snapshot(base_tree=base.tree).dirty == (".gitignore",)


def test_what_head_tracks_counts_though_ignored(repo: Repo) -> None:
    repo.write("build/deep/er/tracked.py", "1")
    repo.write("build/deep/loose.py", "1")
    repo.write("build/other/loose.py", "1")
    repo.git("add", "-f", "build/deep/er/tracked.py")
    repo.git("commit", "-qm", "forced")
    trees = repo.trees()
    base = trees.snapshot(base_tree=None)
    assert base.tree == repo.tree()
    repo.write("build/deep/er/tracked.py", "2")
    assert trees.snapshot(base_tree=base.tree).dirty == ("build/deep/er/tracked.py",)


def test_a_tracked_file_counts_though_a_rule_names_it(repo: Repo) -> None:
    repo.write("kept.log", "1")
    repo.git("add", "-f", "kept.log")
    repo.git("commit", "-qm", "forced")
    assert repo.trees().snapshot(base_tree=repo.tree()).tree == repo.tree()
    repo.write("kept.log", "2")
    assert repo.trees().snapshot(base_tree=repo.tree()).dirty == ("kept.log",)


@pytest.mark.parametrize("name", [":!x", ":(exclude)x", ":/x", ":(top)x", "-x", "!x", '"x"', "*", "[x]", "x\\"])
def test_names_that_git_could_misread(repo: Repo, name: str) -> None:
    repo.write(name, "seen")
    repo.write(name + ".log", "ignored")
    assert repo.trees().snapshot(base_tree=None).dirty == (name,)


def test_what_the_base_tracks_counts_though_taken_out_of_head(repo: Repo) -> None:
    repo.write("build/tracked.py", "1")
    repo.git("add", "-f", "build/tracked.py")
    repo.git("commit", "-qm", "forced")
    trees = repo.trees()
    base = trees.snapshot(base_tree=None)
    repo.git("rm", "-q", "--cached", "build/tracked.py")
    repo.git("commit", "-qm", "out of sight")
    assert "build/tracked.py" in trees.paths(trees.snapshot(base_tree=base.tree).tree)


def test_a_file_in_place_of_a_ruled_folder_is_not_ignored_as_one(repo: Repo) -> None:
    """The base ignores `gen/` but tracks `gen/.gitignore`: a file `gen` must not be taken for that folder."""
    repo.write(".gitignore", "gen/\n/state/\n")
    repo.write("gen/.gitignore", "*\n")
    repo.git("add", "-f", ".gitignore", "gen/.gitignore")
    repo.git("commit", "-qm", "gen")
    trees = repo.trees()
    base = trees.snapshot(base_tree=None)
    (repo.root / "gen/.gitignore").unlink()
    (repo.root / "gen").rmdir()
    repo.write("gen", "a file now\n")
    assert trees.snapshot(base_tree=base.tree).dirty == ("gen", "gen/.gitignore")


def test_a_linked_ignore_file_has_no_rules(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "rules").write_text("*.py\n")
    (repo.root / "pkg/.gitignore").symlink_to(tmp_path / "rules")
    repo.write("pkg/seen.py", "x")
    assert repo.trees().snapshot(base_tree=None).dirty == ("pkg/.gitignore", "pkg/seen.py")


def test_a_link_to_a_folder_is_a_file_to_the_rules(repo: Repo) -> None:
    (repo.root / "build").symlink_to("pkg")
    assert repo.trees().snapshot(base_tree=None).dirty == ("build",)


def test_a_pattern_as_long_as_a_pipe(repo: Repo) -> None:
    repo.write(".gitignore", "x" * 200_000 + "\n*.log\n[" + "a" * 100_000 + "]*.huge\n/state/\n")
    repo.commit()
    for number in range(300):
        repo.write(f"{'a' * 200}{number}.huge", "x")
    assert repo.trees().snapshot(base_tree=None).dirty == ()


@pytest.mark.parametrize("own_rules", [True, False])
def test_random_rules_agree_with_git(repo: Repo, own_rules: bool) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    patterns = ["*.o", "!a.o", "/b", "c/", "d/*.o", "**/e", "a/**/b", "!c/a.o", "[ab]", "\\!x", "#c", "e*", "!e1", "d"]
    names = ["a", "b", "c", "d", "e", "e1", "a.o", "b.o", "x", "!x"]
    for folder in ("", "c/", "d/", "a/"):
        rules = chance.sample(patterns, chance.randint(0, 6))
        target = repo.root / folder.rstrip("/")
        if rules and not target.is_file():
            repo.write(folder + ".gitignore", "\n".join([*rules, "/state/"]) + "\n")
    repo.commit()
    for _ in range(150):
        path = "/".join(chance.choices(names, k=chance.randint(1, 4)))
        target = repo.root / path
        if not target.exists() and not any(parent.is_file() for parent in target.parents):
            repo.write(path, path)
    snapshot = repo.trees().snapshot(base_tree=None if own_rules else repo.tree())
    repo.commit()
    assert snapshot.tree == repo.tree()
