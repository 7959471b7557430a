"""The pages say what the program does; the completion scripts are scripts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cli_repo import Repo

from autopilot.cli import completion, reference
from autopilot.cli.main import COMMANDS

PAGES = Path(__file__).parents[3] / "docs" / "reference"
# What appends or writes: each must be able to tell first.
MUTATING = {
    "init", "next", "advance", "backtrack", "verify", "approve", "reject", "watch",
    "task open", "task close", "task resume", "evidence add", "evidence export", "attest check", "attest baseline",
    "lease acquire", "lease renew", "lease release", "lease force", "guard check", "flags set", "ledger repair",
    "ledger checkpoint", "ledger export", "ledger witness", "store setup", "store migrate",
}  # fmt: skip


@pytest.mark.parametrize(("name", "text"), list(reference.pages()))
def test_a_page_is_current(name: str, text: str) -> None:
    where = name.removesuffix(".md")
    assert (PAGES / name).read_text() == text, f"run: python -m autopilot.cli.reference {where} > docs/reference/{name}"


def test_what_mutates_and_nothing_else_has_a_dry_run() -> None:
    having = {" ".join(words.path) for words in completion.vocabulary() if "--dry-run" in words.flags}
    assert having == MUTATING


def test_every_command_answers_in_json() -> None:
    leaves = [words for words in completion.vocabulary() if not words.verbs and words.flags]
    assert all("--json" in words.flags for words in leaves)
    told = {name.partition(" --")[0] for name in reference.SHAPES}
    assert {" ".join(words.path) for words in leaves} - {"demo", "bench"} == told


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command(plain: Repo, shell: str) -> None:
    script = plain.run("completion", shell, check=0).out
    assert all(name in script for name in COMMANDS)
    assert "acquire" in script
    plain.run("completion", shell, "--json", check=0).shaped("completion")


def test_the_bash_script_completes(plain: Repo) -> None:
    script = plain.run("completion", "bash", check=0).out
    ask = "COMP_WORDS=(autopilot lease ac); COMP_CWORD=2; _autopilot; echo ${COMPREPLY[@]}"
    done = subprocess.run(["bash", "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["acquire"]
