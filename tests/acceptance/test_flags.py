"""Flags and configuration: tightening counts at once, loosening only when a person seals it.

Red without: `settle` (kernel/flags.py) in `Engine.modes`; `by_mode` (process/admission.py); `_same_modes`
(process/enforcer.py); `FlagDesk.set`; `ConfigDesk.governing`; `effective` (kernel/settings_changes.py).
"""

from __future__ import annotations

from functools import partial

import pytest
from governed import HUMAN, OTHER, TASK, Governed, Prepare, expect_refusal

from autopilot.cli.demo.honest import AGENT
from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError, MissingComponentError, RefusedError
from autopilot.kernel.flags import FLAGS
from autopilot.kernel.phases import Phase
from autopilot.process.router import ToolCall
from autopilot.sandbox.choose import probe
from autopilot.wiring.full import Workspace

SWITCHABLE = [name for name in FLAGS if name != "telemetry"]


def strayed(at: Prepare) -> Governed:
    governed = at(Phase.IMPLEMENT)
    governed.agent.implement()
    (governed.root / "README.md").write_text("# shop\n\nNot in the plan.\n")
    return governed


@pytest.mark.parametrize("name", SWITCHABLE)
@pytest.mark.parametrize("mode", ["off", "observe"])
def test_only_a_person_loosens(at: Prepare, name: str, mode: str) -> None:
    governed = at(Phase.STRATEGIZE)
    for caller in (AGENT, OTHER, Caller("autopilot", "engine", "e-1")):
        with pytest.raises(RefusedError) as caught:
            governed.workspace.flags.set(name, mode, reason="it is in my way", caller=caller)
        assert caught.value.code == "loosening_inert"
        assert caught.value.verdict.exit_code == 4
    assert len(governed.lines("flag.loosening_requested")) == 3
    modes = {status.name: status.mode for status in governed.workspace.flags.list()}
    assert modes[name] == "enforce"
    governed.workspace.flags.set(name, mode, reason="we look first", caller=HUMAN)
    governed.reopen()
    assert {s.name: s.mode for s in governed.workspace.flags.list()}[name] == mode
    # Tightening is anybody's.
    governed.workspace.flags.set(name, "enforce", reason="enough seen", caller=AGENT)
    assert {s.name: s.mode for s in governed.workspace.flags.list()}[name] == "enforce"


def test_a_loosening_in_the_file_is_inert_and_on_record_once(at: Prepare) -> None:
    governed = strayed(at)
    governed.settings(lambda text: text + '\n[flags]\nplan_lock = "off"\n')
    for _ in range(2):
        governed.workspace.flags.note_requests(AGENT)
    assert len(governed.lines("flag.loosening_requested")) == 1
    with expect_refusal(governed, "outside_plan"):
        governed.advance()


def test_a_loosening_in_the_environment_is_inert(at: Prepare) -> None:
    governed = strayed(at)
    governed.reopen(AUTOPILOT_FLAGS__PLAN_LOCK="off")
    with expect_refusal(governed, "outside_plan"):
        governed.advance()


def test_the_file_tightens_what_a_person_loosened(at: Prepare) -> None:
    governed = strayed(at)
    governed.workspace.flags.set("plan_lock", "off", reason="for now", caller=HUMAN)
    governed.settings(lambda text: text + '\n[flags]\nplan_lock = "enforce"\n')
    with expect_refusal(governed, "outside_plan"):
        governed.advance()


def test_observe_lets_pass_and_records(at: Prepare) -> None:
    governed = strayed(at)
    governed.workspace.flags.set("plan_lock", "observe", reason="we look first", caller=HUMAN)
    line = governed.advance()
    assert [reason["code"] for reason in line.data["gate"]["observed"]] == ["outside_plan"]
    assert governed.task.stage == Phase.VERIFY


def test_observe_of_one_enforcement_is_not_observe_of_another(at: Prepare) -> None:
    governed = strayed(at)
    for name in SWITCHABLE:
        if name != "plan_lock":
            governed.workspace.flags.set(name, "off", reason="one at a time", caller=HUMAN)
    with expect_refusal(governed, "outside_plan"):
        governed.advance()


def test_no_move_lands_behind_a_stricter_flag_than_it_was_judged_by(at: Prepare) -> None:
    governed = strayed(at)
    governed.workspace.flags.set("plan_lock", "observe", reason="we look first", caller=HUMAN)
    governed.overtake(partial(_set_flag, name="plan_lock", mode="enforce"))
    with expect_refusal(governed, "outside_plan") as refusal:
        governed.advance()
    assert refusal.line.seq > governed.lines("flag.changed")[-1].seq > governed.lines("phase.transition")[-1].seq


def test_no_verification_is_recorded_behind_a_stricter_flag_than_it_was_judged_by(at: Prepare) -> None:
    governed = strayed(at)
    governed.workspace.flags.set("plan_lock", "observe", reason="we look first", caller=HUMAN)
    governed.overtake(partial(_set_flag, name="plan_lock", mode="enforce"))
    found = governed.workspace.enforcer.verify(TASK, caller=AGENT)
    assert found.verdict.codes() == ("outside_plan",)
    assert found.entry == governed.lines("gate.verdict")[-1]
    assert found.seq > governed.lines("flag.changed")[-1].seq
    assert not [line for line in governed.lines("evidence.added") if line.data["phase"] == Phase.IMPLEMENT]


def _set_flag(workspace: Workspace, *, name: str, mode: str) -> None:
    workspace.flags.set(name, mode, reason="meanwhile", caller=OTHER)


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_the_order_of_phases_and_what_was_sealed_cannot_be_switched_off(at: Prepare, mode: str) -> None:
    governed = at(Phase.SPEC)
    for name in SWITCHABLE:
        governed.workspace.flags.set(name, mode, reason="everything that can be", caller=HUMAN)
    with expect_refusal(governed, "out_of_sequence"):
        governed.advance(Phase.IMPLEMENT)
    governed.agent.prepare(Phase.SPEC)
    strategy = governed.evidence(Phase.STRATEGIZE, "strategy.md")
    strategy.write_text("# Strategy\n\nAnything goes.\n")
    with expect_refusal(governed, "sealed_edited"):
        governed.advance()


def test_the_guard_in_observe_records_and_lets_pass(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    governed.workspace.flags.set("tool_guard", "observe", reason="we look first", caller=HUMAN)
    edit = ToolCall("Edit", {"file_path": "shop/pricing.py"}, task=TASK)
    verdict = governed.workspace.router.check(edit, caller=AGENT)
    assert verdict.admitted
    assert [reason.code for reason in verdict.observed] == ["tool_out_of_phase"]
    assert len(governed.lines("tool.refused")) == 1


@pytest.mark.parametrize(("name", "mode"), [("no_such_flag", "off"), ("leases", "sometimes"), ("telemetry", "enforce")])
def test_what_is_no_flag_or_mode(at: Prepare, name: str, mode: str) -> None:
    with pytest.raises(ContractError):
        at(Phase.STRATEGIZE).workspace.flags.set(name, mode, reason="why not", caller=HUMAN)


# --- the configuration


def test_a_configuration_loosened_before_a_task_opens_is_inert(fresh: Governed) -> None:
    fresh.workspace.config.seal(HUMAN)
    fresh.settings(lambda text: text + "\n[thresholds]\ncoverage_percent = 0\n")
    fresh.workspace.tasks.open("T-9", title="A task under weaker rules", caller=AGENT)
    sealed = fresh.workspace.engine.sealed_settings(fresh.workspace.tasks.show("T-9"))
    assert sealed.thresholds.coverage_percent == 70
    with pytest.raises(RefusedError) as caught:
        fresh.workspace.config.seal(AGENT)
    assert caught.value.code == "human_only"
    (line,) = fresh.lines("violation")
    assert (line.seq, line.task, line.data["code"]) == (caught.value.seq, None, "human_only")
    assert len(fresh.lines("config.sealed")) == 1


def test_a_tightened_threshold_counts_at_once(at: Prepare) -> None:
    governed = at(Phase.VERIFY)
    source = governed.root / "autopilot.toml"
    assert "coverage_percent" not in source.read_text()
    governed.reopen(AUTOPILOT_THRESHOLDS__LINT_SCORE="100", AUTOPILOT_SANDBOX__ISOLATION="bwrap")
    if probe().bubblewrap is not None:
        governed.advance()
        assert governed.task.evidence["VERIFY/test_results.json"].isolation == "bwrap"
        return
    # A demand for isolation is met or refused, never weakened.
    with pytest.raises(MissingComponentError) as caught:
        governed.advance()
    assert caught.value.code == "isolation_missing"
    assert governed.task.stage == Phase.VERIFY


def test_a_changed_command_runs_only_when_a_person_approved_it(at: Prepare) -> None:
    governed = at(Phase.MONITOR)
    governed.agent.prepare(Phase.MONITOR)
    governed.settings(lambda text: text.replace("print(shop.__file__)", "print('another smoke test')"))
    with expect_refusal(governed, "config_changed") as refusal:
        governed.advance()
    assert refusal.exit_code == 4
    governed.approve(TASK, _error(refusal))
    line = governed.advance()
    assert line.data["config"], "the move seals what a person approved"
    assert line.data["approvals"] == list(refusal.subjects)


def _error(refusal: object) -> RefusedError:
    from autopilot.kernel.reasons import Verdict

    return RefusedError(Verdict(refusal.reasons))
