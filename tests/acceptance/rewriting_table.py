"""A ledger of 150 lines, each way of going back on it, and what everybody who can be asked answers.

    PYTHONPATH=tests/unit/cli python tests/acceptance/rewriting_table.py [WORDS]

WORDS choose acts by name. Exit 0 only if every answer is the one that stands here.

The adversary owns the machine: the state, the git directory's marker, the ledger's key, this package. He does not have
the checkpoint that was kept elsewhere, the commits that others have, and the witness's key and memory. Each act is done
twice: plainly, and with all that remembers on the machine made to agree, which only what lies elsewhere finds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cli_repo import AGENT, PERSON, Repo, Result
from test_checkpoints import drop_own_checkpoints, records, vkey_of, write_chain

from autopilot.cli.demo.project import make_repository
from autopilot.kernel.callers import Caller
from autopilot.ledger.entry import Draft
from autopilot.signing.note import SigningKey
from autopilot.wiring.full import Workspace

FROM = 100
_GIT = {f"GIT_{role}_{key}": "ada@example.org" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
_ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_GLOBAL": os.devnull, **_GIT, **AGENT}


def beside(repo: Repo, name: str) -> Path:
    """What is out of the adversary's reach."""
    return repo.root.parent / name


def commit(repo: Repo, message: str) -> None:
    """A commit, with the hook."""
    words = ["git", "commit", "-q", "--allow-empty", "-m", message]
    done = subprocess.run(words, cwd=repo.root, env=_ENVIRONMENT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def grow(repo: Repo, lines: int, what: str = "price") -> None:
    """So many more lines."""
    ada = Caller("ada", "human", "s")
    with Workspace.open(repo.root) as workspace:
        for number in range(lines):
            data = {"subject": f"{what} {number}", "outcome": "kept", "reason": "none"}
            with workspace.ledger.transaction() as tx:
                tx.append(Draft(kind="decision", caller=ada, data=data))


def witness(repo: Repo, *words: str) -> Result:
    """Ask the witness."""
    vkey = beside(repo, "ledger.vkey").read_text()
    return repo.quick("ledger", "witness", "--key", "../ci.key", "--store", "../memory.json", "--vkey", vkey, *words)


def honest(root: Path) -> Repo:
    """The repository before anything was done to it; elsewhere are a checkpoint, commits, a witness."""
    root.mkdir(parents=True)
    repo = Repo(make_repository(root))
    repo.quick("init", env=PERSON, typed="y", check=0)
    subprocess.run(["git", "add", "-A"], cwd=root, env=_ENVIRONMENT, check=True)
    commit(repo, "Governed")
    subprocess.run(["git", "tag", "start"], cwd=root, env=_ENVIRONMENT, check=True)
    repo.quick("ledger", "checkpoint", "--install-hook", check=0)
    for lines in (60, 110, 148):
        grow(repo, lines - repo.lines())
        if lines == 110:
            shutil.copytree(repo.state, beside(repo, "backup"))
        commit(repo, f"At {lines}")
    repo.quick("ledger", "checkpoint", "--out", "../kept.note", check=0)
    beside(repo, "ledger.vkey").write_text(vkey_of(repo))
    repo.quick("ledger", "witness", "--new-key", "--name", "ci.example.org/shop", "--key", "../ci.key", check=0)
    signed = witness(repo, "--first", "../kept.note", "--state", "state", "--out", "../cosigned.note")
    assert signed.code == 0, signed.err
    grow(repo, 2)
    return repo


# --- what the adversary does


def rewrite(repo: Repo) -> None:
    bodies = records(repo)
    for record in bodies[FROM:]:
        if record["kind"] == "decision":
            record["data"]["outcome"] = "forged"
    write_lines(repo, bodies)


def cut(repo: Repo) -> None:
    write_lines(repo, records(repo)[:FROM])


def put_back(repo: Repo) -> None:
    shutil.rmtree(repo.state)
    shutil.copytree(beside(repo, "backup"), repo.state)


def take_away(repo: Repo) -> None:
    shutil.rmtree(repo.state)


def fork(repo: Repo) -> None:
    """Back to a checkpoint that was signed, and on from there otherwise, under the same key."""
    put_back(repo)
    agree(repo)
    grow(repo, 60, "another price")


def swap_key(repo: Repo) -> None:
    bodies = records(repo)
    forger = SigningKey.generate(f"autopilot/{bodies[0]['ledger']}")
    for record in bodies:
        if record["kind"] == "key.rotated":
            record["data"].update(to=forger.id, vkey=forger.verifier.encode())
    write_lines(repo, bodies)
    shutil.rmtree(repo.state / "keys")
    (repo.state / "keys").mkdir(mode=0o700)
    secret = repo.state / "keys" / f"{forger.id}.key"
    secret.touch(mode=0o600)
    secret.write_text(forger.encode())


def write_lines(repo: Repo, bodies: list[dict[str, object]]) -> None:
    """The lines with all hashes recomputed; the marker in the git directory stays as it was."""
    marker = repo.root / ".git" / "autopilot.id"
    before = marker.read_bytes()
    write_chain(repo, bodies)
    marker.write_bytes(before)


def agree(repo: Repo) -> None:
    """Make all that remembers on this machine agree with what stands there now."""
    marker = repo.root / ".git" / "autopilot.id"
    if not repo.segment.exists():
        marker.unlink(missing_ok=True)
        return
    if (repo.state / "ledger" / "checkpoints").exists():
        drop_own_checkpoints(repo)
    marker.write_text(f"{records(repo)[0]['ledger']}\n{repo.lines()}\n")


# --- who is asked


def ask_verify(repo: Repo) -> Result:
    return repo.quick("ledger", "verify")


def ask_checkpoint(repo: Repo) -> Result:
    return repo.quick(
        "ledger", "verify", "--checkpoint", "../kept.note", "--vkey", beside(repo, "ledger.vkey").read_text()
    )


def ask_commits(repo: Repo) -> Result:
    return repo.quick("ledger", "verify", "--anchors", "start..HEAD", "--vkey", beside(repo, "ledger.vkey").read_text())


def ask_witness(repo: Repo) -> Result:
    """The adversary signs what stands there now, if he can, and asks for the witness's signature."""
    made = repo.quick("ledger", "checkpoint", "--out", "../new.note")
    return witness(repo, "../new.note" if made.code == 0 else "../kept.note", "--state", "state")


Asked = Callable[[Repo], Result]
WAYS: dict[str, Asked] = {
    "ledger verify": ask_verify,
    "with the kept checkpoint": ask_checkpoint,
    "with the commits": ask_commits,
    "the witness": ask_witness,
}


@dataclass(frozen=True)
class Act:
    """What is done, and what each way answers: exit code and reason, plainly and with everything made to agree.

    `signed`: the adversary signs the new history with the ledger's own key as well.
    """

    name: str
    do: Callable[[Repo], None]
    plain: tuple[int, str]
    agreeing: dict[str, tuple[int, str]] = field(default_factory=dict)
    signed: bool = False


ELSEWHERE = ("with the kept checkpoint", "with the commits")
ACTS = (
    Act(
        "rewritten from entry 100, all hashes recomputed",
        rewrite,
        (3, "rewritten"),
        {**dict.fromkeys(ELSEWHERE, (3, "rewritten")), "the witness": (3, "forked")},
    ),
    Act(
        "the tail cut to an older valid state",
        cut,
        (3, "truncated"),
        {**dict.fromkeys(ELSEWHERE, (3, "rolled_back")), "the witness": (1, "older_checkpoint")},
    ),
    Act(
        "an old state directory put back",
        put_back,
        (3, "rolled_back"),
        {**dict.fromkeys(ELSEWHERE, (3, "rolled_back")), "the witness": (1, "older_checkpoint")},
    ),
    Act(
        "the state directory removed",
        take_away,
        (3, "missing"),
        {**dict.fromkeys(ELSEWHERE, (3, "missing")), "the witness": (3, "ledger_missing")},
    ),
    Act(
        "a fork: another history from one checkpoint",
        fork,
        (0, ""),
        {**dict.fromkeys(ELSEWHERE, (3, "forked")), "the witness": (3, "forked")},
        signed=True,
    ),
    Act(
        "the key swapped, and the lines that name it",
        swap_key,
        (3, "unsigned"),
        {**dict.fromkeys(ELSEWHERE, (3, "rewritten")), "the witness": (3, "unsigned")},
    ),
)


@dataclass(frozen=True)
class Answer:
    """One answer, and whether it is the one that was expected."""

    act: str
    way: str
    expected: tuple[int, str]
    result: Result

    @property
    def right(self) -> bool:
        """Whether the exit code is the expected one, and people are told the reason and what to do next."""
        code, reason = self.expected
        told = f"{self.result.out}{self.result.err}"
        return self.result.code == code and reason in told and (code == 0 or "next: " in told)

    def lines(self) -> list[str]:
        """What a user sees."""
        return [line for line in f"{self.result.out}{self.result.err}".split("\n") if line.strip()]


def tried(repo: Callable[[], Repo], act: Act) -> list[Answer]:
    """Do it to a fresh copy, plainly; do it to another and make everything agree; ask everybody."""
    plain = repo()
    act.do(plain)
    answers = [Answer(act.name, "ledger verify, nothing covered up", act.plain, ask_verify(plain))]
    for way, ask in WAYS.items():
        covered = repo()
        act.do(covered)
        agree(covered)
        if act.signed:
            assert covered.quick("ledger", "checkpoint").code == 0
        # Without anything kept elsewhere there is nothing left that could tell; that a ledger should be here at all is.
        silent = (2, "not_a_workspace") if act.do is take_away else (0, "")
        answers.append(Answer(act.name, way, act.agreeing.get(way, silent), ask(covered)))
    return answers


def main(words: list[str]) -> int:
    """Try them, print the table."""
    wrong = asked = 0
    with tempfile.TemporaryDirectory(prefix="rewriting-") as home:
        honest(Path(home) / "honest" / "shop")
        count = iter(range(1000))

        def fresh() -> Repo:
            target = Path(home) / f"copy-{next(count)}"
            shutil.copytree(Path(home) / "honest", target, symlinks=True)
            return Repo(target / "shop")

        for act in (act for act in ACTS if all(word in act.name for word in words)):
            print(f"\n{act.name}", flush=True)
            for answer in tried(fresh, act):
                asked, wrong = asked + 1, wrong + (not answer.right)
                note = "" if answer.right else f"   NOT AS IT MUST BE: {answer.expected}"
                print(f"  {answer.way:<34} exit {answer.result.code}{note}")
                for line in answer.lines():
                    print(f"  {'':<34}   {line[:150]}")
    print(f"\n{asked} answers, {asked - wrong} as they must be, {wrong} not")
    return 1 if wrong or not asked else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
