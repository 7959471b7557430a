"""What a refusal tells its reader to do next can be typed as it stands, and an error says what is wrong."""

from __future__ import annotations

import re

import pytest
from cli_repo import AGENT, Repo

from autopilot.cli import remedies
from autopilot.kernel.reason_codes import REASON_CODES
from autopilot.kernel.reasons import Reason

SUBJECT = "ab" * 32


@pytest.mark.parametrize("code", [code for code, known in REASON_CODES.items() if re.search(r"\bTASK\b", known.remedy)])
def test_the_task_stands_in_every_remedy_that_speaks_of_one(code: str) -> None:
    shown = remedies.spelt_out(Reason(code).as_dict(), "T-7")["remedy"]
    assert "T-7" in shown
    assert not re.search(r"(?<!AUTOPILOT_)TASK", shown)


def test_the_subject_stands_in_the_command_that_approves() -> None:
    for code in ("approval_needed", "outside_plan"):
        shown = remedies.spelt_out(Reason(code, subject=SUBJECT).as_dict(), "T-7")["remedy"]
        assert shown.count(f"`autopilot approve T-7 --subject {SUBJECT} --reason TEXT` at a terminal") == 1


@pytest.mark.parametrize("task", ["", "no task", "$(rm -rf .)", "a/b"])
def test_what_is_no_task_id_is_not_put_into_a_command(task: str) -> None:
    reason = Reason("lease_missing").as_dict()
    assert remedies.spelt_out(reason, task) == reason


def test_a_refusal_speaks_of_the_task_it_is_about(repo: Repo) -> None:
    spoken = repo.quick("advance", "T-1", "--to", "PR")
    assert "`autopilot next T-1` names the next" in spoken.err
    by_variable = repo.quick("lease", "renew", "--json", env={**AGENT, "AUTOPILOT_TASK": "T-1"})
    assert by_variable.json["error"]["reasons"][0]["remedy"] == "run `autopilot lease acquire T-1`"


def test_a_held_task_says_so_wherever_it_is_asked_about(repo: Repo) -> None:
    for _ in range(3):
        repo.quick("advance", "T-1", "--to", "VERIFY", check=1)
    command = "autopilot task resume T-1 --reason TEXT"
    for words in (("status",), ("task", "show", "T-1"), ("next", "T-1"), ("task", "list", "--json")):
        assert command in repo.quick(*words, check=0).out, words
    assert repo.quick("next", "T-1").err.splitlines()[-1] == f"next: a person runs `{command}` at a terminal"
    assert command in repo.quick("advance", "T-1").err


def test_next_says_each_thing_once(repo: Repo) -> None:
    repo.quick("next", "T-1", "--write", check=0)
    shown = repo.quick("next", "T-1", check=0).out.splitlines()
    hints = [line for line in shown if "skeleton_unchanged" in line]
    assert len(hints) == 1
    assert re.search(r"\(\d places\)$", hints[0])
    missing = repo.quick("next", "T-1", "--json", check=0).json["missing"]
    assert len(missing) == len({str(item) for item in missing}) == 1
    (repo.state / "evidence" / "T-1" / "strategize" / "strategy.md").write_text("# Strategy\n")
    shown = repo.quick("next", "T-1", check=0).out.splitlines()
    assert sum("section_missing" in line for line in shown) == 5
    assert sum(line == "    add the section" for line in shown) == 1


def test_the_log_shows_the_hash_of_each_line(repo: Repo) -> None:
    hashes = [line.split('"')[3][:12] for line in repo.segment.read_text().splitlines()]
    assert [line.split()[1] for line in repo.quick("ledger", "log", check=0).out.splitlines()] == hashes


def test_a_phase_that_fails_its_checks_names_the_line_that_says_so(repo: Repo) -> None:
    refused = repo.quick("verify", "T-1", "--json")
    seq = refused.json["error"]["seq"]
    record = repo.quick("ledger", "log", "--json", check=0).json["records"][seq]
    assert (record["kind"], record["task"], record["seq"]) == ("gate.verdict", "T-1", seq)
    assert repo.quick("verify", "T-1", "--dry-run", "--json").json["error"]["seq"] is None


CLAIMS = ("edits are found by the chain", "a ledger rewritten whole", "only against a checkpoint kept elsewhere")


def test_the_trust_line_claims_no_more_than_holds(repo: Repo) -> None:
    repo.quick("status", check=0)
    for words in (("status",), ("doctor",)):
        shown = repo.run(*words, check=0).out
        assert all(claim in shown for claim in CLAIMS), shown
        assert "tampering is detected" not in shown


@pytest.mark.parametrize(
    ("words", "said", "remedy"),
    [
        (("--json",), "only options", "autopilot --help"),
        (("task",), "open, list, show, close, resume", "autopilot task --help"),
        (("next",), "TASK is missing", "autopilot task list"),
        (("evidence", "add", "T-1"), "TASK or FILE is missing", "name both"),
        (("evidence", "show", "T-1"), "TASK or NAME is missing", "name both"),
        (("evidence", "show", "T-1", "nothing"), "no sealed nothing", "autopilot evidence list T-1"),
        (("evidence", "show", "T-1", "strategy.md", "--phase", "X"), "'X' is not a phase", "STRATEGIZE"),
        (("evidence", "add", "T-1", "README.md"), "not an artifact name", "--as NAME"),
        (("attest", "check", "T-1", "--prompt", "nowhere"), "no such file", "--prompt FILE"),
        (("attest", "check", "T-1", "--prompt", "shop"), "not a regular file", "--prompt FILE"),
        (("guard", "check", "--tool", "Read", "--input", "{"), "Expecting", "--input '{"),
        (("ledger", "log", "--kind", "task.open"), "no such kind", "task.opened"),
        (("ledger", "log", "--last", "-1"), "not a number from 1 up", "ledger log --help"),
        (("watch", "--interval", "x"), "not a number from 1 up", "watch --help"),
        (("watch", "--interval", "100000"), "more than a day", "watch --help"),
        (("task", "close", "T-1", "--reason", "x"), "only --abandon", "task close --help"),
        (("task", "close", "T-1", "--abandon"), "why is it abandoned?", "--reason TEXT"),
        (("task", "list", "-C", "no/such/folder"), "no such folder", "the repository's folder"),
    ],
)
def test_an_error_says_what_is_wrong_and_what_to_do(repo: Repo, words: tuple[str, ...], said: str, remedy: str) -> None:
    result = repo.quick(*words)
    assert result.code == 2, result
    wrong, follows = result.err.splitlines()[-2:]
    assert said in wrong, result.err
    assert follows.startswith("    next: ")
    assert remedy in follows, result.err


def test_help_of_a_command_can_be_asked_for_in_two_ways(repo: Repo) -> None:
    assert repo.quick("help", "lease", check=0).out == repo.quick("lease", "--help", check=0).out
    assert "usage: autopilot COMMAND" in repo.quick("help", "nothing", check=0).out


def test_a_lost_lease_log_is_repaired_and_not_restored(repo: Repo) -> None:
    (repo.state / "leases" / "leases.wal").unlink()
    shown = repo.quick("ledger", "verify")
    assert (shown.code, shown.err.splitlines()[-1]) == (3, f"next: {REASON_CODES['lease_log_corrupt'].remedy}")
    assert "--reason TEXT" in shown.err
