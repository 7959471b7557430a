"""A repository whose owner is not who reads it: what it borrows or links to is not fetched for the owner.

Red without: `PlainObjects` (alternates and links into another's objects are read), `read_linkless` in `vcs/refs.py`
(another's refs are), `open_linkless` in `Scan.run` (another's files are), and `ours` in `_check_named_back` (a folder
of somebody else passes for a worktree).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from real_repository import Repo

from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.vcs import EngineTrees, Repository
from autopilot.vcs.plain_objects import MAX_PACKS


@pytest.fixture
def private(tmp_path: Path) -> Repo:
    """Another's repository; that its owner alone could read it does not matter here."""
    made = Repo(tmp_path / "private")
    made.root.mkdir()
    made.git("init", "-q", "-b", "main")
    made.write("secret.txt", "TOP SECRET\n")
    made.commit("secret")
    return made


def apart(repo: Repo) -> Repository:
    """The repository as the daemon of another user has it."""
    return Repository.locate(repo.root, linkless=True)


def secret_of(private: Repo) -> str:
    """The id of what must not be read."""
    return private.git("rev-parse", "HEAD:secret.txt").strip()


def fetched(repo: Repo, sha: str) -> bytes:
    """The blob, read as the daemon reads."""
    with apart(repo).objects() as objects:
        return objects.read(sha, "blob")


@pytest.mark.parametrize("packed", [False, True])
def test_its_own_objects_are_read(repo: Repo, tmp_path: Path, packed: bool) -> None:
    """Loose and packed, by full and shortened ids, in the repository and in a linked worktree."""
    if packed:
        repo.git("gc", "-q")
    found = apart(repo)
    commit = repo.git("rev-parse", "HEAD").strip()
    for name in ("HEAD", "main", commit, commit[:8]):
        assert found.commit_tree(name) == repo.tree()
    assert (found.branch(), found.head_commit()) == ("main", commit)
    repo.write("a.py", "a = 2\n")
    taken = EngineTrees(found, repo.root / "state/git", exclude=("state",)).snapshot(base_tree=None)
    assert taken.dirty == ("a.py",)
    repo.git("worktree", "add", "-q", "-b", "topic", str(tmp_path / "side"))
    side = Repository.locate(tmp_path / "side", linkless=True)
    assert (side.worktree_id, side.head_tree()) == ("worktrees/side", repo.tree())


def test_an_id_that_two_objects_begin_with_names_none(repo: Repo) -> None:
    """Loose ones are counted by us and packed ones by git."""
    seen: dict[str, str] = {}
    for number in range(2000):
        repo.write("number", str(number))
        sha = repo.git("hash-object", "-w", "number").strip()
        if sha[:4] in seen:
            break
        seen[sha[:4]] = sha
    with apart(repo).objects() as objects:
        assert objects.kind(sha) == (sha, "blob")
        assert objects.kind(sha[:4]) == ("", "")
        assert objects.kind("0000") == ("", "")


def test_alternates_are_refused(repo: Repo, private: Repo) -> None:
    """And are of no use to who puts them there after the look."""
    sha, alternates = secret_of(private), repo.root / ".git/objects/info/alternates"
    with apart(repo).objects() as objects:
        alternates.parent.mkdir(exist_ok=True)
        alternates.write_text(f"{private.root}/.git/objects\n")
        with pytest.raises(ContractError, match="git_object_missing"):
            objects.read(sha, "blob")
        assert objects.kind(sha) == ("", "")
    with pytest.raises(ContractError, match="unsupported_repository"):
        fetched(repo, sha)
    assert Repository.locate(repo.root).head_tree() == repo.tree()


def by_pack_folder(ours: Path, theirs: Path, sha: str) -> None:
    shutil.rmtree(ours / "pack")
    (ours / "pack").symlink_to(theirs / "pack")


def by_pack(ours: Path, theirs: Path, sha: str) -> None:
    for path in (theirs / "pack").iterdir():
        (ours / "pack" / path.name).symlink_to(path)


def by_folder(ours: Path, theirs: Path, sha: str) -> None:
    (ours / sha[:2]).symlink_to(theirs / sha[:2])


def by_file(ours: Path, theirs: Path, sha: str) -> None:
    (ours / sha[:2]).mkdir(exist_ok=True)
    (ours / sha[:2] / sha[2:]).symlink_to(theirs / sha[:2] / sha[2:])


def by_all(ours: Path, theirs: Path, sha: str) -> None:
    shutil.rmtree(ours)
    ours.symlink_to(theirs)


@pytest.mark.parametrize("way", [by_pack_folder, by_pack, by_folder, by_file, by_all])
def test_linked_objects_are_refused(repo: Repo, private: Repo, way: Callable[[Path, Path, str], None]) -> None:
    """Whichever part of the object folder is the link."""
    if way in (by_pack_folder, by_pack):
        private.git("gc", "-q")
    sha = secret_of(private)
    way(repo.root / ".git/objects", private.root / ".git/objects", sha)
    with pytest.raises(ContractError, match="unsupported_repository"):
        fetched(repo, sha)


def test_an_object_that_is_damaged_or_has_anothers_id_is_refused(repo: Repo) -> None:
    """Loose objects are hashed like all others; a pipe in their place makes nobody wait."""
    sha, other = (repo.git("rev-parse", f"HEAD:{path}").strip() for path in ("a.py", "pkg/b.py"))
    path = repo.root / ".git/objects" / sha[:2] / sha[2:]
    path.chmod(0o600)
    for data in ((repo.root / ".git/objects" / other[:2] / other[2:]).read_bytes(), b"no zlib"):
        path.write_bytes(data)
        with pytest.raises(IntegrityError, match="git_object_corrupt"):
            fetched(repo, sha)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ContractError, match="unsupported_repository"):
        fetched(repo, sha)


def test_more_packs_than_descriptors_are_refused(repo: Repo) -> None:
    """Each pack costs two descriptors of a process that serves others as well."""
    for number in range(MAX_PACKS + 1):
        (repo.root / ".git/objects/pack" / f"pack-{number:040x}.pack").touch()
    with pytest.raises(ContractError, match="unsupported_repository"):
        apart(repo).head_tree()


@pytest.mark.parametrize("place", ["refs/heads/evil", "refs/heads", "packed-refs", "HEAD", "refs/heads/hard"])
def test_linked_refs_are_refused(repo: Repo, private: Repo, place: str) -> None:
    """A ref of another's repository is an id that its owner does not know."""
    private.git("branch", "evil")
    private.git("branch", "hard")
    if place == "packed-refs":
        private.git("pack-refs", "--all")
    target = repo.root / ".git" / place
    if target.is_dir():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)
    if place.endswith("hard"):
        os.link(private.root / ".git" / place, target)
    else:
        target.symlink_to(private.root / ".git" / place)
    name = "HEAD" if place == "HEAD" else "hard" if place.endswith("hard") else "evil"
    with pytest.raises(ContractError, match="unsupported_repository"):
        apart(repo).commit_tree(name)


def test_settings_and_head_of_a_linked_worktree_are_read_through_no_link(repo: Repo, private: Repo) -> None:
    """The settings can hold credentials, and end in words that are shown."""
    config = repo.root / ".git/config"
    config.unlink()
    config.symlink_to(private.root / ".git/config")
    with pytest.raises(ContractError, match="unsupported_repository"):
        apart(repo)
    assert Repository.locate(repo.root).root == repo.root


def test_a_worktree_moved_away_from_under_the_daemon_is_not_read_elsewhere(repo: Repo, private: Repo) -> None:
    """A folder above the worktree becomes a link after it was located."""
    outer = repo.root.parent / "outer"
    repo.git("worktree", "add", "-q", "-b", "topic", str(outer / "private"))
    found = Repository.locate(outer / "private", linkless=True)
    outer.rename(outer.with_name("aside"))
    outer.symlink_to(private.root.parent)
    with pytest.raises(ContractError):
        EngineTrees(found, repo.root / "state/git", exclude=("state",)).snapshot(base_tree=None)


@pytest.mark.parametrize("linkless", [False, True])
def test_a_folder_with_a_git_directory_of_its_own_is_no_worktree(repo: Repo, tmp_path: Path, linkless: bool) -> None:
    """It names the repository as its common one, and itself; the repository does not name it."""
    side, mine = tmp_path / "side", tmp_path / "mine"
    repo.git("worktree", "add", "-q", "-b", "topic", str(side))
    admin = mine / "side"
    admin.mkdir(parents=True)
    tree = mine / "tree"
    tree.mkdir()
    (tree / ".git").write_text(f"gitdir: {admin}\n")
    (admin / "commondir").write_text(f"{repo.root}/.git\n")
    (admin / "gitdir").write_text(f"{tree}/.git\n")
    (admin / "HEAD").write_text("ref: refs/heads/topic\n")
    with pytest.raises(ContractError, match="not_a_repository"):
        Repository.locate(tree, linkless=linkless)
    (tree / ".git").unlink()
    (tree / ".git").symlink_to(side / ".git")
    with pytest.raises(ContractError):
        Repository.locate(tree, linkless=linkless)
    assert Repository.locate(side, linkless=linkless).worktree_id == "worktrees/side"
