"""Attestation: every changed byte is drift, severity follows the phase, a baseline moves only by a person."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autopilot.attestation.baselines import Baseline, changed_baseline, prompt_digest
from autopilot.attestation.drift import (
    DEFAULT_SEVERITIES,
    Attestation,
    Outcome,
    Question,
    Severity,
    attest,
    effective_severity,
)
from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError, RefusedError
from autopilot.kernel.phases import PHASES, Phase

PROMPT = b"You verify.\n"
HUMAN = Caller("ada", "human")


def held(prompt: bytes | None, phase=Phase.VERIFY, baseline=PROMPT, **more) -> Attestation:
    """`prompt` against a baseline of `baseline`, at the phase's default severity."""
    question = Question(
        "T-1", phase, prompt_digest(prompt) if prompt is not None else None, DEFAULT_SEVERITIES[phase], **more
    )
    known = Baseline("T-1", phase, prompt_digest(baseline)) if baseline is not None else None
    return attest(question, known)


def test_default_severities():
    errors = {phase for phase in PHASES if DEFAULT_SEVERITIES[phase] is Severity.ERROR}
    assert errors == {Phase.VERIFY, Phase.REVIEW, Phase.MONITOR}


@pytest.mark.parametrize("phase", PHASES)
def test_drift_by_phase(phase):
    answer = held(PROMPT + b" ", phase)
    assert answer.outcome is Outcome.DRIFTED
    assert answer.drift
    if DEFAULT_SEVERITIES[phase] is Severity.ERROR:
        assert [reason.code for reason in answer.reasons] == ["prompt_drift"]
    else:
        assert answer.reasons == ()
        assert answer.warning is not None
        assert answer.warning.code == "prompt_drift"
    # The mark does not move to fit what was seen.
    assert answer.baseline == Baseline("T-1", phase, prompt_digest(PROMPT))
    assert answer.as_data()["baseline"] == prompt_digest(PROMPT)


def test_the_same_prompt_matches():
    answer = held(PROMPT)
    assert (answer.outcome, answer.reasons, answer.drift) == (Outcome.MATCHED, (), False)


def test_the_first_prompt_sets_the_baseline():
    answer = held(PROMPT, baseline=None)
    assert answer.outcome is Outcome.BASELINE_SET
    assert answer.baseline == Baseline("T-1", Phase.VERIFY, prompt_digest(PROMPT), 1)


@pytest.mark.parametrize("baseline", [PROMPT, None])
def test_without_a_prompt(baseline):
    answer = held(None, baseline=baseline)
    assert (answer.outcome, answer.reasons) == (Outcome.UNATTESTED, ())
    demanded = held(None, baseline=baseline, demanded=True)
    assert [reason.code for reason in demanded.reasons] == ["prompt_unattested"]


@pytest.mark.parametrize(
    "changed",
    [PROMPT.rstrip(), PROMPT.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + PROMPT, PROMPT.replace(b"Y", b"y"), b""],
)
def test_no_difference_is_too_small(changed):
    assert held(changed).reasons


def test_a_digest_is_a_digest():
    good = prompt_digest(PROMPT)
    for text in ("", "x", good.upper(), good + "0", good[:-1], good + "\n", " " + good, "0x" + good[2:]):
        with pytest.raises(ContractError) as caught:
            attest(Question("T-1", Phase.PLAN, text, Severity.WARN), None)
        assert caught.value.code == "malformed_digest"


def test_a_baseline_of_another_task_or_phase_is_no_baseline():
    for other in (
        Baseline("T-2", Phase.PLAN, prompt_digest(PROMPT)),
        Baseline("T-1", Phase.SPEC, prompt_digest(PROMPT)),
    ):
        with pytest.raises(ValueError, match="a baseline of"):
            attest(Question("T-1", Phase.PLAN, prompt_digest(PROMPT), Severity.WARN), other)


def test_a_person_changes_the_baseline_with_a_reason():
    first = Baseline("T-1", Phase.VERIFY, prompt_digest(PROMPT))
    second = changed_baseline(first, prompt_digest(b"new"), reason=" clearer ", caller=HUMAN)
    assert (second.version, second.previous, second.reason) == (2, first.prompt_sha256, "clearer")
    assert (
        attest(Question("T-1", Phase.VERIFY, prompt_digest(b"new"), Severity.ERROR), second).outcome is Outcome.MATCHED
    )
    assert held(PROMPT, baseline=b"new").reasons
    for caller in (Caller("a", "agent"), Caller("autopilot", "engine")):
        with pytest.raises(RefusedError) as caught:
            changed_baseline(first, prompt_digest(b"new"), reason="x", caller=caller)
        assert caught.value.code == "human_only"
    with pytest.raises(ContractError):
        changed_baseline(first, prompt_digest(b"new"), reason=" ", caller=HUMAN)
    with pytest.raises(ContractError):
        changed_baseline(first, "new", reason="x", caller=HUMAN)


@given(
    phase=st.sampled_from(PHASES),
    sealed=st.none() | st.sampled_from(Severity),
    requested=st.none() | st.sampled_from(Severity),
)
def test_severity_is_only_ever_tightened(phase, sealed, requested):
    base = DEFAULT_SEVERITIES[phase] if sealed is None else sealed
    assert effective_severity(phase, sealed, requested) >= base
    assert effective_severity(phase, sealed, Severity.ERROR) is Severity.ERROR


@given(prompt=st.binary(max_size=200), baseline=st.binary(max_size=200), phase=st.sampled_from(PHASES))
def test_matched_means_equal_bytes(prompt, baseline, phase):
    answer = held(prompt, phase, baseline)
    assert (answer.outcome is Outcome.MATCHED) is (prompt == baseline)
    assert bool(answer.reasons) is (prompt != baseline and DEFAULT_SEVERITIES[phase] is Severity.ERROR)
