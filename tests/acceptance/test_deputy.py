"""Trust mode 1: the daemon may read more than the agent, and is asked to read it for the agent; and who else is served.

The other's files are open to the engine's group and closed to the agent. Real users throughout.

Red without: `kept_apart` in `wiring/daemon.py` (names, settings and contents of another's repository come out; one
broken file shuts everybody out), the look before `objects.put` in `ConfigDesk.seal` (refused settings are stored), and
`ours` in `_check_named_back` with `_is_owners` (a reviewer's folder is judged as the agent's worktree).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from split import AGENT, ENGINE, PERSON, REVIEWER, STRANGER, Split, git_as, split_place, write_as
from split_table import SEAL, TASK, _settings
from test_daemon import ok, prepare, refused
from test_split_user import _LINE

from autopilot.kernel.phases import Phase

SECRET = "TOP-SECRET-4711"
_CONFIG = '[commands.test]\nargv = ["true", "{report}"]\nenv = {TOKEN = "PRIVATE-TOKEN-0815"}\nreport = "junit"\n'


@dataclass
class Ground:
    """A daemon that serves, and another's repository beside the agent's."""

    split: Split
    private: Path

    def talk(self, uid: int, text: str) -> str:
        """What a script of that user's, which speaks to the socket itself, printed."""
        facts = {"socket": str(self.split.socket), "repository": str(self.split.repository)}
        done = self.split.script(uid, f"facts = {facts!r}\n{_LINE}\n{text}")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def secret_blob(self) -> str:
        """The id of the secret; an agent can have it from a name that leaked, or from anywhere else."""
        return _git(self.private, "rev-parse", "HEAD:secret.txt").strip()


@pytest.fixture
def ground() -> Iterator[Ground]:
    """Sealed and serving."""
    with split_place() as split:
        split.begin()
        _settings(split, "bwrap")
        split.start()
        assert split.script(PERSON, SEAL).returncode == 0
        private = split.base / "private"
        private.mkdir()
        _git(private, "init", "-q", "-b", "main")
        (private / "secret.txt").write_text(f"{SECRET}\n")
        (private / "autopilot.toml").write_text(_CONFIG)
        _git(private, "add", "-A")
        _git(private, "-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-qm", "x")
        for folder, folders, names in os.walk(private):
            for name in (*folders, *names, "."):
                path = Path(folder, name)
                os.chown(path, STRANGER, ENGINE)
                path.chmod(0o750)
        assert split.run_as(AGENT, ["cat", str(private / "secret.txt")]).returncode != 0
        assert split.run_as(ENGINE, ["cat", str(private / "secret.txt")]).stdout.strip() == SECRET
        yield Ground(split, private)


def _git(place: Path, *words: str) -> str:
    words = ("-c", "safe.directory=*", *words)
    return subprocess.run(["git", *words], cwd=place, check=True, capture_output=True, text=True).stdout


def shell(split: Split, text: str) -> None:
    """Something the agent does in its repository."""
    done = split.run_as(AGENT, ["sh", "-ec", text])
    assert done.returncode == 0, done.stderr


def test_the_agent_cannot_have_another_repository_listed(ground: Ground) -> None:
    """Its objects are borrowed, its ref is linked: either way the engine is asked for the names in it."""
    split, private = ground.split, ground.private
    link = f"ln -s {private}/.git/refs/heads/main .git/refs/heads/evil; echo ref: refs/heads/evil > .git/HEAD"
    borrow = f"mkdir -p .git/objects/info; echo {private}/.git/objects > .git/objects/info/alternates"
    text = (
        "print(code(ask(dial(), 'tasks.open', agent, task_id='E-1', title='what is there to be read')))\n"
        "print(ask(dial(), 'inspection.changes', task_id='E-1'))"
    )
    for prepared, undone in ((f"{borrow}; {link}", "rm .git/objects/info/alternates"), (link, "true")):
        shell(split, f"rm -f .git/refs/heads/evil; {prepared}")
        said = ground.talk(AGENT, text)
        assert "unsupported_repository" in said
        assert "secret.txt" not in said
        shell(split, undone)


def test_the_agent_cannot_have_another_repositorys_file_judged(ground: Ground) -> None:
    """A commit names its blob, a filter has the committed content taken, and a test of the project prints it."""
    split, sha = ground.split, ground.secret_blob()
    write_as(
        AGENT, split.repository / "tests" / "test_loot.py", "def test_loot():\n    print(open('secret.txt').read())\n"
    )
    write_as(AGENT, split.repository / ".gitattributes", "secret.txt filter=x\n")
    git_as(split, "add", "-A")
    git_as(split, "commit", "-qm", "t")
    write_as(AGENT, split.repository / "secret.txt", "dummy\n")
    shell(
        split,
        f"(git ls-tree HEAD; printf '100644 blob {sha}\\tsecret.txt\\n') |"
        f"git mktree --missing > {split.base}/tmp/tree;"
        f"c=$(git -c user.name=a -c user.email=a@b commit-tree -p HEAD -m y $(cat {split.base}/tmp/tree));"
        "echo $c > .git/refs/heads/$(git symbolic-ref --short HEAD); mkdir -p .git/objects/info;"
        f"echo {ground.private}/.git/objects > .git/objects/info/alternates",
    )
    with pytest.raises(AssertionError, match="unsupported_repository"):
        prepare(split, until=Phase.PLAN, hand_in_too=True)
    split.autopilot(AGENT, "verify", TASK, AUTOPILOT_SESSION="build")
    sealed = (path for path in split.state.rglob("*") if path.is_file())
    assert not [path for path in sealed if SECRET.encode() in path.read_bytes()]


def test_another_repositorys_settings_are_not_read(ground: Ground) -> None:
    """Neither through a link, nor kept where everybody can fetch them, before it is known who may seal them."""
    split = ground.split
    before = {path.name for path in (split.state / "evidence" / ".objects").rglob("*")}
    shell(split, f"rm autopilot.toml; ln -s {ground.private}/autopilot.toml autopilot.toml")
    for operation in ("config.seal", "config.asked"):
        said = ground.talk(AGENT, f"print(ask(dial(), '{operation}', agent if 'seal' in '{operation}' else None))")
        assert "bad_config" in said
        assert "0815" not in said
    shell(split, "rm autopilot.toml")
    write_as(AGENT, split.repository / "autopilot.toml", _CONFIG)
    assert "human_only" in ground.talk(AGENT, "print(ask(dial(), 'config.seal', agent))")
    assert {path.name for path in (split.state / "evidence" / ".objects").rglob("*")} == before


@pytest.mark.parametrize("way", ["echo = > autopilot.toml", "truncate -s 1500M autopilot.toml", "mkdir autopilot.toml"])
def test_a_broken_settings_file_shuts_nobody_out(ground: Ground, way: str) -> None:
    """Under the sealed settings others are served, by a daemon that starts again too; what asks the file is refused."""
    split = ground.split
    ok(split, AGENT, "task", "open", TASK, "--title", "Take the discount off once")
    shell(split, f"rm autopilot.toml; {way}")
    for again in (False, True):
        if again:
            split.stop()
            split.start()
        for uid in (REVIEWER, PERSON, AGENT):
            assert ok(split, uid, "status")["trust_mode"] == 1
        assert TASK in ground.talk(REVIEWER, f"print(ask(dial(), 'tasks.show', task_id='{TASK}'))")
        assert refused(split, AGENT, 2, "task", "open", "T-2", "--title", "x of another kind")["code"] == "bad_config"
        assert "bad_config" in ground.talk(PERSON, "print(ask(dial(), 'config.seal', human))")
    assert "Traceback" not in split.log()
    with Path(f"/proc/{split.daemon.pid}/status").open() as status:  # type: ignore[union-attr]
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    assert peak < 500_000  # KiB; the file is larger


def test_nobody_elses_folder_is_served_as_the_agents_worktree(ground: Ground) -> None:
    """A reviewer makes a folder and a git directory of his own that name the agent's repository."""
    split, mine = ground.split, ground.split.base / "tmp" / "reviewer"
    git_as(split, "worktree", "add", "-q", str(split.base / "work" / "wt1"))
    done = split.run_as(
        REVIEWER,
        [
            *("sh", "-ec"),
            f"mkdir -p {mine}/tree {mine}/wt1; echo 'gitdir: {mine}/wt1' > {mine}/tree/.git;"
            f"echo {split.repository}/.git > {mine}/wt1/commondir; echo {mine}/tree/.git > {mine}/wt1/gitdir;"
            f"echo 'ref: refs/heads/wt1' > {mine}/wt1/HEAD; echo mine > {mine}/tree/forged.txt;"
            f"mkdir {mine}/linked; ln -s {split.repository.parent}/wt1/.git {mine}/linked/.git;"
            f"mkdir {mine}/named; cp {split.repository.parent}/wt1/.git {mine}/named/.git",
        ],
        cwd=split.base,
    )
    assert done.returncode == 0, done.stderr
    for folder, wanted in (("tree", "not_served"), ("linked", "not_served"), ("named", "not_served")):
        hello = {"autopilot": "hello", "v": 1, "directory": f"{mine}/{folder}", "purpose": "act"}
        assert (
            json.loads(ground.talk(REVIEWER, f"print(json.dumps(say(dial(False), {hello!r})))"))["error"]["code"]
            == wanted
        )
    hello = {"autopilot": "hello", "v": 1, "directory": f"{split.repository.parent}/wt1", "purpose": "act"}
    assert "ok" in json.loads(ground.talk(REVIEWER, f"print(json.dumps(say(dial(False), {hello!r})))"))
    # Nor where the agent lends its name to it: the files would still be another's.
    shell(split, f"echo {mine}/named/.git > .git/worktrees/wt1/gitdir")
    hello["directory"] = f"{mine}/named"
    assert "not_served" in ground.talk(REVIEWER, f"print(say(dial(False), {hello!r}))")
