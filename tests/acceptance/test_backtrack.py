"""Backtracks: always open to a task that fails its phase, and what they retire is worth nothing.

Red without: `entered_epoch`, `evidence` and `grants` in `_backtrack` (process/fold.py); `RunnerDesk.retire`;
`check_live` (evidence/artifacts.py).
"""

from __future__ import annotations

import pytest
from governed import HUMAN, TASK, Governed, Prepare, expect_refusal

from autopilot.cli.demo.honest import AGENT
from autopilot.kernel.errors import ContractError
from autopilot.kernel.phases import PHASES, Phase


def back(governed: Governed, to: Phase | str, reason: str = "it has to be done anew") -> int:
    """A backtrack by the implementer; the line's number."""
    return governed.workspace.enforcer.backtrack(TASK, to, reason=reason, caller=AGENT).seq


@pytest.mark.parametrize("origin", PHASES[1:])
def test_from_every_phase_to_every_earlier_one(at: Prepare, origin: Phase) -> None:
    governed = at(origin)
    epoch = 0
    # The nearest first; what lies between is not walked again, so the next one starts from there.
    for target in reversed(PHASES[: origin.position]):
        back(governed, target)
        epoch += 1
        assert governed.where == (target, epoch)
        live = {item.phase for item in governed.task.evidence.values()}
        assert live == {str(phase) for phase in PHASES[: target.position]}
    assert governed.workspace.ledger.view().state.counters["phase_backtracks"] == epoch


@pytest.mark.parametrize("origin", PHASES)
def test_a_backtrack_does_not_lead_on(at: Prepare, origin: Phase) -> None:
    governed = at(origin)
    governed.workspace.flags.set("watchdog", "observe", reason="nine wrong moves in a row", caller=HUMAN)
    for target in PHASES[origin.position :]:
        code = "already_in_phase" if target is origin else "not_a_backtrack"
        with expect_refusal(governed, code):
            back(governed, target)


def test_a_task_that_fails_its_phase_can_go_back(at: Prepare) -> None:
    governed = at(Phase.VERIFY)
    path = governed.evidence(Phase.VERIFY, "test_results.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    with expect_refusal(governed, "evidence_forged"):
        governed.advance()
    back(governed, "implement")
    assert governed.where == (Phase.IMPLEMENT, 1)


def test_what_is_retired_lies_in_superseded_and_has_to_be_made_again(at: Prepare) -> None:
    governed = at(Phase.REVIEW)
    results = governed.evidence(Phase.VERIFY, "test_results.json").read_bytes()
    back(governed, Phase.PLAN)
    shelf = governed.state_dir / "evidence" / TASK / ".superseded" / "0"
    assert (shelf / "verify" / "test_results.json").read_bytes() == results
    assert not governed.evidence(Phase.VERIFY, "test_results.json").exists()
    assert not governed.evidence(Phase.PLAN, "plan.md").exists()
    with expect_refusal(governed, "artifact_missing"):
        governed.advance()
    # Observed and executed evidence never comes back: the same inventory is taken anew, in this epoch.
    governed.agent.prepare(Phase.PLAN)
    line = governed.advance()
    assert {ref.name for ref in line.artifacts} >= {"base_inventory.json", "accept_base.json"}
    assert governed.task.evidence["PLAN/base_inventory.json"].epoch == 1


def test_an_unchanged_document_is_carried_over_and_says_so(at: Prepare) -> None:
    governed = at(Phase.PLAN)
    back(governed, Phase.STRATEGIZE)
    assert governed.workspace.guidance.write_skeletons(TASK, caller=AGENT) == (f"{TASK}/strategize/strategy.md",)
    line = governed.advance()
    assert line.data["bindings"]["strategy.md"] == {"carried_from": "superseded"}
    governed.agent.prepare(Phase.SPEC)
    changed = governed.evidence(Phase.SPEC, "spec.md")
    changed.write_text(changed.read_text().replace("- 0 totals", "- at most 0 totals"))
    assert governed.advance().data["bindings"]["spec.md"] == {}


def test_a_backtrack_retires_approvals_and_requests(at: Prepare) -> None:
    governed = at(Phase.IMPLEMENT)
    governed.agent.implement()
    (governed.root / "README.md").write_text("# shop\n\nNot in the plan.\n")
    with expect_refusal(governed, "outside_plan") as refusal:
        governed.advance()
    for subject in refusal.subjects:
        governed.workspace.approvals.approve(TASK, subject, reason="fine", caller=HUMAN)
    back(governed, Phase.THINK)
    assert not governed.task.grants
    assert not governed.workspace.approvals.waiting(TASK)
    governed.agent.prepare(Phase.THINK)
    governed.advance()
    # The same bytes in another epoch are another subject.
    with expect_refusal(governed, "outside_plan") as again:
        governed.advance()
    assert not set(again.subjects) & set(refusal.subjects)


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_a_backtrack_has_a_reason(at: Prepare, reason: str) -> None:
    governed = at(Phase.PLAN)
    with pytest.raises(ContractError) as caught:
        back(governed, Phase.SPEC, reason)
    assert caught.value.code == "reason_missing"
    assert governed.where == (Phase.PLAN, 0)


def test_the_judged_tree_is_forgotten_with_implement(at: Prepare) -> None:
    governed = at(Phase.PR)
    assert governed.task.judged_tree
    back(governed, Phase.VERIFY)
    assert governed.task.judged_tree, "IMPLEMENT was not retired"
    back(governed, Phase.IMPLEMENT)
    assert not governed.task.judged_tree
