"""The watchdog: who goes round in circles, or stands still with a lease, is held until a person looks.

Red without: `Watchdog.look` in the enforcer (process/enforcer.py); `judge` (process/watch.py); `_barred`.
"""

from __future__ import annotations

import pytest
from governed import HUMAN, OTHER, TASK, Governed, Prepare, expect_refusal

from autopilot.cli.demo.honest import AGENT
from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import RefusedError
from autopilot.kernel.phases import Phase

MINUTE = 60


def skip(governed: Governed, times: int) -> None:
    for _ in range(times):
        with expect_refusal(governed, "out_of_sequence"):
            governed.advance(Phase.MONITOR)


def wait(governed: Governed, minutes: int) -> None:
    """Let time pass with a lease held all along."""
    for _ in range(minutes):
        governed.clock.advance(MINUTE)
        governed.workspace.leases.renew(TASK, caller=AGENT)


def test_three_violations_of_one_kind_hold_the_task(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    skip(governed, 2)
    assert not governed.task.held
    skip(governed, 1)
    assert governed.task.held
    (escalation,) = governed.lines("escalation")
    assert escalation.data["cause"] == "violations"
    diary = (governed.state_dir / "evidence" / TASK / "loop_diary.md").read_text()
    assert "out_of_sequence" in diary
    governed.agent.prepare(Phase.SPEC)
    with expect_refusal(governed, "task_held") as refusal:
        governed.advance()
    assert refusal.exit_code == 4
    with expect_refusal(governed, "task_held"):
        governed.workspace.enforcer.backtrack(TASK, Phase.STRATEGIZE, reason="away from here", caller=AGENT)
    for caller in (AGENT, OTHER):
        with expect_refusal(governed, "task_held"):
            governed.workspace.enforcer.verify(TASK, caller=caller)


def test_a_stranger_cannot_get_anothers_task_held(at: Prepare) -> None:
    # Red without: `_works_on` (process/recording.py).
    governed = at(Phase.SPEC)
    for _ in range(4):
        for attempt in (governed.workspace.tasks.resume, governed.workspace.tasks.abandon):
            with expect_refusal(governed, "human_only") as refusal:
                attempt(TASK, reason="away with it", caller=OTHER)
            assert refusal.line is not None
            assert (refusal.line.kind, refusal.line.task, refusal.line.data["where"]) == ("violation", None, TASK)
    governed.workspace.watchdog.look(TASK, AGENT)
    assert not governed.task.held
    # Its own agent's attempts count as before.
    for _ in range(3):
        with expect_refusal(governed, "human_only"):
            governed.workspace.tasks.abandon(TASK, reason="away with it", caller=AGENT)
    governed.workspace.watchdog.look(TASK, AGENT)
    assert governed.task.held


@pytest.mark.parametrize("caller", [AGENT, OTHER, Caller("autopilot", "engine", "e-1")])
def test_only_a_person_lets_it_go_on(at: Prepare, caller: Caller) -> None:
    governed = at(Phase.SPEC)
    skip(governed, 3)
    with expect_refusal(governed, "human_only"):
        governed.workspace.tasks.resume(TASK, reason="I am fine", caller=caller)
    with expect_refusal(governed, "human_only"):
        governed.workspace.tasks.abandon(TASK, reason="away with it", caller=caller)
    governed.workspace.tasks.resume(TASK, reason="talked to the agent", caller=HUMAN)
    governed.agent.prepare(Phase.SPEC)
    governed.advance()
    assert governed.task.stage == Phase.PLAN
    # What was counted before the resume is not counted again.
    skip(governed, 2)
    assert not governed.task.held


def test_a_held_task_stays_held_in_another_process(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    skip(governed, 3)
    governed.reopen()
    with expect_refusal(governed, "task_held"):
        governed.advance()


def test_ninety_minutes_with_a_lease_and_no_progress_hold_the_task(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    governed.workspace.leases.acquire(TASK, caller=AGENT)
    wait(governed, 89)
    assert governed.workspace.watchdog.look(TASK, AGENT) is None
    wait(governed, 2)
    escalation = governed.workspace.watchdog.look(TASK, AGENT)
    assert escalation is not None
    assert escalation.cause == "no_progress"
    assert governed.task.held


def test_the_clock_stands_while_nobody_holds_the_lease(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    governed.workspace.leases.acquire(TASK, caller=AGENT)
    wait(governed, 60)
    governed.workspace.leases.release(TASK, caller=AGENT)
    governed.clock.advance(10 * 60 * MINUTE)
    assert governed.workspace.watchdog.look(TASK, AGENT) is None
    governed.workspace.leases.acquire(TASK, caller=AGENT)
    wait(governed, 29)
    assert governed.workspace.watchdog.look(TASK, AGENT) is None
    wait(governed, 2)
    assert governed.workspace.watchdog.look(TASK, AGENT) is not None


def test_evidence_is_progress(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    governed.workspace.leases.acquire(TASK, caller=AGENT)
    wait(governed, 80)
    governed.agent.prepare(Phase.SPEC)
    governed.workspace.evidence.add(TASK, governed.evidence(Phase.SPEC, "spec.md"), caller=AGENT)
    wait(governed, 80)
    assert governed.workspace.watchdog.look(TASK, AGENT) is None


def test_the_file_cannot_silence_it(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    governed.settings(lambda text: text + "\n[watchdog]\nviolations = 50\nminutes = 10000\n")
    skip(governed, 3)
    assert governed.task.held


def test_in_observe_it_records_and_holds_nothing(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    governed.workspace.flags.set("watchdog", "observe", reason="we look first", caller=HUMAN)
    skip(governed, 3)
    assert governed.lines("escalation")
    assert not governed.task.held


def test_contention_and_failed_gates_are_no_violations(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    for _ in range(4):
        with expect_refusal(governed, "artifact_missing"):
            governed.advance()
    for _ in range(4):
        with expect_refusal(governed, "lease_held"):
            governed.advance(caller=OTHER)
    assert not governed.task.held
    assert not governed.lines("violation")


def test_resume_of_a_task_that_is_not_held(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    with pytest.raises(RefusedError) as caught:
        governed.workspace.tasks.resume(TASK, reason="just so", caller=HUMAN)
    assert caught.value.code == "not_held"
