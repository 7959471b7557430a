"""`autopilot approve` and `reject`: a person at a terminal, who saw the facts and typed the digits."""

from __future__ import annotations

import re

import pytest
from cli_repo import PERSON, Repo

from autopilot.approvals.subjects import Subject
from autopilot.kernel.callers import Caller
from autopilot.ledger.entry import Draft
from autopilot.wiring.full import Workspace

WHY = "one line\x1b[31m changed \u202ein tests/test_pricing.py\nWhat the engine knows\n  all is well"
WHO = ("--actor", "ada", "--session", "tty-1")


@pytest.fixture
def subject(repo: Repo) -> str:
    """A request that waits for a person, as the enforcer records it; its subject digest."""
    with Workspace.open(repo.root) as workspace:
        digest = "ab" * 32
        parts = {"ledger": workspace.ledger.ledger_id, "task": "T-1", "epoch": 0, "move": "STRATEGIZE->SPEC"}
        subject = Subject(**parts, kind="tests_changed", digest=digest).sha256
        request = {"subject": subject, "kind": "tests_changed", "move": parts["move"], "digest": digest, "why": WHY}
        caller = Caller("agent-7", "agent", "s-1")
        with workspace.ledger.transaction() as tx:
            data = {"requests": [request]}
            tx.append(Draft(kind="approval.requested", caller=caller, task="T-1", epoch=0, data=data))
    (repo.root / "shop" / "pricing.py").write_text("# changed\n")
    return subject


def _kinds(repo: Repo) -> list[str]:
    return [record["kind"] for record in repo.run("ledger", "log", "--json", check=0).json["records"]]


@pytest.mark.parametrize("name", ["approve", "reject"])
def test_without_a_terminal_it_is_refused(repo: Repo, subject: str, name: str) -> None:
    result = repo.run(name, "T-1", "--subject", subject, "--reason", "fine", "--json", env=PERSON)
    assert (result.code, result.codes) == (1, ["not_a_terminal"])
    assert not {"approval.granted", "approval.refused"} & set(_kinds(repo))


def test_the_facts_are_shown_and_the_digits_typed(repo: Repo, subject: str) -> None:
    code, shown = repo.at_terminal(subject[:8], "approve", "T-1", "--subject", subject, "--reason", "looked at", *WHO)
    assert code == 0, shown
    for fact in (subject, "ab" * 32, "STRATEGIZE->SPEC", "tests_changed", "agent-7", "1 files", "shop/pricing.py"):
        assert fact in shown
    grant = repo.run("ledger", "log", "--json", check=0).json["records"][-1]
    assert (grant["kind"], grant["actor"]["id"], grant["actor"]["kind"]) == ("approval.granted", "ada", "human")
    assert (grant["data"]["subject_sha256"], grant["data"]["advisory"]) == (subject, True)


def test_the_requesters_words_come_last_on_one_line_and_clean(repo: Repo, subject: str) -> None:
    _, shown = repo.at_terminal(subject[:8], "approve", "T-1", "--subject", subject[:10], "--reason", "ok", *WHO)
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    lines = [line.rstrip() for line in shown.splitlines()]
    assert lines.count("What the engine knows") == 1
    said = lines.index("What is said for it")
    assert lines[said + 1].startswith("  one line")
    assert "all is well" in lines[said + 1]


@pytest.mark.parametrize("typed", ["", "y", "yes", "00000000"])
def test_other_digits_are_no_approval(repo: Repo, subject: str, typed: str) -> None:
    code, shown = repo.at_terminal(typed, "approve", "T-1", "--subject", subject, "--reason", "looked at", *WHO)
    assert code == 1
    assert "not_confirmed" in shown
    assert "approval.granted" not in _kinds(repo)


def test_who_asked_does_not_approve(repo: Repo, subject: str) -> None:
    for who in (("--actor", "agent-7", "--session", "other"), ("--actor", "bob", "--session", "s-1")):
        code, shown = repo.at_terminal(subject[:8], "approve", "T-1", "--subject", subject, "--reason", "ok", *who)
        assert (code, "self_approval" in shown) == (1, True), shown
    code, shown = repo.at_terminal(
        subject[:8], "approve", "T-1", "--subject", subject, "--reason", "ok", *WHO, "--actor-kind", "agent"
    )
    assert (code, "human_only" in shown) == (1, True), shown


@pytest.mark.parametrize("digits", ["", "1234567", "0" * 64])
def test_a_subject_that_names_nothing(repo: Repo, subject: str, digits: str) -> None:
    code, shown = repo.at_terminal("", "approve", "T-1", "--subject", digits, "--reason", "ok", *WHO)
    assert (code, "unknown_subject" in shown) == (1, True), shown


def test_a_dry_run_asks_nothing_and_records_nothing(repo: Repo, subject: str) -> None:
    before = _kinds(repo)
    code, shown = repo.at_terminal("", "approve", "T-1", "--subject", subject, "--reason", "ok", "--dry-run", *WHO)
    assert code == 0, shown
    assert re.search("dry run: approved", shown)
    assert _kinds(repo) == before


def test_reject_withdraws_a_grant(repo: Repo, subject: str) -> None:
    waiting = repo.run("task", "show", "T-1", "--json", check=0).json["task"]["waiting_on"]
    assert [(reason["code"], reason["subject"]) for reason in waiting] == [("approval_needed", subject)]
    repo.at_terminal(subject[:8], "approve", "T-1", "--subject", subject, "--reason", "ok", *WHO)
    assert repo.run("task", "show", "T-1", "--json", check=0).json["task"]["waiting_on"] == []
    code, shown = repo.at_terminal(subject[:8], "reject", "T-1", "--subject", subject, "--reason", "no", *WHO)
    assert code == 0, shown
    assert _kinds(repo)[-1] == "approval.refused"
