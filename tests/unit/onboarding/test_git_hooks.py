"""What is done about a hook, for every pair of files that can be there; and the text of ours.

Red without: the look whether a hook is ours, whether the one aside is another, and the shell's quoting of the path.
"""

from __future__ import annotations

import subprocess

import pytest

from autopilot.onboarding.git_hooks import (
    HookFiles,
    HookPlan,
    commit_msg_hook,
    is_ours,
    plan_install,
    plan_removal,
    shown_change,
)

OURS = commit_msg_hook("/opt/python", lenient=False)
OLDER = commit_msg_hook("/opt/other", lenient=True)
FOREIGN, ANOTHER = b"#!/bin/sh\nexit 0\n", b"\x7fELF"


@pytest.mark.parametrize(
    ("present", "aside", "plan"),
    [
        (None, None, HookPlan(text=OURS)),
        (OURS, None, HookPlan()),
        (OURS, FOREIGN, HookPlan()),
        (OLDER, FOREIGN, HookPlan(text=OURS)),
        (None, FOREIGN, HookPlan(text=OURS)),
        (FOREIGN, None, HookPlan(move_aside=True, text=OURS)),
        (FOREIGN, FOREIGN, HookPlan(move_aside=True, text=OURS)),
        (b"", None, HookPlan(move_aside=True, text=OURS)),
        (ANOTHER, None, HookPlan(move_aside=True, text=OURS)),
    ],
)
def test_how_it_is_put_in(present: bytes | None, aside: bytes | None, plan: HookPlan) -> None:
    assert plan_install(HookFiles(present, aside), OURS) == plan


@pytest.mark.parametrize(
    ("present", "aside", "plan"),
    [
        (None, None, HookPlan()),
        (FOREIGN, None, HookPlan()),
        (OURS, None, HookPlan(remove=True)),
        (OLDER, FOREIGN, HookPlan(remove=True, bring_back=True)),
        (None, FOREIGN, HookPlan(bring_back=True)),
    ],
)
def test_how_it_is_taken_out(present: bytes | None, aside: bytes | None, plan: HookPlan) -> None:
    assert plan_removal(HookFiles(present, aside)) == plan


def test_of_two_that_are_not_ours_none_is_touched() -> None:
    files = HookFiles(FOREIGN, ANOTHER)
    for plan in (plan_install(files, OURS), plan_removal(files)):
        assert (plan.verdict.codes(), plan.changes) == (("hook_in_the_way",), False)


def test_a_hook_is_ours_by_its_second_line() -> None:
    assert all(map(is_ours, (OURS, OLDER)))
    for text in (None, b"", b"#!/bin/sh", FOREIGN, ANOTHER, b"echo\n\n" + OURS):
        assert not is_ours(text)


def test_the_change_is_shown_as_a_diff() -> None:
    files = HookFiles(FOREIGN, None)
    shown = shown_change("commit-msg", files, plan_install(files, OURS))
    assert shown.startswith("--- a/commit-msg\n+++ b/commit-msg\n")
    assert "-exit 0\n" in shown
    assert shown_change("commit-msg", HookFiles(OURS, None), HookPlan()) == ""
    back = shown_change("commit-msg", HookFiles(OURS, FOREIGN), plan_removal(HookFiles(OURS, FOREIGN)))
    assert "+exit 0\n" in back


@pytest.mark.parametrize("lenient", [False, True])
def test_it_is_a_script_whatever_the_interpreters_path(lenient: bool) -> None:
    text = commit_msg_hook("/a b/it's $(here)/python", lenient=lenient)
    done = subprocess.run(["sh", "-n"], input=text, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    asked = subprocess.run(["sh"], input=text.replace(b" -I -m", b"\nexit 9 #"), capture_output=True, text=False)
    assert b"it's $(here)/python" in asked.stderr
