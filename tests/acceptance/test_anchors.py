"""Commits that name a checkpoint: written by a hook of git's, and held against the ledger by whoever has the commits.

The adversary has everything the user has. What he does not have is the other clones: a commit that was pushed stays as
it is, and so does the checkpoint in it.

Red without: any anchor being held against the ledger, the refusal of anchors that cannot be read, the origin of an
anchor, the answer that no anchor is no agreement, the coverage of the last commit, the hook's refusal of the commit,
and the check of the anchors that a message brings along.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cli_repo import AGENT, PERSON, Repo
from test_checkpoints import cut, drop_own_checkpoints, records, rewrite

from autopilot.cli.demo.project import make_repository
from autopilot.ledger.trailers import read_trailers, trailer_of
from autopilot.signing.checkpoint import Checkpoint

WHO = {f"GIT_{role}_{key}": "ada@example.org" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_GLOBAL": os.devnull, **WHO, **AGENT}


def git(repo: Repo, *words: str, code: int = 0, **environment: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=repo.root, env=ENVIRONMENT | environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def commit(repo: Repo, message: str, *words: str, code: int = 0) -> str:
    return git(repo, "commit", "-q", "--allow-empty", "-m", message, *words, code=code)


def anchors(repo: Repo, name: str = "HEAD") -> list[int]:
    message = git(repo, "log", "-1", "--format=%B", name)
    return [one.size for one in read_trailers(message.encode())]


@pytest.fixture(scope="session")
def hooked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A governed repository with the hook, and three commits after it: `begin`, `middle` and `end`."""
    root = tmp_path_factory.mktemp("hooked") / "shop"
    root.mkdir()
    repo = Repo(make_repository(root))
    repo.run("init", env=PERSON, check=0)
    git(repo, "add", "-A")
    commit(repo, "Governed")
    git(repo, "tag", "start")
    repo.run("ledger", "checkpoint", "--install-hook", check=0)
    for number, tag in enumerate(("begin", "middle", "end"), 1):
        repo.run("task", "open", f"T-{number}", "--title", f"Round prices in the shop {number} times", check=0)
        commit(repo, f"Step {number}")
        git(repo, "tag", tag)
    return root


@pytest.fixture
def repo(tmp_path: Path, hooked: Path) -> Repo:
    shutil.copytree(hooked.parent, tmp_path / "work", symlinks=True)
    return Repo(tmp_path / "work" / "shop")


def verified(repo: Repo, span: str = "start..HEAD", *words: str) -> tuple[int, str, str | None]:
    """Exit code, status and reason of `ledger verify --anchors`; people are told the same, with what to do next."""
    result = repo.quick("ledger", "verify", "--anchors", span, "--json", *words)
    shown = result.shaped("ledger verify --anchors")
    told = repo.quick("ledger", "verify", "--anchors", span, *words)
    assert told.code == result.code
    assert told.out.startswith(f"{shown['status']}: "), told.out
    if shown["reason"]:
        assert shown["reason"] in told.out
        assert "next: " in told.err, told.err
    return result.code, shown["status"], shown["reason"]


def kept_from_its_own_notes(repo: Repo) -> None:
    """All that remembers inside of the state is made to agree, or taken away."""
    drop_own_checkpoints(repo)
    assert repo.quick("ledger", "verify").code == 0


# --- what the hook writes


def test_each_commit_names_a_checkpoint_over_all_lines_before_its_own(repo: Repo) -> None:
    sizes = [anchors(repo, tag) for tag in ("begin", "middle", "end")]
    assert [len(one) for one in sizes] == [1, 1, 1]
    published = [record["data"]["size"] for record in records(repo) if record["kind"] == "checkpoint.published"]
    assert published == [one[0] for one in sizes]
    assert anchors(repo, "start") == []
    assert verified(repo) == (0, "intact", None)
    out = repo.quick("ledger", "verify", "--anchors", "start..HEAD").out
    assert (
        f"agrees with 3 anchors in 3 commits of start..HEAD; the newest, in {git(repo, 'rev-parse', 'HEAD')[:12]}"
        in out
    )


def test_a_message_is_kept_and_gets_one_anchor_however_often_it_is_amended(repo: Repo) -> None:
    commit(repo, "Subject\n\nBody\n\nSigned-off-by: Ada <ada@example.org>")
    git(repo, "commit", "-q", "--amend", "--no-edit", "--allow-empty")
    git(repo, "commit", "-q", "--amend", "--no-edit", "--allow-empty")
    message = git(repo, "log", "-1", "--format=%B").rstrip("\n").split("\n")
    assert message[:5] == ["Subject", "", "Body", "", "Signed-off-by: Ada <ada@example.org>"]
    assert len(message) == 6
    assert anchors(repo) == [repo.lines() - 1]


def test_an_editor_and_its_comments_and_a_message_left_empty(repo: Repo, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nprintf "Typed\\n" | cat - "$1" > "$1.new" && mv "$1.new" "$1"\n')
    editor.chmod(0o755)
    git(repo, "commit", "-q", "--allow-empty", "-v", GIT_EDITOR=str(editor))
    assert git(repo, "log", "-1", "--format=%s").strip() == "Typed"
    assert len(anchors(repo)) == 1
    lines = repo.lines()
    assert "empty commit message" in git(repo, "commit", "--allow-empty", code=1, GIT_EDITOR="true")
    assert repo.lines() == lines


@pytest.mark.parametrize("value", [";", "auto"])
def test_comments_begin_as_the_user_set_it(repo: Repo, value: str) -> None:
    git(repo, "config", "core.commentChar", value)
    assert "empty commit message" in git(repo, "commit", "--allow-empty", code=1, GIT_EDITOR="true")
    commit(repo, "Subject")
    assert len(anchors(repo)) == 1


def test_a_merge_and_a_squash_keep_their_anchors(repo: Repo) -> None:
    git(repo, "switch", "-q", "-c", "side", "begin")
    commit(repo, "Of the side")
    git(repo, "switch", "-q", "main")
    git(repo, "merge", "-q", "--no-ff", "-m", "merge", "side")
    assert len(anchors(repo)) == 1
    # As a forge squashes: all messages in one.
    messages = git(repo, "log", "--format=%B", "start..HEAD")
    git(repo, "-c", "core.hooksPath=/dev/null", "commit", "-q", "--allow-empty", "-m", messages)
    assert len(anchors(repo)) == 5
    assert verified(repo, "HEAD~1..HEAD") == (0, "intact", None)
    assert verified(repo, "start..HEAD") == (0, "intact", None)


def test_it_works_in_a_linked_worktree(repo: Repo, tmp_path: Path) -> None:
    git(repo, "worktree", "add", "-q", "-b", "beside", str(tmp_path / "beside"))
    other = Repo(tmp_path / "beside")
    commit(other, "Beside")
    assert len(anchors(other)) == 1
    assert other.quick("ledger", "verify", "--anchors", "HEAD~1..HEAD", check=0)


# --- what is found


def test_a_rewritten_ledger_is_found_by_the_commit(repo: Repo) -> None:
    rewrite(repo)
    kept_from_its_own_notes(repo)
    assert verified(repo) == (3, "corrupt", "rewritten")
    shown = repo.quick("ledger", "verify", "--anchors", "start..HEAD")
    assert f"[commit {git(repo, 'rev-parse', 'begin')[:12]}]" in shown.out
    assert "are not those that were committed" in shown.out


def test_a_rewritten_ledger_that_new_commits_name_is_a_fork(repo: Repo) -> None:
    rewrite(repo)
    kept_from_its_own_notes(repo)
    commit(repo, "Made after it")
    assert verified(repo) == (3, "corrupt", "forked")
    # The new commit alone agrees: the range decides, and CI names the one that others have.
    assert verified(repo, "HEAD~1..HEAD") == (0, "intact", None)


def test_a_cut_ledger_and_an_old_state_put_back(repo: Repo) -> None:
    cut(repo, anchors(repo, "middle")[0])
    kept_from_its_own_notes(repo)
    assert verified(repo) == (3, "corrupt", "rolled_back")
    (repo.state / "ledger" / "head").unlink()
    assert verified(repo) == (3, "corrupt", "truncated")
    assert f"[commit {git(repo, 'rev-parse', 'end')[:12]}]" in repo.quick("ledger", "verify", "--anchors", "HEAD").out
    assert verified(repo, "start..middle") == (0, "intact", None)


def test_a_removed_ledger_is_missing(repo: Repo) -> None:
    shutil.rmtree(repo.state)
    assert verified(repo) == (3, "corrupt", "missing")


def test_a_range_without_an_anchor_is_no_agreement(repo: Repo) -> None:
    for span in ("start", "start~1..start", "HEAD..HEAD"):
        assert verified(repo, span) == (1, "unanchored", "no_anchor")
    assert verified(repo, "start", "--covers-head") == (1, "unanchored", "no_anchor")


def plainly(repo: Repo, message: str) -> None:
    git(repo, "-c", "core.hooksPath=/dev/null", "commit", "-q", "--allow-empty", "-m", message)


def test_anchors_of_another_ledger_are_told_apart(repo: Repo) -> None:
    other = Checkpoint("autopilot/" + "0" * 32, 3, bytes(32))
    plainly(repo, f"From elsewhere\n\n{trailer_of(other)}")
    assert verified(repo, "HEAD~1..HEAD") == (1, "unanchored", "no_anchor")
    assert verified(repo) == (0, "intact", None)
    shown = repo.quick("ledger", "verify", "--anchors", "start..HEAD", "--json").json["anchors"]
    assert (shown["found"], shown["others"]) == (3, [other.origin])
    assert f"1 anchors are of another ledger: {other.origin}" in repo.quick("ledger", "verify", "--anchors", "HEAD").out


def test_a_ledger_put_in_the_place_of_the_committed_one_is_found_by_its_key(repo: Repo) -> None:
    vkey = next((repo.state / "keys").glob("*.vkey")).read_text().strip()
    shutil.rmtree(repo.state)
    (repo.root / ".git" / "autopilot.id").unlink()
    toml = repo.root / "autopilot.toml"
    toml.write_text("".join(line for line in toml.read_text().splitlines(keepends=True) if "ledger_id" not in line))
    repo.run("init", env=PERSON, check=0)
    commit(repo, "As if nothing was")
    assert verified(repo) == (0, "intact", None)
    assert "3 anchors are of another ledger" in repo.quick("ledger", "verify", "--anchors", "start..HEAD").out
    assert verified(repo, "start..HEAD", "--vkey", vkey) == (3, "corrupt", "missing")


def test_a_ledger_of_another_repository_is_not_this_ones(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Repo(make_repository(tmp_path / "other"))
    other.quick("init", "--yes", env=PERSON, check=0)
    shutil.rmtree(repo.state)
    shutil.copytree(other.state, repo.state)
    # The marker still names the one that was here.
    assert verified(repo) == (3, "corrupt", "missing")
    assert repo.quick("ledger", "verify", "--json").json["reason"] == "missing"


@pytest.mark.parametrize("harm", ["size", "root", "cut", "more"])
def test_an_anchor_that_cannot_be_read_is_refused(repo: Repo, harm: str) -> None:
    line = trailer_of(Checkpoint("autopilot/" + "0" * 32, 3, bytes(32)))
    forged = {"size": line.replace(" 3 ", " three "), "root": line[:-2], "cut": line[:40], "more": line + " x"}[harm]
    plainly(repo, f"Forged\n\n{forged}")
    assert verified(repo) == (3, "corrupt", "malformed_anchor")
    assert verified(repo, "start..HEAD~1") == (0, "intact", None)


def test_an_anchor_that_was_made_up_is_held_against_the_ledger(repo: Repo) -> None:
    origin = f"autopilot/{records(repo)[0]['ledger']}"
    plainly(repo, f"Made up\n\n{trailer_of(Checkpoint(origin, 2, bytes(32)))}")
    assert verified(repo)[2] in ("forked", "rewritten")


def test_a_damaged_ledger_is_said_to_be_so_first(repo: Repo) -> None:
    repo.segment.write_bytes(repo.segment.read_bytes().replace(b"prices", b"pr1ces", 1))
    assert verified(repo) == (3, "corrupt", "bad_hash")
    plainly(repo, "Forged\n\nAutopilot-Checkpoint: x")
    assert verified(repo) == (3, "corrupt", "bad_hash")


def test_checkpoints_and_anchors_are_held_against_it_together(repo: Repo) -> None:
    repo.quick("task", "open", "T-9", "--title", "Show the discount on the receipt of the shop", check=0)
    repo.quick("ledger", "checkpoint", "--out", "../kept.note", check=0)
    assert verified(repo, "start..HEAD", "--checkpoint", "../kept.note") == (0, "intact", None)
    cut(repo, anchors(repo)[0] + 1)
    drop_own_checkpoints(repo)
    assert verified(repo) == (0, "intact", None)
    assert verified(repo, "start..HEAD", "--checkpoint", "../kept.note")[0] == 3
    for words in (("--quick", "--anchors", "HEAD"), ("--covers-head",), ("--anchors", "nowhere..HEAD")):
        assert repo.quick("ledger", "verify", "--json", *words).code == 2, words


# --- the last commit covers it


def test_the_last_commit_must_cover_what_the_ledger_says_of_phases(repo: Repo) -> None:
    assert verified(repo, "start..HEAD", "--covers-head") == (0, "intact", None)
    repo.quick("ledger", "checkpoint", check=0)
    repo.quick("lease", "acquire", "T-1", check=0)
    assert verified(repo, "start..HEAD", "--covers-head") == (0, "intact", None)
    lines = repo.lines()
    repo.quick("task", "open", "T-9", "--title", "Show the discount on the receipt of the shop", check=0)
    assert verified(repo, "start..HEAD", "--covers-head") == (1, "uncovered", "head_not_covered")
    assert verified(repo) == (0, "intact", None)
    out = repo.quick("ledger", "verify", "--anchors", "HEAD", "--covers-head").out
    assert f"1 more count, the first is {lines}, task.opened" in out
    # Without the hook a commit covers nothing, whatever those before it do.
    plainly(repo, "No anchor")
    assert verified(repo, "start..HEAD", "--covers-head") == (1, "uncovered", "head_not_covered")
    commit(repo, "With one")
    assert verified(repo, "start..HEAD", "--covers-head") == (0, "intact", None)
    plainly(repo, "No anchor, though the commit before covers all")
    assert verified(repo, "start..HEAD", "--covers-head") == (1, "uncovered", "head_not_covered")
    commit(repo, "With one again")
    # What would be cut unseen without the gate is what it asks for.
    cut(repo, anchors(repo)[0])
    assert verified(repo, "start..HEAD")[0] == 3 or verified(repo, "start..HEAD", "--covers-head")[0] == 0


def test_a_merge_that_a_forge_made_is_covered_by_what_it_merged(repo: Repo) -> None:
    git(repo, "switch", "-q", "-c", "side")
    repo.quick("task", "open", "T-9", "--title", "Show the discount on the receipt of the shop", check=0)
    commit(repo, "Of the side")
    git(repo, "switch", "-q", "main")
    git(repo, "-c", "core.hooksPath=/dev/null", "merge", "-q", "--no-ff", "-m", "Merge pull request", "side")
    assert anchors(repo) == []
    assert verified(repo, "start..HEAD", "--covers-head") == (0, "intact", None)
    repo.quick("task", "open", "T-10", "--title", "Show the price on the receipt of the shop", check=0)
    assert verified(repo, "start..HEAD", "--covers-head") == (1, "uncovered", "head_not_covered")


def test_ci_needs_a_pack_and_the_commits_and_no_state(repo: Repo, tmp_path: Path) -> None:
    repo.quick("ledger", "export", "../pack", check=0)
    git(repo, "clone", "-q", str(repo.root), str(tmp_path / "ci"))
    ci = Repo(tmp_path / "ci")
    words = (
        "--state",
        str(repo.root.parent / "pack"),
        "--vkey",
        next((repo.state / "keys").glob("*.vkey")).read_text(),
    )
    assert verified(ci, "start..HEAD", *words, "--covers-head") == (0, "intact", None)
    rewrite(repo)
    drop_own_checkpoints(repo)
    repo.quick("ledger", "checkpoint", check=0)
    repo.quick("ledger", "export", "../forged", check=0)
    forged = ("--state", str(repo.root.parent / "forged"))
    assert verified(ci, "start..HEAD", *forged) == (3, "corrupt", "forked")


# --- the hook


def test_a_commit_without_an_anchor_is_refused_where_none_can_be_made(repo: Repo) -> None:
    head = git(repo, "rev-parse", "HEAD")
    rewrite(repo)
    said = commit(repo, "Refused", code=1)
    assert "integrity failure (rewritten)" in said
    assert "the commit is refused" in said
    assert "--no-verify" in said
    assert git(repo, "rev-parse", "HEAD") == head
    commit(repo, "Past it", "--no-verify")
    assert verified(repo, "HEAD~1..HEAD")[0] == 3 or anchors(repo) == []
    drop_own_checkpoints(repo)
    assert verified(repo, "HEAD~1..HEAD") == (1, "unanchored", "no_anchor")


def test_an_anchor_that_the_message_brings_along_is_held_against_the_ledger(repo: Repo) -> None:
    old = git(repo, "log", "-1", "--format=%B", "begin")
    rewrite(repo)
    drop_own_checkpoints(repo)
    said = commit(repo, old, code=1)
    assert "integrity failure (rewritten)" in said
    assert "[commit message" in said or "COMMIT_EDITMSG" in said
    assert "malformed_anchor" in commit(repo, "x\n\nAutopilot-Checkpoint: x", code=1)
    message = repo.root.parent / "message"
    message.write_text(old)
    assert repo.quick("ledger", "checkpoint", "--commit-msg", str(message), "--json").codes == ["rewritten"]
    assert message.read_text() == old


def test_the_lenient_hook_says_so_and_lets_the_commit_be(repo: Repo) -> None:
    repo.run("ledger", "checkpoint", "--install-hook", "--lenient", check=0)
    rewrite(repo)
    assert "this commit has no anchor" in commit(repo, "Let be")
    assert anchors(repo) == []


def test_without_a_ledger_the_hook_refuses_and_says_why(repo: Repo) -> None:
    shutil.rmtree(repo.state)
    assert "ledger_missing" in commit(repo, "Refused", code=1)


def test_the_hook_takes_no_code_from_the_repository_or_the_environment(repo: Repo) -> None:
    for name in ("autopilot", "argparse", "sitecustomize"):
        (repo.root / name).mkdir()
        (repo.root / name / "__init__.py").write_text("raise SystemExit('taken over')\n")
    path = f"{repo.root}:{os.environ['PATH']}"
    (repo.root / "python").write_text("#!/bin/sh\nexit 0\n")
    (repo.root / "python").chmod(0o755)
    git(repo, "commit", "-q", "--allow-empty", "-m", "Safe", PYTHONPATH=str(repo.root), PATH=path)
    assert anchors(repo) == [repo.lines() - 1]


def hook(repo: Repo) -> Path:
    return repo.root / ".git" / "hooks" / "commit-msg"


def install(repo: Repo, *words: str) -> dict[str, object]:
    return repo.quick("ledger", "checkpoint", "--install-hook", "--json", *words, check=0).shaped(
        "ledger checkpoint --install-hook", *(("dry_run",) if "--dry-run" in words else ())
    )


def test_installing_twice_changes_nothing_and_removing_leaves_nothing(repo: Repo) -> None:
    text = hook(repo).read_bytes()
    assert sys.executable.encode() in text
    assert hook(repo).stat().st_mode & 0o111
    assert install(repo)["changed"] is False
    assert install(repo, "--lenient")["changed"] is True
    assert install(repo)["changed"] is True
    assert hook(repo).read_bytes() == text
    before = sorted(path.name for path in hook(repo).parent.iterdir())
    shown = repo.quick("ledger", "checkpoint", "--remove-hook", "--json", check=0).json
    assert shown["changed"] is True
    assert sorted([*(path.name for path in hook(repo).parent.iterdir()), "commit-msg"]) == before
    assert repo.quick("ledger", "checkpoint", "--remove-hook", "--json", check=0).json["changed"] is False


@pytest.mark.parametrize("kind", ["script", "link", "not executable"])
def test_the_hook_that_was_there_runs_first_and_comes_back(repo: Repo, kind: str) -> None:
    repo.quick("ledger", "checkpoint", "--remove-hook", check=0)
    script = '#!/bin/sh\necho "as before: $(basename "$1")" >&2\ngrep -q forbidden "$1" && exit 7\nexit 0\n'
    if kind == "link":
        (repo.root / "tools").mkdir()
        (repo.root / "tools" / "check").write_text(script)
        (repo.root / "tools" / "check").chmod(0o755)
        hook(repo).symlink_to("../../tools/check")
    else:
        hook(repo).write_text(script)
        hook(repo).chmod(0o755 if kind == "script" else 0o644)
    dry = install(repo, "--dry-run")
    assert "+# autopilot hook 1: commit-msg" in str(dry["diff"])
    assert hook(repo).read_text() == script
    shown = install(repo)
    assert shown["aside"] == str(hook(repo)) + ".before-autopilot"
    said, lines = commit(repo, "Allowed"), repo.lines()
    assert ("as before: COMMIT_EDITMSG" in said) is (kind != "not executable")
    assert len(anchors(repo)) == 1
    if kind != "not executable":
        commit(repo, "forbidden", code=1)
        assert repo.lines() == lines
    assert install(repo)["changed"] is False
    repo.quick("ledger", "checkpoint", "--remove-hook", check=0)
    assert hook(repo).read_text() == script
    assert hook(repo).is_symlink() is (kind == "link")
    assert list(hook(repo).parent.glob("*.before-autopilot")) == []


def test_neither_of_two_foreign_hooks_is_lost(repo: Repo) -> None:
    repo.quick("ledger", "checkpoint", "--remove-hook", check=0)
    hook(repo).write_text("#!/bin/sh\nexit 0\n")
    install(repo)
    # Another program writes its hook over ours.
    hook(repo).write_text("#!/bin/sh\n# another\nexit 0\n")
    for word in ("--install-hook", "--remove-hook"):
        result = repo.quick("ledger", "checkpoint", word, "--json")
        assert (result.code, result.codes) == (1, ["hook_in_the_way"])
    assert "another" in hook(repo).read_text()
    # A kill between the two steps left both names for one hook: that is no second hook.
    aside = hook(repo).with_name("commit-msg.before-autopilot")
    aside.unlink()
    os.link(hook(repo), aside)
    assert install(repo)["changed"] is True
    assert "another" in aside.read_text()
    hook(repo).unlink()
    assert repo.quick("ledger", "checkpoint", "--remove-hook", "--json", check=0).json["changed"] is True
    assert "another" in hook(repo).read_text()


def test_the_folder_that_git_uses_is_used(repo: Repo, tmp_path: Path) -> None:
    repo.quick("ledger", "checkpoint", "--remove-hook", check=0)
    git(repo, "config", "core.hooksPath", "tools/hooks")
    assert install(repo)["hook"] == str(repo.root / "tools" / "hooks" / "commit-msg")
    commit(repo, "By the other folder")
    assert len(anchors(repo)) == 1
    for value in (str(tmp_path), "~/hooks", "../hooks"):
        git(repo, "config", "core.hooksPath", value)
        result = repo.quick("ledger", "checkpoint", "--install-hook", "--json")
        assert (result.code, result.codes) == (1, ["hooks_elsewhere"])
    git(repo, "config", "core.hooksPath", ".husky/_")
    assert repo.quick("ledger", "checkpoint", "--install-hook", "--json").codes == ["hooks_elsewhere"]
    git(repo, "config", "--unset", "core.hooksPath")
    (tmp_path / "global").write_text(f"[core]\nhooksPath = {tmp_path}\n")
    result = repo.quick(
        "ledger", "checkpoint", "--install-hook", "--json", env={"GIT_CONFIG_GLOBAL": str(tmp_path / "global")}
    )
    assert result.codes == ["hooks_elsewhere"]


@pytest.mark.parametrize(
    "words",
    [
        ("--lenient",),
        ("--install-hook", "--remove-hook"),
        ("--install-hook", "--new-key"),
        ("--remove-hook", "--out", "x"),
        ("--commit-msg", "nowhere"),
        ("--commit-msg", "."),
    ],
)
def test_what_does_not_go_together_is_refused(repo: Repo, words: tuple[str, ...]) -> None:
    before = repo.files()
    assert repo.quick("ledger", "checkpoint", *words, "--json").code == 2
    assert repo.files() == before


def test_a_dry_run_puts_nothing_into_the_message(repo: Repo, tmp_path: Path) -> None:
    message = tmp_path / "message"
    message.write_text("Subject\n")
    before = repo.files()
    shown = repo.quick("ledger", "checkpoint", "--commit-msg", str(message), "--dry-run", "--json", check=0)
    assert shown.shaped("ledger checkpoint --commit-msg", "dry_run")["trailer"].startswith("Autopilot-Checkpoint: ")
    assert message.read_text() == "Subject\n"
    assert repo.files() == before
    message.write_text("# only comments\n")
    assert repo.quick("ledger", "checkpoint", "--commit-msg", str(message), "--json", check=0).json["trailer"] is None
    assert repo.files() == before
