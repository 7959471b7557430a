"""Profiles: data that holds together."""

from __future__ import annotations

import pytest

from autopilot.evidence.contracts import CAPS, RULES
from autopilot.guard.tools import CAPABILITIES
from autopilot.kernel.configuration import COMMANDS
from autopilot.kernel.errors import ContractError
from autopilot.kernel.phases import PHASES, Phase
from autopilot.process.profiles import (
    CODE_CHANGE,
    COMMAND_OF_ARTIFACT,
    PROFILES,
    SMALL_CHANGE,
    ProcessProfile,
    profile_named,
)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_every_phase_has_a_contract_that_can_be_judged(profile: ProcessProfile) -> None:
    assert tuple(profile.phases) == PHASES
    names = [artifact.name for contract in profile.phases.values() for artifact in contract.artifacts]
    assert len(set(names)) == len(names)
    for contract in profile.phases.values():
        assert contract.artifacts, "a phase that asks for nothing is no gate"
        assert set(contract.capabilities) <= set(CAPABILITIES)
        for artifact in contract.artifacts:
            assert artifact.rule in RULES
            assert artifact.name in CAPS


def test_small_change_is_the_same_process_with_fewer_commands_and_a_limit() -> None:
    assert (SMALL_CHANGE.max_changed_files, SMALL_CHANGE.max_changed_lines) == (5, 100)
    for phase in PHASES:
        small, full = SMALL_CHANGE.contract(phase), CODE_CHANGE.contract(phase)
        assert [a.name for a in small.artifacts] == [a.name for a in full.artifacts]
        assert [a.origin for a in small.artifacts] == [a.origin for a in full.artifacts]
        assert small.capabilities == full.capabilities
    may_be_empty = {a.name for c in SMALL_CHANGE.phases.values() for a in c.artifacts if a.may_be_empty}
    assert "test_results.json" not in may_be_empty
    assert may_be_empty <= set(COMMAND_OF_ARTIFACT)


def test_only_implement_and_pr_change_the_repository() -> None:
    for phase, contract in CODE_CHANGE.phases.items():
        assert ("edit" in contract.capabilities) == (phase is Phase.IMPLEMENT)
        assert ("vcs_commit" in contract.capabilities) == (phase in (Phase.IMPLEMENT, Phase.PR))
        assert ("network" in contract.capabilities) == (phase is Phase.PR)


def test_the_commands_a_profile_needs_are_commands() -> None:
    assert {name for name, _ in CODE_CHANGE.commands()} <= set(COMMANDS)
    assert not any(may_be_missing for _, may_be_missing in CODE_CHANGE.commands())
    assert dict(SMALL_CHANGE.commands())["test"] is False


@pytest.mark.parametrize("name", ["", "Code-Change", "prompt-change"])
def test_an_unknown_profile_is_said_so(name: str) -> None:
    with pytest.raises(ContractError) as caught:
        profile_named(name)
    assert caught.value.code == "unknown_profile"


def test_an_artifact_of_another_phase_is_not_one_of_this() -> None:
    with pytest.raises(ContractError) as caught:
        CODE_CHANGE.contract(Phase.SPEC).artifact("plan.md")
    assert caught.value.code == "unknown_artifact"
