"""The order of phases.

Red without: `graph.MOVES` and the machine made from it, asked by `check_sequence` (process/graph.py). It is asked
twice, by `_barred` before anything runs and by `admit`; either alone keeps these tests green.
"""

from __future__ import annotations

import hashlib

import pytest
from governed import HUMAN, TASK, Governed, Prepare, expect_refusal

from autopilot.cli.demo.honest import AGENT
from autopilot.kernel.errors import ContractError, TransitionRefusedError
from autopilot.kernel.phases import PHASES, Phase, Stage, Terminal

STAGES: tuple[Stage, ...] = (*PHASES, *Terminal)


def expected_code(origin: Phase, target: Stage) -> str:
    """What a forward move meets; empty where it is the next phase."""
    if target is origin.following:
        return ""
    return "already_in_phase" if target is origin else "out_of_sequence"


@pytest.mark.parametrize("origin", PHASES)
def test_of_eleven_targets_only_the_next_phase_is_reached(at: Prepare, origin: Phase) -> None:
    # 9 phases x 11 stages: the loop and the parametrization together are all pairs.
    governed = at(origin)
    governed.workspace.flags.set("watchdog", "observe", reason="ten wrong moves in a row", caller=HUMAN)
    for target in STAGES:
        code = expected_code(origin, target)
        if code:
            with expect_refusal(governed, code):
                governed.advance(target)
    governed.agent.prepare(origin)
    governed.agent.advance(origin, governed.approve)
    assert governed.task.stage == origin.following


def test_a_skipped_phase_is_a_violation_on_the_ledger(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    with expect_refusal(governed, "out_of_sequence"):
        governed.advance(Phase.IMPLEMENT)
    line = governed.lines("violation")[-1]
    assert line.data["code"] == "out_of_sequence"
    assert line.record["phase"] == {"from": "SPEC", "to": "IMPLEMENT"}
    assert governed.workspace.ledger.view().state.counters["phase_skips_attempted"] == 1


@pytest.mark.parametrize("name", ["implement", "Implement", "IMPLEMENT", " implement "])
def test_a_phase_is_known_in_any_case(at: Prepare, name: str) -> None:
    governed = at(Phase.SPEC)
    with expect_refusal(governed, "out_of_sequence"):
        governed.advance(name)


@pytest.mark.parametrize("name", ["", "SHIP", "SPEC2", "spec\x00", "ＳＰＥＣ"])
def test_what_is_no_phase_is_no_move(at: Prepare, name: str) -> None:
    governed = at(Phase.STRATEGIZE)
    before = governed.where
    with pytest.raises(ContractError) as caught:
        governed.advance(name)
    assert caught.value.code == "unknown_phase"
    assert governed.where == before


def test_an_unknown_task_is_no_move(at: Prepare) -> None:
    governed = at(Phase.STRATEGIZE)
    with pytest.raises(ContractError) as caught:
        governed.workspace.enforcer.advance_phase("T-2", caller=AGENT)
    assert caught.value.code == "unknown_task"


@pytest.mark.parametrize("target", [None, Phase.STRATEGIZE, Phase.MONITOR, Terminal.CLOSED])
def test_an_abandoned_task_goes_nowhere(at: Prepare, target: Stage | None) -> None:
    governed = at(Phase.SPEC)
    governed.workspace.tasks.abandon(TASK, reason="not worth it", caller=HUMAN)
    with expect_refusal(governed, "task_closed"):
        governed.advance(target, caller=AGENT)


def test_a_closed_task_goes_nowhere(at: Prepare) -> None:
    governed = at(Phase.MONITOR)
    governed.work()
    assert governed.task.stage == Terminal.CLOSED
    with expect_refusal(governed, "task_closed"):
        governed.advance(caller=AGENT)
    with expect_refusal(governed, "task_closed"):
        governed.workspace.enforcer.backtrack(TASK, Phase.SPEC, reason="once more", caller=AGENT)
    with expect_refusal(governed, "task_closed"):
        governed.workspace.enforcer.verify(TASK, caller=AGENT)


def test_ids_that_differ_in_case_only_are_one_task(fresh: Governed) -> None:
    fresh.agent.open()
    for name in ("t-1", "T-1"):
        head = fresh.workspace.ledger.view().head.seq
        with pytest.raises(TransitionRefusedError) as caught:
            fresh.workspace.tasks.open(name, title="The same again", caller=AGENT)
        assert caught.value.code == "task_exists"
        assert not [line for line in fresh.lines("task.opened") if line.seq > head]
        # On record, and not as T-1's: its phase was not judged.
        (line,) = [line for line in fresh.lines("gate.verdict") if line.seq > head]
        assert (line.seq, line.task, line.caller) == (caught.value.seq, None, AGENT)
        assert (line.data["asked"], line.data["verdict"]) == (f"task open {name}", "fail")
        assert [reason["code"] for reason in line.data["reasons"]] == ["task_exists"]
    assert "evidence_gate_failed" not in fresh.workspace.ledger.view().state.counters


@pytest.mark.parametrize("name", ["../T-1", "T/1", "", ".T", "T" * 65, "T..1", "T-1\n", "Ｔ-1"])
def test_an_id_is_a_name_and_no_path(fresh: Governed, name: str) -> None:
    with pytest.raises(ContractError) as caught:
        fresh.workspace.tasks.open(name, title="A path in disguise", caller=AGENT)
    assert caught.value.code == "malformed_task_id"
    assert not fresh.lines("task.opened")


def test_what_an_ended_task_sealed_can_still_be_read(at: Prepare) -> None:
    governed = at(Phase.MONITOR)
    before = {(item.phase, item.name, item.sha256) for item in governed.workspace.evidence.list(TASK)}
    governed.work()
    assert governed.task.stage == "CLOSED"
    after = {(item.phase, item.name, item.sha256) for item in governed.workspace.evidence.list(TASK)}
    assert before < after
    assert {name for phase, name, _ in after - before if phase == Phase.MONITOR} == {
        "smoke_test_results.json",
        "deployment_status.json",
    }
    item, data = governed.workspace.evidence.show(TASK, "test_results.json")
    assert hashlib.sha256(data).hexdigest() == item.sha256
