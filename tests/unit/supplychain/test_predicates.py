"""Statements and predicates: what is said, of what, and what is not said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from moves import LEAF, SHA, TREE, move, run

from autopilot.kernel.canonical import loads
from autopilot.kernel.errors import ContractError
from autopilot.supplychain.predicates import (
    PHASE_MOVE,
    TEST_RESULT,
    VERIFICATION,
    TestRun,
    phase_move,
    statements_of,
    verification,
)
from autopilot.supplychain.statement import Resource, Statement


def told(statement: Statement) -> dict[str, Any]:
    """The statement as a reader has it."""
    value: dict[str, Any] = loads(statement.payload())
    return value


# --- statements


@pytest.mark.parametrize(
    ("name", "digest", "algorithm"),
    [
        ("", SHA, "sha256"),
        ("a", SHA[:-1], "sha256"),
        ("a", SHA.upper(), "sha256"),
        ("a", TREE, "sha256"),
        ("a", SHA + "\n", "sha256"),
        ("a", "", "gitTree"),
        ("a", "g" * 40, "gitTree"),
    ],
)
def test_a_resource_has_a_name_and_a_digest_of_its_algorithm(name: str, digest: str, algorithm: str) -> None:
    with pytest.raises(ContractError, match="malformed_digest"):
        Resource(name, digest, algorithm)


def test_a_statement_has_a_predicate_and_subjects_of_different_names() -> None:
    subject = Resource("a", SHA)
    for subjects, predicate in (((), {"a": 1}), ((subject,), {}), ((subject, Resource("a", SHA)), {"a": 1})):
        with pytest.raises(ContractError, match="not_plain_data"):
            Statement(subjects, "urn:x", predicate)


def test_the_bytes_are_those_of_the_strict_form() -> None:
    payload = Statement((Resource("ä", SHA),), "urn:x", {"b": 1, "a": None}).payload()
    assert (
        payload
        == (
            f'{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"name":"ä","digest":{{"sha256":"{SHA}"}}}}],'
            '"predicateType":"urn:x","predicate":{"b":1,"a":null}}'
        ).encode()
    )


# --- predicates


def test_a_phase_is_told_of_its_artifacts_and_again_of_the_judged_tree() -> None:
    said = [(s.predicate_type, [(r.name, r.algorithm) for r in s.subjects]) for s in statements_of(move(), run())]
    artifacts = [("test_results.json", "sha256"), ("notes.md", "sha256")]
    tree = [("judged-tree", "gitTree")]
    assert said == [
        (PHASE_MOVE, artifacts),
        (PHASE_MOVE, tree),
        (TEST_RESULT, artifacts[:1]),
        (TEST_RESULT, tree),
        (VERIFICATION, artifacts),
        (VERIFICATION, tree),
    ]


def test_every_subject_says_of_which_task_phase_and_line_it_is() -> None:
    for statement in statements_of(move(), run()):
        for subject in told(statement)["subject"]:
            assert subject["annotations"].items() >= {"task": "T-1", "phase": "VERIFY", "leafHash": LEAF}.items()


def test_before_there_is_a_judged_tree_nothing_is_said_of_one() -> None:
    early = replace(move(), origin="SPEC", judged_tree="")
    assert {r.algorithm for s in statements_of(early) for r in s.subjects} == {"sha256"}
    assert "judgedTree" not in phase_move(early)
    assert statements_of(replace(early, artifacts=())) == ()


def test_what_a_move_rested_on_is_in_its_predicate() -> None:
    said = phase_move(move())
    assert said["ledger"] == {"origin": "autopilot/0123", "seq": 9, "leafHash": LEAF}
    assert said["lease"] == {"resource": "T-1/VERIFY", "fence": 6}
    assert said["prompt"] == {"status": "attested", "digest": {"sha256": SHA}}
    assert said["gates"] == [{"id": "VERIFY", "verdict": "PASSED", "observed": []}]
    assert {one["name"]: one["origin"] for one in said["artifacts"]} == {
        "test_results.json": "executed",
        "notes.md": "asserted",
    }
    bare = phase_move(replace(move(), lease=None, prompt=None, journal=""))
    assert not {"lease", "journal"} & bare.keys()
    assert bare["prompt"] == {"status": "attested"}


def test_a_gate_that_was_only_observed_is_not_said_to_have_passed() -> None:
    observed = replace(move(), observed=({"code": "tests_failed", "where": "x", "detail": "y"},))
    assert phase_move(observed)["gates"][0]["verdict"] == "WARNED"
    assert verification(move())["properties"] == ["AUTOPILOT_VERIFY_GATE_PASSED", "AUTOPILOT_TRUST_MODE_0"]
    assert not [name for name in verification(observed)["properties"] if name.endswith("PASSED")]


@pytest.mark.parametrize(
    ("passed", "warned", "failed", "result"),
    [
        (("a",), (), (), "PASSED"),
        (("a",), ("b",), (), "WARNED"),
        (("a",), ("b",), ("c",), "FAILED"),
        ((), ("b",), (), "FAILED"),
        ((), (), (), "FAILED"),
    ],
)
def test_a_run_is_as_good_as_its_worst_test(
    passed: tuple[str, ...], warned: tuple[str, ...], failed: tuple[str, ...], result: str
) -> None:
    assert TestRun("test_results.json", passed, warned, failed).result == result
