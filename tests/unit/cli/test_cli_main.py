"""Finding the command, usage errors, exit codes of every family."""

from __future__ import annotations

import subprocess

import pytest
from cli_repo import COMMAND, Repo

from autopilot.cli import failure, main
from autopilot.kernel.errors import (
    AutopilotError,
    ContractError,
    IntegrityError,
    MissingComponentError,
    RefusedError,
    StorageError,
)
from autopilot.kernel.reasons import Reason, Verdict


def test_help_lists_every_command_and_no_command_is_a_usage_error(plain: Repo) -> None:
    shown = plain.run("--help", check=0)
    assert all(f"  {name} " in shown.out for name in main.COMMANDS)
    assert plain.run().code == 2


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (("frobnicate",), "frobnicate"),
        (("task",), "autopilot task"),
        (("task", "opn"), "autopilot task"),
        (("task", "open", "T-2"), "autopilot task open"),
        (("advance", "--too", "SPEC"), "autopilot advance"),
        (("advance",), "autopilot"),
        (("lease", "acquire", "T-1", "--actor-kind", "engine"), "autopilot lease acquire"),
        (("guard", "check", "--tool", "Read"), "autopilot guard check"),
        (("graph", "--format", "png"), "autopilot graph"),
        (("watch", "--interval", "0"), "autopilot watch"),
        (("status", "--jso"), "autopilot status"),
    ],
)
def test_a_usage_error_says_what_is_wrong_on_stderr_and_as_json(repo: Repo, words: tuple[str, ...], where: str) -> None:
    spoken = repo.quick(*words)
    assert (spoken.code, spoken.out) == (2, "")
    assert where in spoken.err
    written = repo.quick(*words, "--json")
    assert written.code == 2
    assert written.json["error"]["family"] == "contract"
    assert [(r["code"], r["where"]) for r in written.json["error"]["reasons"]] == [("bad_usage", where)]


def test_a_near_name_is_suggested(plain: Repo) -> None:
    assert "did you mean `autopilot status`?" in plain.run("statsu").err


def test_options_may_stand_before_the_command_and_before_the_verb(repo: Repo) -> None:
    for words in (("--json", "task", "list"), ("task", "--json", "list"), ("task", "list", "--json")):
        assert repo.run(*words, check=0).shaped("task list")["tasks"][0]["id"] == "T-1"
    elsewhere = Repo(repo.root.parent)
    assert elsewhere.run("-C", str(repo.root), "task", "list", "--json", check=0).json["tasks"]


@pytest.mark.parametrize(("name", "value"), [("AUTOPILOT_ACTOR_KIND", "engine"), ("AUTOPILOT_LEASE", "seven")])
def test_a_variable_that_cannot_be_used_is_refused(repo: Repo, name: str, value: str) -> None:
    assert repo.run("advance", "T-1", "--json", env={name: value}).codes == ["bad_usage"]


def test_outside_of_a_repository_and_without_a_ledger(plain: Repo) -> None:
    assert plain.run("status", "--json").codes == ["not_a_workspace"]
    bare = Repo(plain.root.parent)
    for words in (("task", "list"), ("status",), ("init",), ("doctor",)):
        result = bare.run(*words, "--json")
        assert (result.code, result.codes) == (2, ["not_a_repository"])


def test_a_reader_that_goes_away_is_no_failure(repo: Repo) -> None:
    log = subprocess.Popen(
        [*COMMAND, "ledger", "log"],
        cwd=repo.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    assert log.stdout is not None
    assert log.stderr is not None
    log.stdout.close()
    shown = log.stderr.read()
    log.stderr.close()
    assert log.wait() == 0
    assert b"Traceback" not in shown


def _refused(code: str, subject: str = "") -> AutopilotError:
    return RefusedError(Verdict((Reason(code, subject=subject),)))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (_refused("tests_failed"), 1),
        (_refused("out_of_sequence"), 1),
        (_refused("stale_fence"), 5),
        (_refused("isolation_missing"), 6),
        (_refused("evidence_edited"), 3),
        (_refused("tests_changed", "ab" * 32), 4),
        (ContractError("unknown_task"), 2),
        (IntegrityError("bad_hash"), 3),
        (MissingComponentError("isolation_missing"), 6),
        (StorageError("lock_timeout"), 5),
        (StorageError("disk_full"), 6),
        (StorageError("sync_failed"), 3),
        (RuntimeError("a bug"), 70),
    ],
)
def test_each_family_has_its_exit_code(error: Exception, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert failure.report(error, as_json=True) == code
    captured = capsys.readouterr()
    assert '"schema_version": 1' in captured.out
    assert failure.EXIT_CODES[code][0] in captured.err


def test_control_characters_of_a_reason_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "\x1b[2Jnothing\u202e to see\r\nnext: rm -rf /"
    failure.report(RefusedError(Verdict((Reason("tests_failed", detail=evil, where=evil),))), as_json=False)
    shown = capsys.readouterr().err
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\r" not in shown
    assert not any(line.startswith("next: rm") for line in shown.splitlines())
