"""Leases: one holder of a task's phase, and no stale one gets through.

Red without: `standing` and `handover` (leases/); `LeaseDesk.ensure` in the enforcer and the evidence desk; the fence
check of the store's `append`; for the fail-open path `by_mode` in `LeaseDesk` and the enforcer, and `_ALWAYS`
(process/admission.py).
"""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from governed import HUMAN, OTHER, TASK, Governed, Prepare, expect_refusal

from autopilot.cli.demo.honest import AGENT, REVIEWER
from autopilot.kernel.callers import Caller
from autopilot.kernel.clock import SystemClock
from autopilot.kernel.errors import LeaseRefusedError, TransitionRefusedError
from autopilot.kernel.phases import Phase
from autopilot.leases.terms import Claim
from autopilot.ledger.entry import LedgerEntry
from autopilot.wiring.full import Outside, Workspace


def claim(caller: Caller, fence: int, token: str | None = None) -> Claim:
    return Claim(caller.session, fence, token)


def strategized(at: Prepare) -> Governed:
    governed = at(Phase.STRATEGIZE)
    governed.agent.prepare(Phase.STRATEGIZE)
    return governed


def test_another_session_waits(at: Prepare) -> None:
    governed = strategized(at)
    governed.workspace.leases.acquire(TASK, caller=AGENT)
    with expect_refusal(governed, "lease_held") as refusal:
        governed.advance(caller=OTHER)
    assert refusal.exit_code == 5
    assert refusal.line.kind == "lease.contended"
    with expect_refusal(governed, "lease_held"):
        governed.workspace.evidence.add(TASK, governed.evidence(Phase.STRATEGIZE, "strategy.md"), caller=OTHER)
    with expect_refusal(governed, "lease_held"):
        governed.workspace.enforcer.verify(TASK, caller=OTHER)
    with expect_refusal(governed, "lease_held"):
        governed.workspace.leases.acquire(TASK, caller=OTHER)
    assert not governed.lines("violation"), "contention is no violation"
    assert governed.workspace.ledger.view().state.counters["lease_contentions"] >= 4
    governed.workspace.leases.release(TASK, caller=AGENT)
    governed.advance(caller=OTHER)


def test_a_backtrack_needs_the_lease_too(at: Prepare) -> None:
    governed = at(Phase.PLAN)
    governed.workspace.leases.acquire(TASK, caller=AGENT)
    with expect_refusal(governed, "lease_held"):
        governed.workspace.enforcer.backtrack(TASK, Phase.SPEC, reason="I would like to", caller=OTHER)


def test_a_lease_that_ran_out_has_to_be_taken_anew(at: Prepare) -> None:
    governed = strategized(at)
    granted = governed.workspace.leases.acquire(TASK, caller=AGENT)
    governed.clock.advance(121)
    with expect_refusal(governed, "lease_expired") as refusal:
        governed.advance()
    assert refusal.exit_code == 5
    again = governed.workspace.leases.acquire(TASK, caller=AGENT)
    assert again.lease.fence == granted.lease.fence + 1
    governed.advance()
    assert governed.workspace.ledger.view().state.counters["lease_expirations"] == 1


def test_who_lost_his_lease_to_another_loses_the_race_and_breaks_nothing(at: Prepare) -> None:
    governed = strategized(at)
    mine = governed.workspace.leases.acquire(TASK, caller=AGENT)
    governed.clock.advance(121)
    governed.workspace.leases.acquire(TASK, caller=OTHER)
    with expect_refusal(governed, "lease_expired") as refusal:
        governed.workspace.enforcer.advance_phase(TASK, caller=AGENT, lease=claim(AGENT, mine.lease.fence, mine.token))
    assert refusal.line.kind == "lease.contended"


def test_a_stale_fence_is_a_violation(at: Prepare) -> None:
    governed = strategized(at)
    old = governed.workspace.leases.acquire(TASK, caller=AGENT)
    governed.workspace.leases.force(TASK, caller=HUMAN, reason="the agent hangs")
    stale = claim(AGENT, old.lease.fence, old.token)
    with expect_refusal(governed, "stale_fence") as refusal:
        governed.workspace.enforcer.advance_phase(TASK, caller=AGENT, lease=stale)
    assert refusal.line.kind == "violation"
    with expect_refusal(governed, "stale_fence"):
        path = governed.evidence(Phase.STRATEGIZE, "strategy.md")
        governed.workspace.evidence.add(TASK, path, caller=AGENT, lease=stale)
    with expect_refusal(governed, "stale_fence"):
        governed.workspace.leases.renew(TASK, caller=AGENT, lease=stale)


@pytest.mark.parametrize(("fence", "token"), [(1, "not-the-token"), (99, None)])
def test_a_made_up_claim_is_a_violation(at: Prepare, fence: int, token: str | None) -> None:
    governed = strategized(at)
    assert governed.workspace.leases.acquire(TASK, caller=AGENT).lease.fence == 1
    with expect_refusal(governed, "lease_token_mismatch") as refusal:
        governed.workspace.enforcer.advance_phase(TASK, caller=AGENT, lease=claim(AGENT, fence, token))
    assert refusal.line.kind == "violation"


def test_only_a_person_forces_and_only_what_he_looked_at(at: Prepare) -> None:
    governed = strategized(at)
    governed.workspace.leases.acquire(TASK, caller=AGENT)
    for caller in (OTHER, Caller("engine-x", "engine", "x-1")):
        with expect_refusal(governed, "human_only"):
            governed.workspace.leases.force(TASK, caller=caller, reason="mine now")
    seen = governed.workspace.leases.observed(TASK)
    governed.workspace.leases.release(TASK, caller=AGENT)
    with pytest.raises(LeaseRefusedError) as caught:
        governed.workspace.leases.force(TASK, caller=HUMAN, reason="it hung a minute ago", observed=seen)
    assert caught.value.code == "lease_changed"


def test_a_move_hands_the_lease_on_with_its_token(at: Prepare) -> None:
    governed = strategized(at)
    granted = governed.workspace.leases.acquire(TASK, caller=AGENT)
    line = governed.workspace.enforcer.advance_phase(
        TASK, caller=AGENT, lease=claim(AGENT, granted.lease.fence, granted.token)
    )
    held = governed.workspace.leases.held(TASK)
    assert held is not None
    assert (held.resource, held.fence) == (f"{TASK}/SPEC", granted.lease.fence + 1)
    assert held.has_token(granted.token)
    assert line.data["handover"]["fence"] == held.fence
    with expect_refusal(governed, "lease_held"):
        governed.advance(caller=OTHER)


def test_review_is_left_free_for_another_session(at: Prepare) -> None:
    governed = at(Phase.VERIFY)
    governed.advance()
    assert governed.workspace.leases.held(TASK) is None
    governed.workspace.leases.acquire(TASK, caller=REVIEWER)
    with expect_refusal(governed, "lease_held"):
        governed.advance(caller=AGENT)


def test_the_clock_of_another_boot_ends_every_lease(at: Prepare) -> None:
    governed = strategized(at)
    governed.workspace.leases.acquire(TASK, caller=AGENT)
    governed.clock.reboot("boot-2")
    governed.workspace.leases.acquire(TASK, caller=OTHER)
    with expect_refusal(governed, "lease_held"):
        governed.advance(caller=AGENT)


# --- the fail-open path: the flag `leases`


def failing_open(at: Prepare, mode: str) -> Governed:
    """AGENT holds STRATEGIZE with its work done, and OTHER comes without the lease."""
    governed = strategized(at)
    governed.workspace.leases.acquire(TASK, caller=AGENT)
    if mode != "enforce":
        governed.workspace.flags.set("leases", mode, reason="the lease log is in doubt", caller=HUMAN)
    return governed


def observed(line: LedgerEntry) -> list[str]:
    shown = line.data["gate"]["observed"] if "gate" in line.data else line.data["observed"]
    return [reason["code"] for reason in shown]


def test_by_default_who_does_not_hold_the_phase_is_refused(at: Prepare) -> None:
    governed = failing_open(at, "enforce")
    with expect_refusal(governed, "lease_held"):
        governed.advance(caller=OTHER)


@pytest.mark.parametrize(("mode", "codes"), [("observe", ["lease_held"]), ("off", [])])
def test_a_move_without_the_lease_claims_and_hands_on_nothing(at: Prepare, mode: str, codes: list[str]) -> None:
    governed = failing_open(at, mode)
    before = governed.workspace.leases.held(TASK)
    plan = governed.workspace.enforcer.preview(TASK, caller=OTHER)
    assert ([reason.code for reason in plan.observed], plan.admitted) == (codes, True)
    line = governed.advance(caller=OTHER)
    assert (line.lease, line.data["handover"], observed(line)) == (None, None, codes)
    assert governed.task.stage == Phase.SPEC
    assert governed.workspace.leases.held(TASK) == before, "the lease that stands is its holder's"
    assert not governed.lines("violation")
    # Set back, the flag enforces at once: who holds the lease that stands goes on, the other waits.
    governed.workspace.flags.set("leases", "enforce", reason="found it", caller=OTHER)
    governed.agent.prepare(Phase.SPEC)
    with expect_refusal(governed, "lease_held"):
        governed.advance(caller=OTHER)
    assert governed.advance(caller=AGENT).lease is not None
    governed.reopen()
    assert governed.workspace.ledger.verify().status == "intact"


@pytest.mark.parametrize(("mode", "codes"), [("observe", ["lease_held"]), ("off", [])])
def test_evidence_checks_and_backtracks_without_the_lease(at: Prepare, mode: str, codes: list[str]) -> None:
    governed = failing_open(at, mode)
    enforcer, path = governed.workspace.enforcer, governed.evidence(Phase.STRATEGIZE, "strategy.md")
    added = governed.workspace.evidence.add(TASK, path, caller=OTHER)
    checked = enforcer.verify(TASK, caller=OTHER).entry
    governed.advance(caller=OTHER)
    back = enforcer.backtrack(TASK, Phase.STRATEGIZE, reason="too early", caller=OTHER)
    for line in (added, checked, back):
        assert (line.lease, observed(line)) == (None, codes), line.kind


@pytest.mark.parametrize(("fence", "code"), [(1, "stale_fence"), (99, "lease_token_mismatch")])
@pytest.mark.parametrize("mode", ["observe", "off"])
def test_no_mode_lets_a_stale_or_made_up_fence_pass(at: Prepare, mode: str, fence: int, code: str) -> None:
    governed = failing_open(at, mode)
    governed.workspace.flags.set("evidence_gate", mode, reason="and all the rest", caller=HUMAN)
    governed.workspace.leases.force(TASK, caller=HUMAN, reason="the agent hangs")
    enforcer, path = governed.workspace.enforcer, governed.evidence(Phase.STRATEGIZE, "strategy.md")
    mine = claim(AGENT, fence)
    for call in (
        lambda: enforcer.advance_phase(TASK, caller=AGENT, lease=mine),
        lambda: enforcer.verify(TASK, caller=AGENT, lease=mine),
        lambda: governed.workspace.evidence.add(TASK, path, caller=AGENT, lease=mine),
    ):
        with expect_refusal(governed, code) as refusal:
            call()
        assert refusal.line.kind == "violation"


@pytest.mark.parametrize("call", ["advance", "evidence add"])
def test_a_flag_that_is_set_back_before_the_line_refuses_it(at: Prepare, call: str) -> None:
    governed = failing_open(at, "observe")
    governed.overtake(lambda other: other.flags.set("leases", "enforce", reason="found it", caller=AGENT))
    with expect_refusal(governed, "lease_held"):
        if call == "advance":
            governed.advance(caller=OTHER)
        path = governed.evidence(Phase.STRATEGIZE, "strategy.md")
        governed.workspace.evidence.add(TASK, path, caller=OTHER)


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_of_two_without_the_lease_the_first_to_move_wins(at: Prepare, mode: str) -> None:
    governed = failing_open(at, mode)
    third = Caller("agent-third", "agent", "third-1")
    governed.overtake(lambda other: other.enforcer.advance_phase(TASK, caller=third))
    with pytest.raises(TransitionRefusedError) as caught:
        governed.advance(caller=OTHER)
    assert caught.value.code == "lost_race"
    (line,) = governed.lines("phase.transition")
    assert line.caller == third


HOLD = """
    import os, sys
    from autopilot.kernel.callers import Caller
    from autopilot.wiring.full import Workspace
    workspace = Workspace.open(sys.argv[1])
    workspace.leases.acquire("T-1", caller=Caller("agent-dead", "agent", "dead-1"), as_process=True)
    print("held", flush=True)
    if sys.argv[2] == "die":
        os.kill(os.getpid(), 9)
    sys.stdin.read()
"""


def test_the_death_of_a_holding_process_frees_the_phase_at_once(at: Prepare) -> None:
    # A real process with the machine's clock: nothing waits for the lease time.
    governed = strategized(at)
    governed.workspace.close()
    program = [sys.executable, "-c", textwrap.dedent(HOLD), str(governed.root)]
    living = subprocess.Popen([*program, "live"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert living.stdout is not None
    assert living.stdout.readline() == b"held\n"
    governed.workspace = Workspace.open(governed.root, outside=Outside(environ=governed.environ, clock=SystemClock()))
    with expect_refusal(governed, "lease_held"):
        governed.advance(caller=OTHER)
    living.kill()
    living.wait()
    living.stdin.close()
    living.stdout.close()
    governed.advance(caller=OTHER)
    assert governed.task.stage == Phase.SPEC


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_processes_without_the_lease_leave_one_chain(at: Prepare, mode: str) -> None:
    governed = failing_open(at, mode)
    governed.workspace.close()
    outside = Outside(environ=governed.environ, clock=SystemClock())
    with Workspace.open(governed.root, outside=outside) as workspace:
        workspace.leases.acquire(TASK, caller=AGENT)
    program = [sys.executable, "-c", textwrap.dedent(CONTEND), str(governed.root)]
    racers = [
        subprocess.Popen([*program, name, "SPEC"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in "ab"
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    answers = [racer.communicate()[0].split() for racer in racers]
    assert sorted(answer[0] for answer in answers) == ["lost", "won"], answers
    assert {answer[1] for answer in answers if answer[0] == "lost"} <= {"lost_race", "already_in_phase"}, answers
    governed.workspace = Workspace.open(governed.root, outside=outside)
    (line,) = governed.lines("phase.transition")
    assert (line.lease, observed(line)) == (None, ["lease_held"] if mode == "observe" else [])
    assert not governed.lines("violation")
    assert governed.workspace.ledger.verify().status == "intact"


CONTEND = """
    import sys
    from autopilot.kernel.callers import Caller
    from autopilot.kernel.errors import RefusedError
    from autopilot.wiring.full import Workspace
    workspace = Workspace.open(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    name = "agent-" + sys.argv[2]
    try:
        to = sys.argv[3] if len(sys.argv) > 3 else None
        print("won", workspace.enforcer.advance_phase("T-1", to, caller=Caller(name, "agent", name)).seq)
    except RefusedError as refusal:
        print("lost", refusal.code, refusal.verdict.exit_code)
    workspace.close()
"""


def test_of_four_processes_one_wins_the_phase(at: Prepare) -> None:
    governed = strategized(at)
    governed.workspace.close()
    program = [sys.executable, "-c", textwrap.dedent(CONTEND), str(governed.root)]
    racers = [
        subprocess.Popen([*program, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for number in range(4)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    answers = [racer.communicate("go\n")[0].split() for racer in racers]
    assert sorted(answer[0] for answer in answers) == ["lost", "lost", "lost", "won"], answers
    assert all(answer[2] == "5" for answer in answers if answer[0] == "lost"), answers
    governed.workspace = Workspace.open(governed.root)
    assert len(governed.lines("phase.transition")) == 1
    assert not governed.lines("violation"), "who loses a race breaks nothing"
    assert governed.workspace.ledger.verify().status == "intact"
