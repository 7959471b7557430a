"""The public corpus of destructive and disguised commands: none of them is taken for reading."""

import os
import tomllib
from pathlib import Path

import pytest

from autopilot.guard.commands import read_line
from autopilot.guard.tools import HOST, PROCESS, READ, SEARCH, VCS_READ

from .test_decision import PHASES, bash

HARMLESS = {READ, SEARCH, VCS_READ, HOST, PROCESS}


def cases(*folders):
    """(command, expected) of each case; skipped without the corpus."""
    data = os.environ.get("AUTOPILOT_TEST_DATA")
    if not data:
        pytest.skip("AUTOPILOT_TEST_DATA is not set")
    found = []
    for folder in folders:
        for path in sorted((Path(data) / "corpora/shell-commands" / folder).glob("*.toml")):
            for case in tomllib.loads(path.read_text())["case"]:
                if "command" not in case:
                    continue  # canonical.toml has whole hook inputs too
                found.append((case["command"], case.get("expected") or case.get("expected_decision")))
    assert found
    return found


def reads_only(command):
    need = read_line(command)
    return need.kind == "ok" and not need.writes and set(need.capabilities) <= HARMLESS


@pytest.mark.parametrize("folder", ["true_positives", "bypass_attempts"])
def test_nothing_destructive_is_reading(folder):
    lines = cases(folder)
    assert [command for command, _ in lines if reads_only(command)] == []
    for command, _ in lines:
        for phase in PHASES:
            if phase != "IMPLEMENT":
                assert bash(command, phase).decision == "deny", (command, phase)


def test_what_the_corpus_denies_is_never_reading():
    lines = cases("edge_cases", "false_positives", "")
    denied = [command for command, expected in lines if expected == "deny"]
    assert [command for command in denied if reads_only(command)] == []


def test_every_line_gets_an_answer_in_every_phase():
    for command, _ in cases("true_positives", "bypass_attempts", "edge_cases", "false_positives", ""):
        assert {bash(command, phase).decision for phase in PHASES} <= {"allow", "deny"}


@pytest.mark.parametrize(
    "command",
    ["git status", "git status --short --branch", "git log --oneline -10", "git diff HEAD~1", "git branch -a", "ls -la",
     "cat file.txt", "grep -r 'pattern' .", "find . -name '*.rs'", "git show HEAD", "cat .gitignore"],
)  # fmt: skip
def test_harmless_lines_are_reading(command):
    assert reads_only(command)
