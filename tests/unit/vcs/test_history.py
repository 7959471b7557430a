"""The commits of a range: what git would say, without asking its settings, and an error where some are missing.

Red without: the set of what A reaches, the second parents, the hash of each commit, and the refusal of a short history.
"""

from __future__ import annotations

import subprocess
import zlib
from pathlib import Path

import pytest
from real_repository import Repo

from autopilot.kernel.errors import AutopilotError, ContractError
from autopilot.vcs.history import commits_in


@pytest.fixture
def branched(repo: Repo) -> Repo:
    """first - two - three - merge - last, and side (from two) merged into it; `v1` is a tag of a tag of three."""
    repo.commit("two")
    repo.git("branch", "side")
    repo.commit("three\n\nbody\n")
    repo.git("tag", "-a", "-m", "t", "v0")
    repo.git("tag", "-a", "-m", "t", "v1", "v0")
    repo.git("switch", "-q", "side")
    repo.commit("of the side")
    repo.git("switch", "-q", "main")
    repo.git("merge", "-q", "--no-ff", "-m", "merge", "side")
    repo.commit("last")
    return repo


def subjects(repo: Repo, span: str) -> set[str]:
    return {commit.message.decode().split("\n")[0] for commit in commits_in(repo.located(), span)}


@pytest.mark.parametrize(
    "span",
    ["HEAD", "main", "side", "v1", "HEAD~2..HEAD", "HEAD^..HEAD", "side..main", "main..side", "v1..", "..side",
     "HEAD^^2..HEAD", "HEAD~1^2", "HEAD~1^1~1", "v1..side", "HEAD..HEAD", "refs/heads/side..refs/heads/main"],
)  # fmt: skip
def test_a_range_holds_what_git_says(branched: Repo, span: str) -> None:
    told = branched.git("rev-list", span).split()
    found = commits_in(branched.located(), span)
    assert sorted(commit.id for commit in found) == sorted(told)
    if told:
        assert found[0].id == told[0]


def test_messages_are_as_stored_and_full_and_short_ids_name_commits(branched: Repo) -> None:
    head = branched.git("rev-parse", "HEAD~2").strip()
    for name in (head, head[:9]):
        commit = commits_in(branched.located(), f"{name}~1..{name}")[0]
        assert (commit.id, commit.message) == (head, b"three\n\nbody\n")


@pytest.mark.parametrize(
    "span", ["", "..", "nowhere", "HEAD~99", "HEAD^3", "HEAD^2", "a...b", "HEAD..nowhere", "~1", "^"]
)
def test_what_names_no_commits_is_refused(branched: Repo, span: str) -> None:
    with pytest.raises(ContractError) as caught:
        commits_in(branched.located(), span)
    assert caught.value.code == "unknown_revision"


def test_a_history_that_was_cut_short_is_an_error_and_no_short_answer(branched: Repo, tmp_path: Path) -> None:
    subprocess.run(
        ["git", "clone", "-q", "--depth", "1", f"file://{branched.root}", str(tmp_path / "shallow")], check=True
    )
    with pytest.raises(ContractError) as caught:
        commits_in(Repo(tmp_path / "shallow").located(), "HEAD")
    assert caught.value.code == "git_object_missing"
    assert "--unshallow" in caught.value.remedy()


def test_replaced_and_grafted_commits_are_read_as_they_are(branched: Repo) -> None:
    told = {commit.id for commit in commits_in(branched.located(), "HEAD")}
    head, old = branched.git("rev-parse", "HEAD", "HEAD~2").split()
    branched.git("replace", head, old)
    (branched.root / ".git" / "info" / "grafts").write_text(f"{head} {old}\n")
    (branched.root / ".git" / "shallow").write_text(f"{head}\n")
    assert {commit.id for commit in commits_in(branched.located(), "HEAD")} == told


def test_a_commit_with_anothers_content_is_found(branched: Repo) -> None:
    sha = branched.git("rev-parse", "HEAD~1").strip()
    data = branched.git("cat-file", "commit", sha).encode().replace(b"merge", b"MERGE")
    path = branched.root / ".git" / "objects" / sha[:2] / sha[2:]
    path.chmod(0o644)
    path.write_bytes(zlib.compress(b"commit %d\0" % len(data) + data))
    with pytest.raises(AutopilotError) as caught:
        commits_in(branched.located(), "HEAD")
    assert caught.value.code == "git_object_corrupt"


def test_a_signature_cannot_name_parents(repo: Repo) -> None:
    parent, tree = repo.git("rev-parse", "HEAD", "HEAD^{tree}").split()
    who = "a <a@example.org> 1 +0000"
    header = f"tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\ngpgsig begin\n parent {'1' * 40}\n end\n"
    raw = repo.root / "raw"
    raw.write_text(f"{header}\nsigned\n\nparent {'2' * 40}\n")
    sha = repo.git("hash-object", "-t", "commit", "-w", "raw").strip()
    repo.git("update-ref", "refs/heads/main", sha)
    assert commits_in(repo.located(), "HEAD~1..HEAD")[0].parents == (parent,)
    assert subjects(repo, "HEAD") == {"signed", "first"}


def test_no_setting_of_the_repository_starts_a_program(branched: Repo, tmp_path: Path) -> None:
    script = tmp_path / "evil.sh"
    script.write_text(f"#!/bin/sh\ntouch '{tmp_path}/marker'\ncat\n")
    script.chmod(0o755)
    for name in (
        "core.fsmonitor",
        "core.pager",
        "alias.cat-file",
        "gpg.program",
        "core.sshCommand",
        "trailer.x.command",
    ):
        branched.git("config", name, f"!{script}" if name.startswith("alias") else str(script))
    branched.git("config", "log.showSignature", "true")
    assert len(commits_in(branched.located(), "side..main")) == 3
    assert not (tmp_path / "marker").exists()
