"""Snapshots: the id is git's for the same files, and every class of change shows."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from real_repository import Repo

from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.vcs import EngineTrees, Repository
from autopilot.vcs import objects as objects_module


def test_a_clean_working_tree_is_heads_tree(repo: Repo) -> None:
    snapshot = repo.trees().snapshot(base_tree=None)
    assert snapshot.tree == repo.tree() == repo.located().head_tree()
    assert snapshot == type(snapshot)(repo.tree(), (), (), ())


def test_the_id_is_the_one_git_gives_the_commit(repo: Repo) -> None:
    base = repo.trees().snapshot(base_tree=None)
    repo.write("new/deep/file.txt", "x\n")
    repo.write("new.py", "sorts before new/\n")
    repo.write("new-er", b"\0\1\2 binary\r\n")
    repo.write("ünïcode/名前 \n\t.txt", "odd\n")
    repo.write(":colon", "magic\n")
    repo.write("-dash", "option\n")
    (repo.root / "link").symlink_to("a.py")
    (repo.root / "dangling").symlink_to("/nowhere")
    (repo.root / "linked-folder").symlink_to("pkg")
    (repo.root / "empty/folder").mkdir(parents=True)
    repo.write("run.sh", "#!/bin/sh\n").chmod(0o755)
    (repo.root / "a.py").unlink()
    (repo.root / "pkg/b.py").rename(repo.root / "pkg/c.py")
    snapshot = repo.trees().snapshot(base_tree=base.tree)
    repo.commit()
    assert snapshot.tree == repo.tree()
    assert "a.py" in snapshot.dirty
    assert {"pkg/b.py", "pkg/c.py", "link", "dangling", "linked-folder", "run.sh"} <= set(snapshot.dirty)
    assert "ünïcode/名前 \n\t.txt" in snapshot.dirty
    assert not any(path.startswith("empty") for path in snapshot.dirty)


def test_random_trees_have_gits_ids(repo: Repo) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    names = ["a", "a.b", "a-b", "a0", "B", "é", "z z", "a.", "_"]
    for _ in range(120):
        path = "/".join(chance.choices(names, k=chance.randint(1, 4)))
        target = repo.root / path
        if target.exists() or any(parent.is_file() for parent in target.parents):
            continue
        repo.write(path, chance.randbytes(chance.choice([0, 1, 50, 5000]))).chmod(chance.choice([0o644, 0o755]))
    snapshot = repo.trees().snapshot(base_tree=None)
    repo.commit()
    assert snapshot.tree == repo.tree()


def test_before_the_first_commit_everything_is_dirty(tmp_path: Path) -> None:
    empty = Repo(tmp_path)
    empty.git("init", "-q")
    empty.write("a", "1")
    assert empty.trees().snapshot(base_tree=None).dirty == ("a",)


def test_an_empty_working_tree_is_gits_empty_tree(tmp_path: Path) -> None:
    empty = Repo(tmp_path)
    empty.git("init", "-q")
    trees = empty.trees()
    snapshot = trees.snapshot(base_tree=None)
    assert snapshot.tree == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    assert trees.paths(snapshot.tree) == ()


def _edit_tracked(repo: Repo) -> None:
    repo.write("a.py", "a = 2\n")


def _edit_untracked(repo: Repo) -> None:
    repo.write("untracked.py", "u = 2\n")


def _edit_tracked_ignored(repo: Repo) -> None:
    repo.write("build/tracked.py", "t = 2\n")


def _edit_newly_ignored(repo: Repo) -> None:
    repo.write("imported.py", "i = 2\n")


def _edit_mode(repo: Repo) -> None:
    (repo.root / "a.py").chmod(0o755)


def _edit_link(repo: Repo) -> None:
    (repo.root / "link").unlink()
    (repo.root / "link").symlink_to("b.py")


def _edit_submodule(repo: Repo) -> None:
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'2' * 40},sub")
    repo.git("commit", "-qm", "bump")


def _edit_staged(repo: Repo) -> None:
    repo.write("staged.py", "s = 2\n")
    repo.git("add", "staged.py")


@pytest.mark.parametrize(
    "edit",
    [
        _edit_tracked,
        _edit_untracked,
        _edit_tracked_ignored,
        _edit_newly_ignored,
        _edit_mode,
        _edit_link,
        _edit_submodule,
        _edit_staged,
    ],
)
def test_one_byte_in_each_class_changes_the_tree(repo: Repo, edit: object) -> None:
    """E7: tracked, untracked, tracked though ignored, ignored since the base, mode, link target, submodule, staged."""
    (repo.root / "link").symlink_to("a.py")
    (repo.root / "sub").mkdir()
    repo.write("build/tracked.py", "t = 1\n")
    repo.git("add", "-f", "build/tracked.py")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},sub")
    repo.git("commit", "-qm", "more")
    repo.write("untracked.py", "u = 1\n")
    repo.write("imported.py", "i = 1\n")
    repo.write("staged.py", "s = 1\n")
    trees = repo.trees()
    base = trees.snapshot(base_tree=None)
    repo.write(".gitignore", "*.log\nbuild/\n/state/\nimported.py\n")
    sealed = trees.snapshot(base_tree=base.tree)
    assert trees.snapshot(base_tree=base.tree) == sealed
    edit(repo)  # type: ignore[operator]
    assert trees.snapshot(base_tree=base.tree).tree != sealed.tree


def test_an_ignored_file_cannot_reach_what_is_run(repo: Repo, tmp_path: Path) -> None:
    """E7's ignored-but-imported: not in the tree, and so not in the copy that the tests run in."""
    repo.write("build/helper.py", "answer = 42\n")
    trees = repo.trees()
    base = trees.snapshot(base_tree=None)
    trees.checkout(base.tree, tmp_path / "out")
    assert not (tmp_path / "out/build").exists()


def test_same_size_and_time_is_not_taken_for_unchanged(repo: Repo) -> None:
    trees = repo.trees()
    base = trees.snapshot(base_tree=None)
    before = (repo.root / "a.py").stat()
    repo.write("a.py", "a = 2\n")
    os.utime(repo.root / "a.py", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert trees.snapshot(base_tree=base.tree).dirty == ("a.py",)


def test_a_nested_repository_is_refused(repo: Repo) -> None:
    inner = Repo(repo.root / "vendor/inner")
    inner.root.mkdir(parents=True)
    inner.git("init", "-q")
    with pytest.raises(ContractError) as refusal:
        repo.trees().snapshot(base_tree=None)
    assert (refusal.value.code, refusal.value.where) == ("nested_repository", "vendor/inner")


@pytest.mark.parametrize("marker", ["file", "empty folder"])
def test_anything_called_dot_git_below_the_root_is_refused(repo: Repo, marker: str) -> None:
    if marker == "file":
        repo.write("pkg/.git", "gitdir: ../elsewhere\n")
    else:
        (repo.root / "pkg/.git").mkdir()
        repo.write("pkg/.git/evil.py", "import os\n")
    with pytest.raises(ContractError, match="nested_repository"):
        repo.trees().snapshot(base_tree=None)


def test_an_ignored_nested_repository_is_left_alone(repo: Repo) -> None:
    inner = Repo(repo.root / "build/inner")
    inner.root.mkdir(parents=True)
    inner.git("init", "-q")
    assert repo.trees().snapshot(base_tree=None).tree == repo.tree()


def test_ignoring_a_nested_repository_after_the_base_does_not_hide_it(repo: Repo) -> None:
    base = repo.trees().snapshot(base_tree=None)
    inner = Repo(repo.root / "vendor")
    inner.root.mkdir()
    inner.git("init", "-q")
    repo.write(".gitignore", "vendor/\n")
    with pytest.raises(ContractError, match="nested_repository"):
        repo.trees().snapshot(base_tree=base.tree)


def test_submodules(repo: Repo, tmp_path: Path) -> None:
    library = Repo(tmp_path / "library")
    library.root.mkdir()
    library.git("init", "-q", "-b", "main")
    library.write("lib.py", "x = 1\n")
    library.commit()
    repo.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library.root), "sub")
    repo.commit()
    with pytest.raises(ContractError, match="nested_repository"):
        repo.trees().snapshot(base_tree=None)
    repo.git("submodule", "deinit", "-q", "-f", "sub")
    trees = repo.trees()
    snapshot = trees.snapshot(base_tree=None)
    assert snapshot.tree == repo.tree()
    trees.checkout(snapshot.tree, tmp_path / "out")
    assert list((tmp_path / "out/sub").iterdir()) == []
    # Files put into its empty folder are files like any other.
    repo.write("sub/planted.py", "p = 1\n")
    assert "sub/planted.py" in trees.paths(trees.snapshot(base_tree=snapshot.tree).tree)


def test_a_name_that_is_not_utf8_is_refused_by_name(repo: Repo) -> None:
    os.close(os.open(os.fsencode(repo.root) + b"/caf\xe9.py", os.O_CREAT | os.O_WRONLY))
    with pytest.raises(ContractError) as refusal:
        repo.trees().snapshot(base_tree=None)
    assert (refusal.value.code, refusal.value.where) == ("path_not_utf8", "caf\\xe9.py")


def test_a_name_that_is_not_utf8_may_be_ignored(repo: Repo) -> None:
    os.close(os.open(os.fsencode(repo.root) + b"/caf\xe9.log", os.O_CREAT | os.O_WRONLY))
    assert repo.trees().snapshot(base_tree=None).tree == repo.tree()


@pytest.mark.parametrize("name", [".GIT", ".Git"])
def test_a_name_git_reserves_is_refused(repo: Repo, name: str) -> None:
    repo.write(f"pkg/{name}", "x")
    with pytest.raises(ContractError, match="path_reserved"):
        repo.trees().snapshot(base_tree=None)


def test_pipes_and_sockets_are_skipped_and_listed(repo: Repo) -> None:
    os.mkfifo(repo.root / "pipe")
    os.mkfifo(repo.root / "noise.log")
    (repo.root / "a.py").unlink()
    os.mkfifo(repo.root / "a.py")
    with socket.socket(socket.AF_UNIX) as server:
        # A short relative name: socket addresses are at most 108 bytes.
        here = Path.cwd()
        os.chdir(repo.root)
        try:
            server.bind("socket")
        finally:
            os.chdir(here)
        snapshot = repo.trees().snapshot(base_tree=None)
    assert snapshot.skipped == ("a.py", "pipe", "socket")
    assert snapshot.dirty == ("a.py",)


def test_case_variants_are_two_files(repo: Repo, tmp_path: Path) -> None:
    repo.git("config", "core.ignoreCase", "true")
    repo.write("A.py", "other = 1\n")
    trees = repo.trees()
    snapshot = trees.snapshot(base_tree=None)
    assert {"A.py", "a.py"} <= set(trees.paths(snapshot.tree))


def test_too_deep_is_refused(repo: Repo) -> None:
    here = Path.cwd()
    os.chdir(repo.root)
    try:
        for _ in range(210):
            Path("d").mkdir()
            os.chdir("d")
        with pytest.raises(ContractError, match="path_too_deep"):
            repo.trees().snapshot(base_tree=None)
    finally:
        os.chdir(here)


def test_a_file_over_the_limit_is_refused(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autopilot.vcs.scan.MAX_FILE_BYTES", 10)
    repo.write("big", "x" * 11)
    with pytest.raises(ContractError, match="file_too_large"):
        repo.trees().snapshot(base_tree=None)


def test_an_unreadable_file_is_refused(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    # Simulated: where the tests run as root, every file can be read.
    repo.write("secret", "x")
    opened = os.open

    def refusing(path: object, *arguments: int, **options: int) -> int:
        if path == b"secret":
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr("autopilot.vcs.scan.os.open", refusing)
    with pytest.raises(ContractError, match="path_unreadable"):
        repo.trees().snapshot(base_tree=None)


def test_the_engines_own_folders_do_not_count(repo: Repo) -> None:
    repo.write(".gitignore", "")
    repo.commit()
    first = repo.trees().snapshot(base_tree=None)
    repo.write("state/ledger/x", "1")
    assert repo.trees().snapshot(base_tree=None) == first
    elsewhere = EngineTrees(repo.located(), repo.root / "var/engine", exclude=("state",))
    assert elsewhere.snapshot(base_tree=None) == first


def test_a_bare_repository_has_no_snapshot(repo: Repo, tmp_path: Path) -> None:
    repo.git("clone", "-q", "--bare", ".", str(tmp_path / "bare.git"))
    bare = Repository.locate(tmp_path / "bare.git")
    with pytest.raises(ContractError, match="no_work_tree"):
        EngineTrees(bare, tmp_path / "engine", exclude=()).snapshot(base_tree=None)


def test_objects_outlive_gc_and_history_in_the_users_repository(repo: Repo, tmp_path: Path) -> None:
    trees = repo.trees()
    base = trees.snapshot(base_tree=None)
    repo.write("a.py", "a = 2\n")
    repo.git("commit", "-qa", "--amend", "-m", "rewritten")
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "-q", "--prune=now")
    assert trees.read(base.tree, "a.py") == b"a = 1\n"
    trees.checkout(base.tree, tmp_path / "out")
    assert (tmp_path / "out/pkg/b.py").read_text() == "b = 1\n"


def test_objects_outlive_gc_in_the_engines_folder(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects_module, "LOOSE_LIMIT", 2)
    trees = repo.trees()
    for number in range(20):
        repo.write(f"many/{number}", str(number))
    base = trees.snapshot(base_tree=None)
    subprocess.run(
        ["git", "--git-dir", str(repo.root / "state/git"), "gc", "-q", "--prune=now"], check=True, capture_output=True
    )
    (repo.root / ".git/objects").rename(repo.root / ".git/objects-gone")
    (repo.root / ".git/objects").mkdir()
    assert trees.read(base.tree, "many/7") == b"7"
    assert list((repo.root / "state/git/objects/pack").glob("*.keep"))


def test_an_object_planted_under_anothers_id_is_found(repo: Repo, tmp_path: Path) -> None:
    """The agent puts good bytes under the id of the bad file, hoping that the engine tests the good ones."""
    bad, good = b"print('bad')\n", b"print('good')\n"
    bad_id = repo.git("hash-object", str(repo.write("a.py", bad))).strip()
    repo.write("x", good)
    good_id = repo.git("hash-object", "-w", "x").strip()
    (repo.root / "x").unlink()
    stored = repo.root / ".git/objects"
    (stored / bad_id[:2]).mkdir(exist_ok=True)
    planted = stored / bad_id[:2] / bad_id[2:]
    planted.write_bytes((stored / good_id[:2] / good_id[2:]).read_bytes())
    trees = repo.trees()
    snapshot = trees.snapshot(base_tree=None)
    assert trees.read(snapshot.tree, "a.py") == bad
    # Planted where the engine does read, in its own store, it is an integrity failure.
    own = repo.root / "state/git/objects" / bad_id[:2] / bad_id[2:]
    own.chmod(0o644)
    own.write_bytes(planted.read_bytes())
    with pytest.raises(IntegrityError, match="git_object_corrupt"):
        trees.checkout(snapshot.tree, tmp_path / "out")
    with pytest.raises(IntegrityError, match="git_object_corrupt"):
        trees.changes(repo.tree(), snapshot.tree)
    own.write_bytes(b"not zlib")
    with pytest.raises(IntegrityError, match="git_object_corrupt"):
        trees.read(snapshot.tree, "a.py")


def test_a_tree_that_is_not_here_is_named(repo: Repo) -> None:
    with pytest.raises(ContractError, match="git_object_missing"):
        repo.trees().paths("1" * 40)


def _snapshot_in_a_process(root: str) -> str:
    return Repo(Path(root)).trees().snapshot(base_tree=None).tree


def test_eight_processes_at_once_agree(repo: Repo) -> None:
    for number in range(200):
        repo.write(f"many/{number}", f"{number}\n" * 50)
    with ProcessPoolExecutor(8) as pool:
        found = set(pool.map(_snapshot_in_a_process, [str(repo.root)] * 8))
    repo.commit()
    assert found == {repo.tree()}
    assert not list((repo.root / "state/git/tmp").iterdir())
    done = subprocess.run(
        ["git", "--git-dir", str(repo.root / "state/git"), "fsck", "--full", "--strict"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_what_killed_processes_left_is_swept(repo: Repo) -> None:
    trees = repo.trees()
    trees.snapshot(base_tree=None)
    for name, age_seconds in (("old", 2 * 24 * 3600), ("recent", 60)):
        folder = repo.root / "state/git/tmp" / name
        folder.mkdir()
        when = time.time() - age_seconds
        os.utime(folder, (when, when))
    trees.snapshot(base_tree=None)
    assert [path.name for path in (repo.root / "state/git/tmp").iterdir()] == ["recent"]


def test_a_sha256_repository(tmp_path: Path) -> None:
    modern = Repo(tmp_path)
    modern.git("init", "-q", "--object-format=sha256")
    modern.write("a.py", "1\n")
    modern.commit()
    trees = modern.trees()
    base = trees.snapshot(base_tree=None)
    assert base.tree == modern.tree()
    assert len(base.tree) == 64
    modern.write("a.py", "2\n")
    (change,) = trees.changes(base.tree, trees.snapshot(base_tree=base.tree).tree)
    assert (change.added_lines, change.deleted_lines) == (1, 1)


def test_no_git_variable_of_the_caller_counts(repo: Repo, tmp_path: Path) -> None:
    """GIT_DIR, GIT_INDEX_FILE and their kin point elsewhere; the answer stays."""
    other = Repo(tmp_path / "other")
    other.root.mkdir()
    other.git("init", "-q")
    other.write("clean", "x")
    other.commit()
    hostile = {
        "GIT_DIR": str(other.root / ".git"),
        "GIT_WORK_TREE": str(other.root),
        "GIT_INDEX_FILE": "/dev/null",
        "GIT_OBJECT_DIRECTORY": str(other.root / ".git/objects"),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.excludesFile",
        "GIT_CONFIG_VALUE_0": str(repo.write("all.log", "*\n")),
        "GIT_EXTERNAL_DIFF": "/bin/false",
    }
    script = "import sys; from test_trees import _snapshot_in_a_process as f; print(f(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", script, str(repo.root)],
        env=dict(os.environ) | hostile | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        capture_output=True,
        check=False,
    )
    assert done.stdout.decode().strip() == repo.tree(), done.stderr.decode()
