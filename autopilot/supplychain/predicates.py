"""What is said of a phase that a task was let out of, as predicates of three types.

- `PHASE_MOVE`: our own. The ledger line that is the move, and what it rested on.
- `TEST_RESULT`: in-toto's, for the test run that VERIFY was left with.
- `VERIFICATION`: in-toto's simple verification result, for those who only ask whether the gate passed.

Each is said of the sealed artifacts, by SHA-256 (the second of the test report alone). From IMPLEMENT on it is said
again of the judged tree, by its git id.
docs/reference/statements.md names every field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autopilot.supplychain.statement import Resource, Statement

# A type's name is for good, and the project has no domain: a random UUID belongs to nobody else, ever. The part behind
# the `#` is for people. Another meaning of a field is another UUID.
PHASE_MOVE = "urn:uuid:63144928-bd77-493c-a1e3-1418a4be6503#autopilot-phase-move-v1"
VERIFIER = "urn:uuid:7b98cc0b-dd5a-45c5-a041-037f6163c479#autopilot-gate-v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
VERIFICATION = "https://in-toto.io/attestation/svr/v0.2"

PASSED, WARNED, FAILED = "PASSED", "WARNED", "FAILED"
JUDGED_TREE = "judged-tree"


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedArtifact:
    """One artifact as the move's line names it. `tree` is the git tree it speaks of, empty for asserted ones."""

    name: str
    sha256: str
    bytes: int
    media_type: str
    origin: str
    isolation: str = ""
    tree: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The artifact in the predicate of the move."""
        shown: dict[str, Any] = {
            "name": self.name,
            "digest": {"sha256": self.sha256},
            "bytes": self.bytes,
            "mediaType": self.media_type,
            "origin": self.origin,
        }
        if self.isolation:
            shown["isolation"] = self.isolation
        if self.tree:
            shown["tree"] = {"gitTree": self.tree}
        return shown


@dataclass(frozen=True, slots=True)
class LineRef:
    """A line of a ledger: the ledger's origin, the line's number and hash (the RFC 6962 leaf hash of its body)."""

    origin: str
    seq: int
    leaf: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseMove:
    """A move out of a phase, that stands. Times are RFC 3339 UTC; `lease` is (resource, fence).

    `observed` are the reasons that would have refused, had a person not set their flag to observe.
    """

    line: LineRef
    task: str
    profile: str
    origin: str
    target: str
    epoch: int
    actor: Mapping[str, str]
    lease: tuple[str, int] | None
    prompt: str | None
    prompt_status: str
    observed: tuple[Mapping[str, str], ...]
    approvals: tuple[str, ...]
    artifacts: tuple[SealedArtifact, ...]
    base_tree: str
    judged_tree: str
    config: str
    journal: str
    trust_mode: int
    started: str
    finished: str

    @property
    def verdict(self) -> str:
        """PASSED, or WARNED where something was only observed."""
        return WARNED if self.observed else PASSED

    def policy(self) -> Resource:
        """What the gate judged by: the sealed configuration, and the profile."""
        return Resource("autopilot.toml", self.config, annotations={"profile": self.profile})


@dataclass(frozen=True, slots=True)
class TestRun:
    """The tests of the judged tree by outcome, and the digests of what the run depended on, by name.

    `report` is the artifact that they were read from.
    `warned` were skipped or expected to fail: they prove nothing, so that a run with one is no clean pass.
    """

    __test__ = False

    report: str
    passed: tuple[str, ...]
    warned: tuple[str, ...]
    failed: tuple[str, ...]
    depended: tuple[tuple[str, str], ...] = ()

    @property
    def result(self) -> str:
        """The worst of its outcomes. Without a test that passed nothing was shown."""
        if self.failed or not self.passed:
            return FAILED
        return WARNED if self.warned else PASSED


def statements_of(move: PhaseMove, tests: TestRun | None = None) -> tuple[Statement, ...]:
    """All that is said of the phase that the move left, in a fixed order.

    A move without artifacts says nothing of anything before IMPLEMENT: no statement. Each subject bears the task and
    the line as annotations: the same bytes may be sealed for two tasks, and what is said of one says nothing of the
    other.
    """
    sealed = {artifact.name: _subject(move, artifact) for artifact in move.artifacts}
    said: list[tuple[str, dict[str, Any], tuple[Resource, ...]]] = [
        (PHASE_MOVE, phase_move(move), tuple(sealed.values())),
        (VERIFICATION, verification(move), tuple(sealed.values())),
    ]
    if tests is not None:
        said.insert(1, (TEST_RESULT, test_result(move, tests), (sealed[tests.report],)))
    tree = (Resource(JUDGED_TREE, move.judged_tree, "gitTree", annotations=_place(move)),) if move.judged_tree else ()
    return tuple(
        Statement(subjects, kind, predicate)
        for kind, predicate, artifacts in said
        for subjects in (artifacts, tree)
        if subjects
    )


def _subject(move: PhaseMove, artifact: SealedArtifact) -> Resource:
    notes = {"origin": artifact.origin, "isolation": artifact.isolation, "gitTree": artifact.tree}
    kept = {name: note for name, note in notes.items() if note}
    return Resource(
        artifact.name, artifact.sha256, media_type=artifact.media_type, annotations={**_place(move), **kept}
    )


def _place(move: PhaseMove) -> dict[str, str]:
    return {"task": move.task, "phase": move.origin, "leafHash": move.line.leaf}


def phase_move(move: PhaseMove) -> dict[str, Any]:
    """The predicate of `PHASE_MOVE`."""
    shown: dict[str, Any] = {
        "ledger": {"origin": move.line.origin, "seq": move.line.seq, "leafHash": move.line.leaf},
        "transition": {
            "task": move.task,
            "profile": move.profile,
            "from": move.origin,
            "to": move.target,
            "epoch": move.epoch,
        },
        "actor": dict(move.actor),
        "gates": [{"id": move.origin, "verdict": move.verdict, "observed": [dict(one) for one in move.observed]}],
        "artifacts": [artifact.as_dict() for artifact in move.artifacts],
        "approvals": list(move.approvals),
        "prompt": {"status": move.prompt_status},
        "baseTree": {"gitTree": move.base_tree},
        "configuration": {"sha256": move.config},
        "trustMode": move.trust_mode,
        "startedOn": move.started,
        "finishedOn": move.finished,
    }
    if move.lease is not None:
        shown["lease"] = {"resource": move.lease[0], "fence": move.lease[1]}
    if move.prompt is not None:
        shown["prompt"]["digest"] = {"sha256": move.prompt}
    if move.judged_tree:
        shown["judgedTree"] = {"gitTree": move.judged_tree}
    if move.journal:
        shown["journal"] = {"sha256": move.journal}
    return shown


def test_result(move: PhaseMove, tests: TestRun) -> dict[str, Any]:
    """The predicate of `TEST_RESULT`."""
    configuration = [move.policy(), *(Resource(name, digest) for name, digest in tests.depended)]
    return {
        "result": tests.result,
        "configuration": [resource.as_dict() for resource in configuration],
        "passedTests": list(tests.passed),
        "warnedTests": list(tests.warned),
        "failedTests": list(tests.failed),
    }


def verification(move: PhaseMove) -> dict[str, Any]:
    """The predicate of `VERIFICATION`. A gate that something only observed has no property that says that it passed."""
    properties = [f"AUTOPILOT_{move.origin}_GATE_{move.verdict}", f"AUTOPILOT_TRUST_MODE_{move.trust_mode}"]
    return {
        "verifier": {"id": VERIFIER, "policies": [move.policy().as_dict()]},
        "timeCreated": move.finished,
        "properties": properties,
    }
