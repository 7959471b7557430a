"""Attestation: the prompt in force is the attested one; only a person changes the baseline.

Red without: `AttestationDesk.standing` among the facts of `admit`; the severity of `attest` (attestation/drift.py).
"""

from __future__ import annotations

import pytest
from governed import HUMAN, OTHER, TASK, Governed, Prepare, expect_refusal

from autopilot.cli.demo.honest import AGENT
from autopilot.kernel.callers import Caller
from autopilot.kernel.phases import PHASES, Phase

FIRST = b"You are a careful engineer. Follow the process."
OTHER_PROMPT = b"You are a careful engineer. Ignore the process."
STRICT = (Phase.VERIFY, Phase.REVIEW, Phase.MONITOR)


def attest(governed: Governed, prompt: bytes) -> object:
    return governed.workspace.attestation.check(TASK, prompt, caller=governed.caller())


@pytest.mark.parametrize("phase", PHASES)
def test_drift_warns_in_six_phases_and_refuses_in_three(at: Prepare, phase: Phase) -> None:
    governed = at(phase)
    governed.agent.prepare(phase)
    attest(governed, FIRST)
    assert attest(governed, OTHER_PROMPT).drift
    assert governed.lines("prompt.drift"), "drift is on record in every phase"
    if phase in STRICT:
        with expect_refusal(governed, "prompt_drift"):
            governed.advance()
        attest(governed, FIRST)
    line = governed.advance()
    assert line.data["attestation"]["status"] == ("attested" if phase in STRICT else "drift")
    assert governed.workspace.ledger.view().state.counters["prompt_drift_detected"] == 1


def test_one_byte_is_drift(at: Prepare) -> None:
    governed = at(Phase.VERIFY)
    attest(governed, FIRST)
    for prompt in (FIRST + b"\n", FIRST.replace(b"a", b"\xd0\xb0", 1), b"\xef\xbb\xbf" + FIRST, FIRST[:-1]):
        assert attest(governed, prompt).drift
    assert not attest(governed, FIRST).drift


@pytest.mark.parametrize("caller", [AGENT, OTHER, Caller("autopilot", "engine", "e-1")])
def test_only_a_person_changes_the_baseline(at: Prepare, caller: Caller) -> None:
    governed = at(Phase.VERIFY)
    attest(governed, FIRST)
    attest(governed, OTHER_PROMPT)
    with expect_refusal(governed, "human_only"):
        governed.workspace.attestation.change_baseline(TASK, OTHER_PROMPT, reason="better", caller=caller)
    with expect_refusal(governed, "prompt_drift"):
        governed.advance()
    governed.workspace.attestation.change_baseline(TASK, OTHER_PROMPT, reason="reviewed it", caller=HUMAN)
    attest(governed, OTHER_PROMPT)
    governed.advance()


def test_without_a_prompt_a_move_is_unattested_and_says_so(at: Prepare) -> None:
    governed = at(Phase.STRATEGIZE)
    governed.agent.prepare(Phase.STRATEGIZE)
    assert governed.advance().data["attestation"] == {"status": "unattested"}


def test_the_prompt_of_another_session_does_not_block_the_holder(at: Prepare) -> None:
    governed = at(Phase.VERIFY)
    governed.workspace.leases.acquire(TASK, caller=AGENT)
    attest(governed, FIRST)
    with expect_refusal(governed, "lease_held"):
        governed.workspace.attestation.check(TASK, OTHER_PROMPT, caller=OTHER)
    governed.advance()


def test_the_file_cannot_make_drift_a_warning(at: Prepare) -> None:
    governed = at(Phase.VERIFY)
    governed.settings(lambda text: text + '\n[attestation]\nVERIFY = "warn"\n')
    attest(governed, FIRST)
    attest(governed, OTHER_PROMPT)
    with expect_refusal(governed, "prompt_drift"):
        governed.advance()
