"""Command lines of the engine itself: options before and behind the verb, and the folder they act in."""

import pytest

from autopilot.cli.completion import parser_of, sub_parsers
from autopilot.cli.main import _VALUED, _command_first
from autopilot.guard import engine_commands
from autopilot.guard.commands import read_line
from autopilot.guard.decision import ALLOW, DENY, decide, paths_named
from autopilot.guard.verdicts import NEVER, OK

ROOT = "/repo"
SNAPSHOT = {
    "task": "T-1",
    "phase": "VERIFY",
    "capabilities": ["read", "search", "vcs_read", "run_tests"],
    "root": ROOT,
    "state_dir": f"{ROOT}/state",
    "actor_kind": "agent",
}


def answer(line, resolved=None, tool="Bash", **more):
    """What the guard says; links are followed as `resolved` says, other paths are what they look like."""
    call = {"cmd" if tool == "exec_command" else "command": line, **more}
    real = {name: name if name[0] == "/" else f"{ROOT}/{name}" for name in paths_named(SNAPSHOT, tool, "", call)}
    return decide({**SNAPSHOT, "resolved": {**real, **(resolved or {})}}, tool, "", call)


@pytest.mark.parametrize("act", ["advance T-1", "status", "ledger log", "task open T-9 --title x", "lease acquire T-1"])
@pytest.mark.parametrize(
    "folder", ["-C /other/repo", "--directory /other/repo", "--directory=/other/repo", "-C ..", "-C src/../../other"]
)
def test_another_workspace_is_not_acted_on(folder, act):
    verb, _, rest = act.partition(" ")
    for line in (f"autopilot {folder} {act}", f"autopilot {act} {folder}", f"autopilot {verb} {folder} {rest}"):
        found = answer(line)
        assert found.decision == DENY, line
        assert found.rule in ("deny.outside", "deny.never"), (line, found.as_dict())


def test_a_folder_of_this_repository_is_allowed_where_it_is_not_a_link_elsewhere():
    for line in (
        "autopilot -C /repo/src advance T-1",
        "autopilot advance T-1 --directory src",
        "autopilot -C src status",
    ):
        assert answer(line).decision == ALLOW, line
        name = "/repo/src" if "/repo" in line else "src"
        assert answer(line, {name: "/other/repo"}).rule == "deny.outside", line
        assert decide(SNAPSHOT, "Bash", "", {"command": line}).decision == DENY, "not resolved"


@pytest.mark.parametrize("option", ["-C/other", "-C=/other", "-C", "--directory", "--directoryx /other", "'-C/o x'"])
def test_a_folder_in_a_form_that_is_not_read_is_refused(option):
    assert answer(f"autopilot advance T-1 {option}").rule == "deny.never"


def test_the_last_of_two_folders_does_not_hide_the_first():
    assert answer("autopilot advance T-1 -C src -C /other").rule == "deny.outside"
    assert answer("autopilot advance T-1 -C /other -C src").rule == "deny.outside"


def test_a_shell_that_starts_elsewhere_acts_elsewhere():
    for line in ("autopilot advance T-1", "autopilot advance T-1 -C ."):
        assert answer(line, tool="exec_command", workdir="/other/repo").rule == "deny.outside", line
    assert answer("autopilot advance T-1", tool="exec_command", workdir="/repo/src").decision == ALLOW
    linked = {"/repo/src": "/other/repo"}
    assert answer("autopilot advance T-1", linked, "exec_command", workdir="/repo/src").rule == "deny.outside"


@pytest.mark.parametrize(
    "line",
    [
        "autopilot advance T-1 --force",
        "autopilot --nosuchoption advance T-1",
        "autopilot --json --quiet advance T-1",
        "autopilot -x advance T-1",
        "autopilot --task T-1 advance T-1",
        "autopilot --task approve status",
        "autopilot --json=1 advance T-1",
        "autopilot -- approve T-1",
        "autopilot advance T-1 --state-dir=/tmp/x",
        "autopilot evidence export T-1 --out",
        "autopilot evidence export T-1 --output x",
        "autopilot lease --actor a force T-1",
        "autopilot lease -C src force T-1",
    ],
)
def test_an_option_that_is_not_known_is_the_strictest_class(line):
    assert answer(line).rule == "deny.never", line


def test_options_that_are_known_may_stand_before_the_verb():
    for line in (
        "autopilot --json --actor a --session s --actor-kind agent advance T-1",
        "autopilot --actor=a advance T-1 --to REVIEW --dry-run",
        "autopilot backtrack T-1 --to PLAN --reason '- the plan forgot a file'",
    ):
        assert answer(line).decision == ALLOW, line


def test_where_evidence_is_exported_to_is_a_path_that_is_written():
    assert answer("autopilot evidence export T-1").decision == ALLOW
    assert answer("autopilot evidence export T-1 --out src").rule == "deny.phase"
    assert answer("autopilot evidence export T-1 --out=state/ledger").rule == "deny.protected"
    assert answer("autopilot evidence export T-1 --out /tmp/x").rule == "deny.outside"


def test_a_signed_approval_is_carried_and_never_given():
    for line in (
        "autopilot approve T-1 --grant grant.note",
        "autopilot --json approve T-1 --grant=grant.note --dry-run",
    ):
        assert answer(line).decision == ALLOW, line
    for line in (
        "autopilot approve T-1 --subject abc --reason x",
        "autopilot approve T-1 --grant g --subject abc",
        "autopilot approve T-1 --grant g --key k",
        "autopilot approve T-1 --grant g --reason x",
        "autopilot approve T-1 --subject abc --request r",
        "autopilot approve T-1 --gran g",
        "autopilot reject T-1 --grant g",
        "autopilot approver keygen --name a --out k",
        "autopilot approver sign r --key k --reason x --out g",
        "autopilot approver show k",
    ):
        assert answer(line).rule == "deny.never", line
    assert answer("autopilot approver list").decision == ALLOW


WORDS = [
    ("-C", "advance", "approve", "T-1"),
    ("--actor", "advance", "approve"),
    ("--directory=advance", "approve"),
    ("--json", "--dry-run", "approve"),
    ("-C=x", "approve"),
    ("--session", "--json", "approve"),
]


@pytest.mark.parametrize("words", WORDS)
def test_guard_and_command_line_find_the_same_command(words):
    assert _command_first(list(words))[0] == "approve"
    assert engine_commands.judge(words).kind == NEVER
    assert set(_VALUED) == engine_commands._GLOBAL_OPTIONS


def test_every_option_of_an_agents_command_is_known_or_closed_on_purpose():
    # Ending a task is a person's; so is having the engine sign what leaves it (`evidence export --format in-toto`).
    closed = {"--abandon", "--format"}
    for verb, sub in engine_commands._PROCESS:
        parser = parser_of(verb)
        parser = sub_parsers(parser)[sub] if sub else parser
        for action in parser._actions:
            for option in action.option_strings:
                value = "" if action.nargs == 0 else " agent"
                need = read_line(f"autopilot {verb} {sub} T-1 {option}{value}".replace("  ", " "))
                assert (need.kind == OK) is (option not in closed), (verb, sub, option)
