"""The guard: tools by phase, what is never an agent's, and what the file may not widen.

Red without: `decide` (guard/decision.py) behind `ToolRouter.judge`; `Engine.holding_settings` in `ToolRouter.snapshot`.
"""

from __future__ import annotations

import pytest
from governed import HUMAN, TASK, Governed, Prepare

from autopilot.cli.demo.honest import AGENT
from autopilot.kernel.phases import PHASES, Phase
from autopilot.process.router import ToolCall

ALLOWED_EVERYWHERE = (
    ("Read", {"file_path": "shop/pricing.py"}),
    ("Grep", {"pattern": "discounted"}),
    ("Bash", {"command": "git log --oneline"}),
    ("Bash", {"command": f"autopilot advance {TASK}"}),
    ("Bash", {"command": f"autopilot evidence add {TASK} notes.md"}),
)
NEVER = (
    ("Write", {"file_path": "state/ledger/head"}),
    ("Edit", {"file_path": "state/leases/leases.wal"}),
    ("Write", {"file_path": f"state/evidence/{TASK}/.superseded/0/x"}),
    ("Write", {"file_path": "state/evidence/.objects/aa/x"}),
    ("Bash", {"command": f"autopilot approve {TASK} --subject abc --reason fine"}),
    ("Bash", {"command": "autopilot flags set leases off"}),
    ("Bash", {"command": f"autopilot lease force {TASK}"}),
    ("Bash", {"command": f"autopilot task close {TASK} --abandon"}),
    ("Bash", {"command": "autopilot ledger repair"}),
    ("Bash", {"command": "autopilot init"}),
    ("Bash", {"command": "git clean -fdx"}),
    ("Bash", {"command": "rm -rf state"}),
    ("SomethingNew", {"anything": 1}),
)
EDITS = ("Edit", {"file_path": "shop/pricing.py", "old_string": "a", "new_string": "b"})
# capability: a call that needs it
NEEDS = {
    "edit": EDITS,
    "vcs_commit": ("Bash", {"command": "git commit -m done"}),
    "vcs_push": ("Bash", {"command": "git push origin main"}),
    "run_tests": ("Bash", {"command": "python -m pytest tests"}),
}
GIVEN = {
    "edit": {Phase.IMPLEMENT},
    "vcs_commit": {Phase.IMPLEMENT, Phase.PR},
    "vcs_push": {Phase.PR},
    "run_tests": {Phase.IMPLEMENT, Phase.VERIFY, Phase.REVIEW, Phase.PR, Phase.MONITOR},
}


def call(tool: str, tool_input: dict, task: str = TASK) -> ToolCall:
    return ToolCall(tool, tool_input, task=task)


def denied(governed: Governed, asked: ToolCall) -> tuple[str, ...]:
    """The codes of a refusal that is on the ledger; AssertionError if the call may run."""
    head = governed.workspace.ledger.view().head.seq
    answer = governed.workspace.router.judge(asked, caller=AGENT)
    assert not answer.verdict.admitted, f"{asked} may run ({answer.rule})"
    assert answer.seq is not None
    assert answer.seq > head
    line = next(iter(governed.workspace.ledger.entries(answer.seq, answer.seq + 1)))
    assert line.kind == "tool.refused"
    assert [reason["code"] for reason in line.data["reasons"]] == list(answer.verdict.codes())
    return answer.verdict.codes()


@pytest.mark.parametrize("phase", PHASES)
def test_each_phase_has_its_tools(at: Prepare, phase: Phase) -> None:
    governed = at(phase)
    where = governed.where
    for tool, tool_input in ALLOWED_EVERYWHERE:
        answer = governed.workspace.router.judge(call(tool, tool_input), caller=AGENT)
        assert answer.verdict.admitted, (tool, tool_input, answer)
    for tool, tool_input in NEVER:
        denied(governed, call(tool, tool_input))
    for capability, (tool, tool_input) in NEEDS.items():
        if phase in GIVEN[capability]:
            assert governed.workspace.router.check(call(tool, tool_input), caller=AGENT).admitted, capability
        else:
            assert "tool_out_of_phase" in denied(governed, call(tool, tool_input)), capability
    assert governed.workspace.ledger.view().state.counters["tool_calls_out_of_phase"] >= len(NEVER)
    assert governed.where == where


def test_the_evidence_folder_of_the_phase_may_be_written(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    router = governed.workspace.router
    mine = f"state/evidence/{TASK}/spec/spec.md"
    assert router.check(call("Write", {"file_path": mine}), caller=AGENT).admitted
    for other in (f"state/evidence/{TASK}/plan/plan.md", "state/evidence/T-2/spec/spec.md", f"{mine}/../../../../x"):
        denied(governed, call("Write", {"file_path": other}))


def test_a_link_is_judged_by_where_it_leads(at: Prepare) -> None:
    governed = at(Phase.IMPLEMENT)
    (governed.root / "shop/ledger").symlink_to(governed.state_dir / "ledger")
    assert "tool_path_protected" in denied(governed, call("Edit", {"file_path": "shop/ledger/head"}))


@pytest.mark.parametrize("task", ["", "T-2"])
def test_without_a_task_only_reading_is_left(at: Prepare, task: str) -> None:
    governed = at(Phase.IMPLEMENT)
    assert governed.workspace.router.check(call("Read", {"file_path": "README.md"}, task), caller=AGENT).admitted
    assert "tool_no_context" in denied(governed, call(*EDITS, task))


def test_an_ended_task_gives_no_tools(at: Prepare) -> None:
    governed = at(Phase.IMPLEMENT)
    governed.workspace.tasks.abandon(TASK, reason="not worth it", caller=HUMAN)
    denied(governed, call(*EDITS))


def test_what_the_file_permits_since_is_inert(at: Prepare) -> None:
    # An agent registers a tool of its own and opens a host and a folder; none of it was sealed.
    governed = at(Phase.IMPLEMENT)
    governed.settings(
        lambda text: (
            text
            + '\n[guard]\nnetwork_hosts = ["evil.example"]\nscratch = ["/tmp"]\n'
            + '\n[[guard.tools]]\nserver = "mine"\ntool = "anything"\ncapability = "read"\n'
        )
    )
    for task in (TASK, ""):
        denied(governed, ToolCall("anything", {"x": 1}, server="mine", task=task))
        denied(governed, call("Write", {"file_path": "/tmp/out.txt"}, task))


def test_what_the_file_takes_away_is_gone_at_once(at: Prepare) -> None:
    governed = at(Phase.IMPLEMENT)
    assert governed.workspace.router.check(call(*EDITS), caller=AGENT).admitted
    governed.settings(lambda text: text + '\n[guard]\ndeny = ["edit"]\n')
    denied(governed, call(*EDITS))


def test_explaining_records_nothing(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    head = governed.workspace.ledger.view().head
    assert not governed.workspace.router.judge(call(*EDITS), caller=AGENT, record=False).verdict.admitted
    assert governed.workspace.ledger.view().head == head


def test_a_refused_call_does_not_stop_a_move(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    denied(governed, call(*EDITS))
    governed.agent.prepare(Phase.SPEC)
    governed.advance()
    assert governed.task.stage == Phase.PLAN


def test_a_refusal_names_what_is_allowed(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    answer = governed.workspace.router.judge(call(*EDITS), caller=AGENT)
    assert set(answer.allowed_now) >= {"read", "search", "vcs_read"}
    assert all(reason.remedy for reason in answer.verdict.reasons)
