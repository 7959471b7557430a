"""Where the repository is, and what its names stand for, in every layout git makes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from real_repository import Repo

from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.vcs import EngineTrees, Repository


def test_the_main_worktree(repo: Repo) -> None:
    found = Repository.locate(repo.root / "pkg")
    assert (found.root, found.common_dir, found.main_worktree) == (repo.root, repo.root / ".git", repo.root)
    assert (found.worktree_id, found.bare, found.branch()) == ("main", False, "main")
    assert found.head_commit() == repo.git("rev-parse", "HEAD").strip()


def test_inside_the_git_directory_is_the_repository(repo: Repo) -> None:
    assert Repository.locate(repo.root / ".git/refs").root == repo.root


def test_through_a_link(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(repo.root)
    assert Repository.locate(tmp_path / "alias").root == repo.root.resolve()


def test_no_repository(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="not_a_repository"):
        Repository.locate(tmp_path)


def test_a_linked_worktree(repo: Repo, tmp_path: Path) -> None:
    side = tmp_path / "side"
    repo.git("worktree", "add", "-q", "-b", "topic", str(side))
    found = Repository.locate(side)
    assert (found.root, found.common_dir, found.main_worktree) == (side, repo.root / ".git", repo.root)
    assert (found.worktree_id, found.branch()) == ("worktrees/side", "topic")
    (side / "only-here").write_text("x")
    trees = EngineTrees(found, repo.root / "state/git", exclude=("state",))
    assert trees.snapshot(base_tree=None).dirty == ("only-here",)
    assert repo.located().branch() == "main"


def test_a_folder_that_poses_as_a_worktree_is_refused(repo: Repo, tmp_path: Path) -> None:
    repo.git("worktree", "add", "-q", "-b", "topic", str(tmp_path / "side"))
    for git_dir in (repo.root / ".git/worktrees/side", repo.root / ".git"):
        clean = tmp_path / f"clean-{git_dir.name}"
        clean.mkdir()
        (clean / ".git").write_text(f"gitdir: {git_dir}\n")
        with pytest.raises(ContractError, match="not_a_repository"):
            Repository.locate(clean)


def test_a_moved_worktree_says_how_to_repair_it(repo: Repo, tmp_path: Path) -> None:
    repo.git("worktree", "add", "-q", "-b", "topic", str(tmp_path / "side"))
    (tmp_path / "side").rename(tmp_path / "moved")
    with pytest.raises(ContractError) as refusal:
        Repository.locate(tmp_path / "moved")
    assert "git worktree repair" in refusal.value.remedy()


def test_a_bare_repository_and_its_worktree(repo: Repo, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    repo.git("clone", "-q", "--bare", ".", str(bare))
    found = Repository.locate(bare)
    assert (found.bare, found.root, found.common_dir, found.main_worktree) == (True, bare, bare, bare)
    assert found.head_tree() == repo.tree()
    Repo(bare).git("worktree", "add", "-q", "-b", "topic", str(tmp_path / "side"))
    side = Repository.locate(tmp_path / "side")
    assert (side.bare, side.main_worktree, side.branch()) == (False, bare, "topic")


def test_a_bare_repository_behind_a_git_file(repo: Repo, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    repo.git("clone", "-q", "--bare", ".", str(project / ".bare"))
    (project / ".git").write_text("gitdir: ./.bare\n")
    found = Repository.locate(project)
    assert (found.bare, found.root) == (True, project / ".bare")


def test_a_setting_cannot_make_a_repository_bare(repo: Repo) -> None:
    repo.git("config", "core.bare", "true")
    assert not repo.located().bare


def test_a_submodule_is_a_repository_of_its_own(repo: Repo, tmp_path: Path) -> None:
    library = Repo(tmp_path / "library")
    library.root.mkdir()
    library.git("init", "-q", "-b", "main")
    library.write("lib.py", "x = 1\n")
    library.commit()
    repo.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library.root), "sub")
    found = Repository.locate(repo.root / "sub")
    assert (found.root, found.main_worktree) == (repo.root / "sub", repo.root / "sub")
    assert found.head_tree() == library.tree()
    Repo(repo.root / "sub").git("worktree", "add", "-q", "-b", "topic", str(tmp_path / "side"))
    assert Repository.locate(tmp_path / "side").main_worktree == repo.root / "sub"


def test_a_separate_git_directory(tmp_path: Path) -> None:
    apart = Repo(tmp_path / "work")
    apart.root.mkdir()
    apart.git("init", "-q", "--separate-git-dir", str(tmp_path / "elsewhere"))
    found = Repository.locate(apart.root)
    assert (found.root, found.main_worktree, found.common_dir) == (apart.root, apart.root, tmp_path / "elsewhere")


def test_before_the_first_commit(tmp_path: Path) -> None:
    fresh = Repo(tmp_path)
    fresh.git("init", "-q", "-b", "trunk")
    found = fresh.located()
    assert (found.branch(), found.head_commit(), found.head_tree()) == ("trunk", None, None)


def test_a_detached_head(repo: Repo) -> None:
    repo.git("checkout", "-q", "--detach")
    assert repo.located().branch() == "HEAD"
    assert repo.located().head_tree() == repo.tree()


def test_a_branch_with_slashes_and_packed_refs(repo: Repo) -> None:
    repo.git("checkout", "-q", "-b", "feature/Änderung")
    repo.git("pack-refs", "--all")
    found = repo.located()
    assert found.branch() == "feature/Änderung"
    assert found.head_tree() == repo.tree()


def test_names_of_commits(repo: Repo) -> None:
    first_tree, first = repo.tree(), repo.git("rev-parse", "HEAD").strip()
    repo.git("tag", "light")
    repo.git("tag", "-a", "-m", "tree 0000", "heavy")
    repo.git("tag", "-a", "-m", "tag of a tag", "heavier", "heavy")
    repo.git("update-ref", "refs/remotes/origin/main", first)
    repo.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
    repo.write("a.py", "a = 2\n")
    repo.git("commit", "-qam", "tree " + "0" * 40)
    found = repo.located()
    for name in ("light", "heavy", "heavier", "origin/main", "origin", "refs/tags/light", first, first[:8]):
        assert found.commit_tree(name) == first_tree, name
    for name in ("HEAD", "main", "refs/heads/main", "heads/main"):
        assert found.commit_tree(name) == repo.tree(), name
    repo.git("gc", "-q", "--prune=now")
    assert found.commit_tree("heavier") == first_tree


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nothing",
        "-x",
        "HEAD~1",
        "HEAD^{tree}",
        "../../../etc/passwd",
        "main\n",
        "@{-1}",
        "abc",
        "a b",
        ":/first",
        "0" * 40,
    ],
)
def test_names_of_nothing(repo: Repo, name: str) -> None:
    with pytest.raises(ContractError, match="unknown_revision"):
        repo.located().commit_tree(name)


def test_a_tree_or_a_blob_is_no_commit(repo: Repo) -> None:
    for name in (repo.tree(), repo.git("rev-parse", "HEAD:a.py").strip()):
        with pytest.raises(ContractError, match="unknown_revision"):
            repo.located().commit_tree(name)


def test_a_commit_that_is_not_what_its_id_says(repo: Repo) -> None:
    """W23: an agent plants the judged commit under the id of another one."""
    first = repo.git("rev-parse", "HEAD").strip()
    repo.write("a.py", "a = 2\n")
    second = repo.commit()
    path = repo.root / ".git/objects" / second[:2] / second[2:]
    path.chmod(0o644)
    path.write_bytes((repo.root / ".git/objects" / first[:2] / first[2:]).read_bytes())
    with pytest.raises(IntegrityError, match="git_object_corrupt"):
        repo.located().commit_tree("HEAD")


def test_a_ref_that_names_a_file_elsewhere_is_not_followed(repo: Repo, tmp_path: Path) -> None:
    (repo.root / ".git/refs/heads/sly").write_text("ref: refs/../../../secret\n")
    (repo.root.parent / "secret").write_text(repo.git("rev-parse", "HEAD"))
    with pytest.raises(ContractError, match="unknown_revision"):
        repo.located().commit_tree("sly")


def test_refs_that_go_in_circles(repo: Repo) -> None:
    (repo.root / ".git/refs/heads/one").write_text("ref: refs/heads/two\n")
    (repo.root / ".git/refs/heads/two").write_text("ref: refs/heads/one\n")
    with pytest.raises(ContractError, match="unknown_revision"):
        repo.located().commit_tree("one")


def test_a_pipe_in_place_of_head_does_not_hang(repo: Repo) -> None:
    found = repo.located()
    (repo.root / ".git/HEAD").unlink()
    os.mkfifo(repo.root / ".git/HEAD")
    with pytest.raises(ContractError, match="not_a_repository"):
        found.branch()


def test_refs_in_another_format_are_refused(repo: Repo) -> None:
    config = repo.root / ".git/config"
    config.write_text(config.read_text() + "[extensions]\n\trefStorage = reftable\n")
    with pytest.raises(ContractError, match="unsupported_repository"):
        repo.located()


def test_objects_borrowed_by_the_repository_are_read(repo: Repo, tmp_path: Path) -> None:
    repo.git("clone", "-q", "--shared", ".", str(tmp_path / "shared"))
    assert Repository.locate(tmp_path / "shared").head_tree() == repo.tree()
    shared = Repo(tmp_path / "shared")
    assert shared.trees().snapshot(base_tree=None).tree == repo.tree()


def test_a_shallow_clone(repo: Repo, tmp_path: Path) -> None:
    repo.write("a.py", "a = 2\n")
    repo.commit()
    repo.git("clone", "-q", "--depth=1", f"file://{repo.root}", str(tmp_path / "shallow"))
    assert Repository.locate(tmp_path / "shallow").head_tree() == repo.tree()
