"""What the design reserves to a person: an agent that calls itself one, with a variable or an option, gets nowhere.

The cheat is the same for every act: `AUTOPILOT_ACTOR_KIND=human` (or `--actor-kind human`), and no terminal. Each act
is also done by a person at a terminal, so that a refusal shows the missing terminal and nothing else. What is refused
is on the ledger, under the name that was claimed, and holds nobody's task.

Red without: `require_terminal` and `record` (cli/options.py, cli/impostor.py).
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cli_repo import AGENT, COMMAND, PERSON, Repo

from autopilot.cli.demo.project import make_repository

LIAR = {**AGENT, "AUTOPILOT_ACTOR_KIND": "human"}
NO_ONE = "0" * 64
# Where the ledger is lost or waits for its repair, there is nothing to record an attempt on.
OFF_THE_RECORD = ("replace a ledger", "repair a ledger")


@dataclass(frozen=True)
class Act:
    """One act of a person: its words, what must have happened before, and what it answers at a terminal."""

    words: tuple[str, ...]
    prepare: Callable[[Repo], object] = lambda repo: None
    at_terminal: int = 0


def _hold(repo: Repo) -> None:
    for _ in range(3):
        repo.quick("advance", "T-1", "--to", "VERIFY", check=1)


def _edit_settings(repo: Repo) -> None:
    settings = repo.root / "autopilot.toml"
    settings.write_text(settings.read_text() + "\n[thresholds]\ncoverage_percent = 1\n")


def _attest(repo: Repo) -> None:
    repo.quick("attest", "check", "T-1", "--prompt", "autopilot.toml", check=0)


ACTS = {
    "loosen a flag": Act(("flags", "set", "plan_lock", "off", "--reason", "x")),
    "force a lease": Act(("lease", "force", "T-1", "--reason", "x"), lambda r: r.quick("lease", "acquire", "T-1")),
    "resume a held task": Act(("task", "resume", "T-1", "--reason", "x"), _hold),
    "abandon a task": Act(("task", "close", "T-1", "--abandon", "--reason", "x")),
    "move a baseline": Act(("attest", "baseline", "T-1", "--prompt", "README.md", "--reason", "x"), _attest),
    "seal a changed configuration": Act(("init", "--yes"), _edit_settings),
    "replace a ledger": Act(
        ("init", "--replace-lost", "--reason", "x", "--yes"), lambda r: r.state.rename(r.root.parent / "gone")
    ),
    "repair a ledger": Act(
        ("ledger", "repair", "--reason", "x"), lambda r: (r.state / "ledger" / "POISONED").write_text("{}")
    ),
    "approve": Act(("approve", "T-1", "--subject", NO_ONE, "--reason", "x"), at_terminal=1),
    "reject": Act(("reject", "T-1", "--subject", NO_ONE, "--reason", "x"), at_terminal=1),
}


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("person") / "shop"
    root.mkdir()
    repo = Repo(make_repository(root))
    # The first `init` is nobody's privilege: scripts make governed repositories too.
    repo.quick("init", env=LIAR, check=0)
    repo.quick("task", "open", "T-1", "--title", "Take the discount off once in shop pricing", check=0)
    return root


@pytest.fixture
def repo(tmp_path: Path, stock: Path) -> Repo:
    shutil.copytree(stock, tmp_path / "shop", symlinks=True)
    return Repo(tmp_path / "shop")


def _record(repo: Repo) -> dict[str, bytes]:
    """Ledger, leases and marker, as they lie on disk."""
    kept = {name: data for name, data in repo.files().items() if name.startswith(("state/ledger/", "state/leases/"))}
    return {**kept, "marker": (repo.root / ".git" / "autopilot.id").read_bytes()}


@pytest.mark.parametrize("name", ACTS)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)], ids=["", "dry"])
def test_an_agent_that_calls_itself_a_person_is_refused(repo: Repo, name: str, dry: tuple[str, ...]) -> None:
    act = ACTS[name]
    act.prepare(repo)
    before = _record(repo)
    for environment, claim in ((LIAR, ()), (AGENT, ("--actor-kind", "human"))):
        refused = repo.quick(*act.words, *dry, *claim, "--json", env=environment)
        assert (refused.code, refused.codes) == (1, ["not_a_terminal"]), refused
        assert refused.json["error"]["reasons"][0]["remedy"]
        if dry or name in OFF_THE_RECORD:
            assert _record(repo) == before
            assert refused.json["error"]["seq"] is None, "a rehearsal names no line"
        else:
            _is_the_record_of(repo, refused.json["error"]["seq"], act.words)
    assert repo.quick(*act.words, *dry, env=AGENT).code != 0, "an agent that says so is refused as well"
    done = repo.person(*act.words, *dry)
    assert done.code == act.at_terminal, (done.out, done.err)
    assert "not_a_terminal" not in done.err


def _is_the_record_of(repo: Repo, seq: int, words: tuple[str, ...]) -> None:
    last = repo.quick("ledger", "log", "--last", "1", "--json", check=0).json["records"][0]
    assert (last["seq"], last["kind"], last["task"]) == (seq, "violation", None)
    assert last["actor"] == {"id": LIAR["AUTOPILOT_ACTOR"], "kind": "human", "session": LIAR["AUTOPILOT_SESSION"]}
    assert last["data"]["code"] == "not_a_terminal"
    assert last["data"]["where"].split()[0] == words[0]


def test_an_agent_that_keeps_claiming_to_be_a_person_holds_nobodys_task(repo: Repo) -> None:
    before = repo.lines()
    for _ in range(7):
        repo.quick("task", "resume", "T-1", "--reason", "x", env=LIAR, check=1)
    assert repo.lines() == before + 7
    repo.quick("lease", "acquire", "T-1", check=0)
    assert repo.quick("advance", "T-1", "--json").codes != ["task_held"]
    (task,) = repo.quick("status", "--json", check=0).json["tasks"]
    assert task["waiting_on"] == []


def test_without_a_ledger_the_claim_is_refused_all_the_same(repo: Repo) -> None:
    repo.state.rename(repo.root.parent / "gone")
    refused = repo.quick("task", "resume", "T-1", "--reason", "x", "--json", env=LIAR)
    assert (refused.code, refused.codes, refused.json["error"]["seq"]) == (1, ["not_a_terminal"], None)
    assert not repo.state.exists()


def test_answers_on_a_pipe_are_no_person(repo: Repo) -> None:
    _edit_settings(repo)
    before = repo.lines()
    for words in (ACTS["seal a changed configuration"].words, ("init",), ACTS["abandon a task"].words):
        done = subprocess.run(
            [*COMMAND, *words],
            cwd=repo.root,
            env={"PATH": "/usr/bin:/bin", **LIAR},
            input="y\ny\n",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, "not_a_terminal" in done.stderr) == (1, True), done
    lines = repo.quick("ledger", "log", "--json", check=0).json["records"][before:]
    assert {line["data"].get("code") for line in lines} == {"not_a_terminal"}


def test_what_is_no_privilege_needs_no_terminal(repo: Repo) -> None:
    for words in (
        ("flags", "set", "plan_lock", "enforce", "--reason", "as it was"),
        ("flags", "list"),
        ("status",),
        ("ledger", "log"),
        ("ledger", "verify"),
        ("task", "list"),
        ("lease", "show", "T-1"),
        ("next", "T-1"),
        ("init",),
    ):
        repo.quick(*words, env=PERSON, check=0)


@pytest.mark.parametrize("command", ["approve T-1 --subject x --reason y", "init", "advance T-1 --actor-kind human"])
def test_the_guard_lifts_nothing_for_a_variable(repo: Repo, command: str) -> None:
    asked = ("guard", "check", "--tool", "Bash", "--input", json.dumps({"command": f"autopilot {command}"}))
    denied = repo.quick(*asked, "--task", "T-1", "--json", env=LIAR)
    assert (denied.code, denied.json["rule"]) == (1, "deny.never")
    assert repo.person(*asked, "--task", "T-1", "--json").json["decision"] == "allow"
