"""A repository that tries to run something, or to look away: no marker appears, and every file is seen."""

from __future__ import annotations

import os
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest
from real_repository import Repo

from autopilot.kernel.errors import AutopilotError, ContractError, IntegrityError
from autopilot.vcs import EngineTrees, Repository, objects


def _touch(repo: Repo, tmp_path: Path) -> str:
    """A script that leaves a marker, answers like `cat`, and exits 0."""
    script = tmp_path / "evil.sh"
    script.write_text(f"#!/bin/sh\ntouch '{tmp_path}/marker'\ncat\n")
    script.chmod(0o755)
    return str(script)


def _use_everything(repo: Repo, tmp_path: Path) -> tuple[EngineTrees, str, str]:
    """Every public call of the package, once or more, over two states of the repository."""
    located = Repository.locate(repo.root)
    located.branch(), located.head_commit(), located.head_tree()
    trees = repo.trees()
    base = trees.snapshot(base_tree=None)
    repo.write("a.py", "a = 'changed'\n")
    repo.write("new.bin", b"\0new")
    now = trees.snapshot(base_tree=base.tree)
    trees.changes(base.tree, now.tree)
    trees.patch(base.tree, now.tree)
    trees.checkout(now.tree, tmp_path / "out")
    trees.read(now.tree, "a.py")
    trees.paths(now.tree)
    trees.digest(now.tree, ["a.py"])
    return trees, base.tree, now.tree


CONFIGURATIONS = {
    "fsmonitor": [("core.fsmonitor", "{script}")],
    "ssh command": [("core.sshCommand", "{script}"), ("remote.origin.url", "ssh://host/repo")],
    "pager": [("core.pager", "{script}"), ("pager.diff", "{script}"), ("pager.config", "{script}")],
    "alias": [
        (f"alias.{name}", "!{script}") for name in ("cat-file", "diff-tree", "check-ignore", "config", "index-pack")
    ],
    "clean filter": [
        ("filter.evil.clean", "{script}"),
        ("filter.evil.smudge", "{script}"),
        ("filter.evil.required", "true"),
    ],
    "filter process": [("filter.evil.process", "{script}")],
    "textconv": [("diff.evil.textconv", "{script}"), ("diff.evil.cachetextconv", "true")],
    "external diff": [("diff.external", "{script}"), ("diff.evil.command", "{script}")],
    "merge driver": [("merge.evil.driver", "{script}")],
    "credential helper": [("credential.helper", "!{script}")],
    "editor": [("core.editor", "{script}"), ("sequence.editor", "{script}")],
    "promisor remote": [
        ("remote.origin.url", "ext::{script}"),
        ("remote.origin.promisor", "true"),
        ("remote.origin.uploadpack", "{script}"),
        ("extensions.partialClone", "origin"),
        ("protocol.allow", "always"),
    ],
    "gpg program": [("gpg.program", "{script}"), ("log.showSignature", "true")],
    "alternate refs": [("core.alternateRefsCommand", "{script}")],
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_no_configured_program_runs(repo: Repo, tmp_path: Path, name: str) -> None:
    script = _touch(repo, tmp_path)
    repo.write(".gitattributes", "* filter=evil diff=evil merge=evil\n")
    repo.git("add", "-A")
    repo.git("commit", "-qm", "attributes")
    for key, value in CONFIGURATIONS[name]:
        repo.git("config", key, value.format(script=script))
    _use_everything(repo, tmp_path)
    assert not (tmp_path / "marker").exists()


def test_the_marker_works(repo: Repo, tmp_path: Path) -> None:
    """The control: plain git does run the script, so that its silence above means something."""
    script = _touch(repo, tmp_path)
    repo.write(".gitattributes", "* diff=evil\n")
    repo.git("config", "diff.evil.textconv", script)
    repo.write("a.py", "a = 2\n")
    repo.git("diff")
    assert (tmp_path / "marker").exists()


@pytest.mark.parametrize("how", ["include", "includeIf", "worktree config", "hooks path", "hooks"])
def test_no_included_configuration_and_no_hook_runs(repo: Repo, tmp_path: Path, how: str) -> None:
    script = _touch(repo, tmp_path)
    evil = tmp_path / "evil.config"
    evil.write_text(f"[core]\n\tfsmonitor = {script}\n[diff]\n\texternal = {script}\n")
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for hook in ("post-index-change", "fsmonitor-watchman", "post-checkout", "reference-transaction", "pre-auto-gc"):
        for folder in (hooks, repo.root / ".git/hooks"):
            folder.mkdir(exist_ok=True)
            (folder / hook).write_text(f"#!/bin/sh\ntouch '{tmp_path}/marker'\n")
            (folder / hook).chmod(0o755)
    if how == "include":
        repo.git("config", "include.path", str(evil))
    elif how == "includeIf":
        repo.git("config", f"includeIf.gitdir:{repo.root}/.path", str(evil))
    elif how == "worktree config":
        repo.git("config", "extensions.worktreeConfig", "true")
        (repo.root / ".git/config.worktree").write_text(evil.read_text())
    elif how == "hooks path":
        repo.git("config", "core.hooksPath", str(hooks))
    _use_everything(repo, tmp_path)
    assert not (tmp_path / "marker").exists()


def test_a_pipe_in_place_of_the_configuration_does_not_hang(repo: Repo, tmp_path: Path) -> None:
    (repo.root / ".git/config").unlink()
    os.mkfifo(repo.root / ".git/config")
    with pytest.raises(Exception, match="not_a_repository"):
        Repository.locate(repo.root)


def _hidden(repo: Repo) -> tuple[str, ...]:
    """What differs from HEAD to the engine's eye."""
    trees = repo.trees()
    return trees.snapshot(base_tree=repo.tree()).dirty


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_index_flags_hide_nothing(repo: Repo, flag: str) -> None:
    repo.git("update-index", flag, "a.py")
    repo.write("a.py", "hidden = 1\n")
    assert repo.git("status", "--porcelain") == ""
    assert _hidden(repo) == ("a.py",)


def test_info_exclude_hides_nothing(repo: Repo) -> None:
    (repo.root / ".git/info").mkdir(exist_ok=True)
    (repo.root / ".git/info/exclude").write_text("*.hidden\nstate\n")
    repo.write("x.hidden", "1")
    assert repo.git("status", "--porcelain") == ""
    assert _hidden(repo) == ("x.hidden",)


def test_core_excludes_file_hides_nothing(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "excludes").write_text("*.hidden\nstate\n")
    repo.git("config", "core.excludesFile", str(tmp_path / "excludes"))
    repo.write("x.hidden", "1")
    assert repo.git("status", "--porcelain") == ""
    assert _hidden(repo) == ("x.hidden",)


def test_the_users_global_configuration_hides_nothing(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / ".config/git").mkdir(parents=True)
    (home / ".config/git/ignore").write_text("*.hidden\nstate\n")
    (home / ".config/git/attributes").write_text("*.py text eol=crlf\n")
    (home / ".gitconfig").write_text("[core]\n\tautocrlf = input\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    repo.write("x.hidden", "1")
    repo.write("a.py", "a = 1\r\n")
    assert _hidden(repo) == ("a.py", "x.hidden")


def test_info_attributes_change_nothing(repo: Repo) -> None:
    (repo.root / ".git/info").mkdir(exist_ok=True)
    (repo.root / ".git/info/attributes").write_text("*.py filter=evil text\n")
    repo.write("a.py", "a = 1\r\n")
    snapshot = repo.trees().snapshot(base_tree=repo.tree())
    assert (snapshot.dirty, snapshot.filtered) == (("a.py",), ())


@pytest.mark.parametrize("value", ["true", "input"])
def test_autocrlf_changes_nothing(repo: Repo, value: str) -> None:
    repo.git("config", "core.autocrlf", value)
    repo.write("a.py", "a = 1\r\n")
    trees = repo.trees()
    assert trees.read(trees.snapshot(base_tree=None).tree, "a.py") == b"a = 1\r\n"


def test_file_mode_and_symlink_settings_change_nothing(repo: Repo) -> None:
    repo.git("config", "core.fileMode", "false")
    repo.git("config", "core.symlinks", "false")
    (repo.root / "a.py").chmod(0o755)
    (repo.root / "pkg/b.py").unlink()
    (repo.root / "pkg/b.py").symlink_to("../a.py")
    assert _hidden(repo) == ("a.py", "pkg/b.py")


def test_core_worktree_points_nowhere(repo: Repo, tmp_path: Path) -> None:
    clean = tmp_path / "clean"
    repo.git("worktree", "add", "-q", "--detach", str(clean))
    repo.git("config", "core.worktree", str(clean))
    repo.write("a.py", "hidden = 1\n")
    assert repo.located().root == repo.root
    assert repo.trees().snapshot(base_tree=None).dirty == ("a.py",)


def test_a_sparse_checkout_hides_no_file_that_is_there(repo: Repo) -> None:
    repo.git("sparse-checkout", "set", "--no-cone", "/a.py", "/.gitignore")
    assert not (repo.root / "pkg/b.py").exists()
    assert _hidden(repo) == ("pkg/b.py",)
    repo.write("pkg/b.py", "hidden = 1\n")
    assert repo.git("status", "--porcelain", "--ignored=no").strip() != "?? pkg/b.py"
    assert _hidden(repo) == ("pkg/b.py",)


def test_replace_refs_and_grafts_change_nothing(repo: Repo) -> None:
    before = repo.tree()
    repo.write("a.py", "a = 2\n")
    other = repo.commit()
    first = repo.git("rev-parse", "HEAD~1").strip()
    repo.git("replace", first, other)
    assert repo.located().commit_tree(first) == before


def test_a_commit_graph_that_lies_is_not_read(repo: Repo) -> None:
    repo.git("commit-graph", "write", "--reachable")
    graph = repo.root / ".git/objects/info/commit-graph"
    data = bytearray(graph.read_bytes())
    tree = bytes.fromhex(repo.tree())
    at = data.index(tree)
    data[at : at + 20] = bytes(20)
    graph.chmod(0o644)
    graph.write_bytes(data)
    assert repo.located().head_tree() == tree.hex()


def test_attributes_of_the_index_and_diff_drivers_hide_no_change(repo: Repo) -> None:
    repo.write(".gitattributes", "*.py -diff binary\n")
    repo.commit()
    trees = repo.trees()
    base = trees.snapshot(base_tree=None)
    repo.write("a.py", "seen = 1\n")
    now = trees.snapshot(base_tree=base.tree)
    (change,) = trees.changes(base.tree, now.tree)
    assert (change.binary, change.added_lines, change.deleted_lines) == (False, 1, 1)
    assert b"+seen = 1" in trees.patch(base.tree, now.tree)


@pytest.mark.parametrize("name", ["objects/info/alternates", "objects/pack/pack-0.idx", "loose"])
def test_a_pipe_where_git_looks_for_objects_does_not_hang(repo: Repo, name: str) -> None:
    head = repo.git("rev-parse", "HEAD").strip()
    path = repo.root / ".git" / (f"objects/{head[:2]}/{head[2:]}" if name == "loose" else name)
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with pytest.raises(ContractError, match="path_unreadable"):
        repo.located().head_tree()


def test_a_sparse_file_that_claims_a_terabyte_is_refused_unread(repo: Repo) -> None:
    with (repo.root / "huge").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ContractError, match="file_too_large"):
        repo.trees().snapshot(base_tree=None)


@pytest.mark.parametrize(
    "content", [b"gitdir: a\0b\n", b"gitdir: " + b"a" * 5000, b"gitdir: loop/x\n", b"gitdir: .git\n", b"\xff\xfe", b""]
)
def test_a_git_file_of_rubbish_is_no_repository(repo: Repo, content: bytes) -> None:
    shutil.rmtree(repo.root / ".git")
    (repo.root / "loop").symlink_to("loop")
    (repo.root / ".git").write_bytes(content)
    with pytest.raises(ContractError, match="not_a_repository"):
        Repository.locate(repo.root)


@pytest.mark.parametrize("content", [b"a\0b", b"\xff\xfe", b"a" * 5000])
def test_a_commondir_of_rubbish_is_no_repository(repo: Repo, content: bytes) -> None:
    (repo.root / ".git/commondir").write_bytes(content)
    with pytest.raises(ContractError, match="not_a_repository"):
        Repository.locate(repo.root)


@pytest.mark.parametrize("head", [b"ref: refs/heads/a\0b", b"ref: refs/heads/../../config", b"ref: /etc/passwd"])
def test_a_head_that_is_no_ref_is_not_a_branch_without_commits(repo: Repo, head: bytes) -> None:
    (repo.root / ".git/HEAD").write_bytes(head + b"\n")
    with pytest.raises(ContractError, match="not_a_repository"):
        repo.trees().snapshot(base_tree=None)


@pytest.mark.parametrize("where", ["refs/heads/main", "packed-refs"])
@pytest.mark.parametrize("content", [b"abc", b"\xff" * 40, b""])
def test_a_damaged_branch_is_not_a_branch_without_commits(repo: Repo, where: str, content: bytes) -> None:
    branch = repo.git("symbolic-ref", "HEAD").strip()
    (repo.root / ".git" / branch).unlink()
    if where == "packed-refs":
        (repo.root / ".git/packed-refs").write_bytes(content + b" " + branch.encode() + b"\n")
    else:
        (repo.root / ".git" / branch).write_bytes(content)
    with pytest.raises(ContractError, match="not_a_repository"):
        repo.located().head_commit()


def _planted(repo: Repo, kind: str, content: bytes) -> str:
    done = subprocess.run(
        ["git", "hash-object", "--literally", "-t", kind, "-w", "--stdin"],
        cwd=repo.root,
        input=content,
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip()


@pytest.mark.parametrize("kind", ["commit", "tag"])
def test_a_commit_or_tag_that_names_nothing_is_damage(repo: Repo, kind: str) -> None:
    sha = _planted(repo, kind, b"nothing\n\n")
    with pytest.raises(IntegrityError, match="git_object_corrupt"):
        repo.located().commit_tree(sha)


@pytest.mark.parametrize("tree", [b"../../x", b"HEAD:", b"a" * 9000])
def test_a_commit_that_names_no_id_as_its_tree(repo: Repo, tree: bytes) -> None:
    sha = _planted(repo, "commit", b"tree " + tree + b"\n\n")
    trees = repo.trees()
    with pytest.raises(AutopilotError):
        trees.paths(repo.located().commit_tree(sha))


def test_trees_that_name_one_another_are_not_spelled_out(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten trees of ten stand for ten thousand million paths."""
    monkeypatch.setattr(objects, "MAX_PATHS", 1000)
    tree = repo.tree()
    for _ in range(10):
        lines = "".join(f"040000 tree {tree}\td{number}\n" for number in range(10))
        done = subprocess.run(["git", "mktree"], cwd=repo.root, input=lines.encode(), capture_output=True, check=True)
        tree = done.stdout.decode().strip()
    with pytest.raises(ContractError, match="tree_too_large"):
        repo.trees().paths(tree)


def test_an_object_that_claims_more_than_is_read(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "MAX_OBJECT_BYTES", 1000)
    sha = repo.git("rev-parse", "HEAD:a.py").strip()
    path = repo.root / ".git/objects" / sha[:2] / sha[2:]
    path.chmod(0o644)
    path.write_bytes(zlib.compress(b"blob 2000\0" + bytes(2000)))
    with pytest.raises(ContractError, match="file_too_large"):
        repo.trees().read(repo.tree(), "a.py")
