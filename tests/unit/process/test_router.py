"""The router's snapshot: which task, which phase, whose settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from autopilot.kernel.callers import Caller
from autopilot.kernel.configuration import GuardSettings, Settings, ToolRegistration
from autopilot.kernel.events import ToolCallJudged
from autopilot.kernel.phases import PHASES, Phase
from autopilot.process.profiles import CODE_CHANGE
from autopilot.process.router import ToolCall, ToolRouter

AGENT = Caller("agent-7", "agent", "s-7")
WIDE = GuardSettings(
    network_hosts=("evil.example",),
    scratch=("/tmp",),
    tools=(ToolRegistration(server="s", tool="t", capability="read"),),
)


@pytest.mark.parametrize("phase", PHASES)
def test_the_capabilities_are_the_phase_s(lab: Any, phase: Phase) -> None:
    task = lab.open(at=phase)
    snapshot = ToolRouter(lab.engine).snapshot(task, AGENT)
    assert (snapshot["task"], snapshot["phase"]) == ("T-1", phase)
    assert tuple(snapshot["capabilities"]) == CODE_CHANGE.contract(phase).capabilities


def test_what_the_file_permits_is_not_what_was_sealed(lab: Any) -> None:
    task = lab.open(at=Phase.PR)
    lab.engine.settings = replace(Settings(), guard=WIDE)
    for given in (task, None):
        snapshot = ToolRouter(lab.engine).snapshot(given, AGENT)
        assert (snapshot["network_hosts"], snapshot["scratch"], snapshot["tools"]) == ([], [], [])


def test_what_the_file_takes_away_is_gone(lab: Any) -> None:
    task = lab.open(at=Phase.IMPLEMENT)
    lab.engine.settings = replace(Settings(), guard=GuardSettings(deny=("edit",)))
    (narrow,) = ToolRouter(lab.engine).snapshot(task, AGENT)["narrow"]
    assert "edit" not in narrow
    assert "read" in narrow


@pytest.mark.parametrize("mode", ["enforce", "observe", "off"])
def test_modes(lab: Any, mode: str) -> None:
    lab.open(at=Phase.SPEC)
    lab.append("flag.changed", task=None, data={"flag": "tool_guard", "from": "enforce", "to": mode, "reason": "r"})
    answer = ToolRouter(lab.engine).judge(ToolCall("Edit", {"file_path": "a.py"}, task="T-1"), caller=AGENT)
    assert answer.verdict.admitted == (mode != "enforce")
    assert len(lab.lines("tool.refused")) == (mode != "off")
    (event,) = [event for event in lab.events if isinstance(event, ToolCallJudged)]
    assert event.decision == ("deny" if mode == "enforce" else "allow")


def test_the_input_of_a_call_is_not_recorded(lab: Any) -> None:
    lab.open(at=Phase.SPEC)
    call = ToolCall("Write", {"file_path": "a.py", "content": "SECRET-1234"}, task="T-1")
    ToolRouter(lab.engine).check(call, caller=AGENT)
    (line,) = lab.lines("tool.refused")
    assert b"SECRET" not in line.body


@pytest.mark.parametrize("path", ["\0", "a" * 5000, "~/x", "\udcff"])
def test_a_path_that_cannot_be_resolved_is_a_refusal_and_no_crash(lab: Any, path: str) -> None:
    lab.open(at=Phase.IMPLEMENT)
    call = ToolCall("Edit", {"file_path": f"{path}/../state/ledger/head"}, task="T-1")
    assert not ToolRouter(lab.engine).check(call, caller=AGENT).admitted
