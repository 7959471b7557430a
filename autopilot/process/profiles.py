"""Profiles: the same nine phases with other evidence contracts, as data.

A profile says per phase which artifacts it is left with (name, least origin, least isolation, may it be empty),
which capabilities its tools may have, how grave prompt drift is there, and how long a lease lasts. The content
rule of an artifact is named, not held: wiring hands the rules in by name.

`code-change` is the full contract. `small-change` asks less writing and fewer commands, and is held to a small
diff: a change that outgrows it is refused (`profile_too_light`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from autopilot.kernel.errors import ContractError
from autopilot.kernel.phases import Phase

OriginName = Literal["asserted", "observed", "executed"]
Isolation = Literal["none", "bwrap"]
Severity = Literal["off", "warn", "error"]

ORIGIN_RANK: Mapping[str, int] = MappingProxyType({"asserted": 0, "observed": 1, "executed": 2})


@dataclass(frozen=True, slots=True)
class ArtifactContract:
    """What one artifact must be. `rule` names the content rule; `may_be_empty` lets the command be not configured."""

    name: str
    rule: str
    origin: OriginName = "asserted"
    isolation: Isolation = "none"
    may_be_empty: bool = False
    media_type: str = "text/markdown"


@dataclass(frozen=True, slots=True)
class PhaseContract:
    """One phase of a profile."""

    artifacts: tuple[ArtifactContract, ...]
    capabilities: tuple[str, ...]
    drift_severity: Severity = "warn"
    prompt_required: bool = False
    lease_seconds: int = 120

    def artifact(self, name: str) -> ArtifactContract:
        """The contract of the artifact `name`; ContractError `unknown_artifact` if the phase has none such."""
        for artifact in self.artifacts:
            if artifact.name == name:
                return artifact
        known = ", ".join(artifact.name for artifact in self.artifacts)
        raise ContractError("unknown_artifact", where=name, detail=f"the phase's artifacts are {known}")


@dataclass(frozen=True, slots=True)
class ProcessProfile:
    """A named process: contracts for all nine phases, and the largest change it may carry (0 means no limit)."""

    name: str
    phases: Mapping[Phase, PhaseContract] = field(default_factory=dict)
    max_changed_files: int = 0
    max_changed_lines: int = 0
    separate_reviewer: bool = True

    def contract(self, phase: Phase) -> PhaseContract:
        """The contract of one phase."""
        return self.phases[phase]

    def commands(self) -> tuple[tuple[str, bool], ...]:
        """The configured commands it runs, each with whether it may be missing."""
        needed: dict[str, bool] = {}
        for contract in self.phases.values():
            for artifact in contract.artifacts:
                command = COMMAND_OF_ARTIFACT.get(artifact.name)
                if command:
                    needed[command] = artifact.may_be_empty
        return tuple(needed.items())


# Which configured command produces which executed artifact.
COMMAND_OF_ARTIFACT: Mapping[str, str] = MappingProxyType(
    {
        "build_output.log": "build",
        "test_results.json": "test",
        "coverage_report.json": "coverage",
        "code_quality_score.json": "lint",
        "ci_results.json": "ci",
        "smoke_test_results.json": "smoke",
    }
)

_READ = ("read", "search", "vcs_read")
_JSON = "application/json"
_TEXT = "text/plain"


def _asserted(name: str, media_type: str = "text/markdown") -> ArtifactContract:
    return ArtifactContract(name, rule=name, media_type=media_type)


def _executed(name: str, *, media_type: str = _JSON, may_be_empty: bool = False) -> ArtifactContract:
    return ArtifactContract(name, rule=name, origin="executed", media_type=media_type, may_be_empty=may_be_empty)


def _observed(name: str, media_type: str) -> ArtifactContract:
    return ArtifactContract(name, rule=name, origin="observed", media_type=media_type)


CODE_CHANGE = ProcessProfile(
    "code-change",
    MappingProxyType(
        {
            Phase.STRATEGIZE: PhaseContract((_asserted("strategy.md"),), _READ),
            Phase.SPEC: PhaseContract((_asserted("spec.md"),), _READ),
            Phase.PLAN: PhaseContract(
                (
                    _asserted("plan.md"),
                    _asserted("file_map.json", _JSON),
                    _executed("base_inventory.json"),
                    _executed("accept_base.json"),
                ),
                _READ,
            ),
            Phase.THINK: PhaseContract((_asserted("edge_cases.md"),), _READ),
            Phase.IMPLEMENT: PhaseContract(
                (_observed("git_diff.patch", "text/x-diff"), _observed("modified_files.json", _JSON)),
                (*_READ, "edit", "run_tests", "run_command", "vcs_commit"),
            ),
            Phase.VERIFY: PhaseContract(
                (
                    _executed("test_results.json"),
                    _executed("build_output.log", media_type=_TEXT),
                    _executed("coverage_report.json"),
                    _executed("accept_results.json"),
                ),
                (*_READ, "run_tests"),
                drift_severity="error",
            ),
            Phase.REVIEW: PhaseContract(
                (_asserted("review_rubric.json", _JSON), _executed("code_quality_score.json")),
                (*_READ, "run_tests"),
                drift_severity="error",
            ),
            Phase.PR: PhaseContract(
                (_asserted("pr_url.txt", _TEXT), _asserted("pr_template_filled.md"), _executed("ci_results.json")),
                (*_READ, "run_tests", "vcs_commit", "vcs_push", "network"),
            ),
            Phase.MONITOR: PhaseContract(
                (_executed("smoke_test_results.json"), _asserted("deployment_status.json", _JSON)),
                (*_READ, "run_tests"),
                drift_severity="error",
            ),
        }
    ),
)


def _lighter(profile: ProcessProfile, name: str, optional: frozenset[str]) -> ProcessProfile:
    """`profile` under another name, its artifacts in `optional` allowed to be empty."""
    phases = {
        phase: replace(
            contract,
            artifacts=tuple(replace(a, may_be_empty=a.may_be_empty or a.name in optional) for a in contract.artifacts),
        )
        for phase, contract in profile.phases.items()
    }
    return replace(profile, name=name, phases=MappingProxyType(phases))


SMALL_CHANGE = replace(
    _lighter(
        CODE_CHANGE,
        "small-change",
        frozenset(
            {
                "build_output.log",
                "coverage_report.json",
                "code_quality_score.json",
                "ci_results.json",
                "smoke_test_results.json",
            }
        ),
    ),
    max_changed_files=5,
    max_changed_lines=100,
)

PROFILES: Mapping[str, ProcessProfile] = MappingProxyType({p.name: p for p in (CODE_CHANGE, SMALL_CHANGE)})


def profile_named(name: str) -> ProcessProfile:
    """The profile `name`; ContractError `unknown_profile` otherwise."""
    try:
        return PROFILES[name]
    except KeyError:
        raise ContractError(
            "unknown_profile", where=name, detail=f"{name!r} is not a profile", remedy="use " + " or ".join(PROFILES)
        ) from None
