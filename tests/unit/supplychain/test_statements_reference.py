"""docs/reference/statements.md and what lies beside it is what the code makes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from moves import KEY, move, run

from autopilot.supplychain.dsse import PAYLOAD_TYPE, key_id_of, pem_of, sealed
from autopilot.supplychain.predicates import PHASE_MOVE, TEST_RESULT, VERIFICATION, VERIFIER, statements_of

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"
BESIDE = REFERENCE / "statements"
PAGE = (REFERENCE / "statements.md").read_text()
STATEMENTS = statements_of(move(), run())
SCHEMA_OF = {PHASE_MOVE: "phase-move", TEST_RESULT: "test-result", VERIFICATION: "verification"}


def schema_of(predicate_type: str) -> dict[str, Any]:
    """The schema of a predicate."""
    schema: dict[str, Any] = json.loads((BESIDE / f"{SCHEMA_OF[predicate_type]}.schema.json").read_text())
    return schema


def test_the_example_is_what_the_code_makes_of_it() -> None:
    lines = b"".join(sealed(statement.payload(), KEY).encode() + b"\n" for statement in STATEMENTS)
    assert (BESIDE / "example.intoto.jsonl").read_bytes() == lines
    assert (BESIDE / "example-key.pem").read_text() == pem_of(KEY.verifier)
    assert json.loads((BESIDE / "example-statement.json").read_bytes()) == json.loads(STATEMENTS[0].payload())


@pytest.mark.parametrize("predicate_type", SCHEMA_OF)
def test_each_schema_takes_what_is_made_and_nothing_with_a_field_more_or_less(predicate_type: str) -> None:
    schema = schema_of(predicate_type)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    predicate = json.loads(next(s for s in STATEMENTS if s.predicate_type == predicate_type).payload())["predicate"]
    validator.validate(predicate)
    assert not validator.is_valid({**predicate, "further": 1})
    for name in schema["required"]:
        assert not validator.is_valid({key: value for key, value in predicate.items() if key != name}), name


def test_the_page_names_every_field_type_and_name() -> None:
    for predicate_type in SCHEMA_OF:
        for name in schema_of(predicate_type)["properties"]:
            assert f"`{name}`" in PAGE, name
        assert f"`{predicate_type}`" in PAGE
    assert f"`{VERIFIER}`" in PAGE
    assert f"`{PAYLOAD_TYPE}`" in PAGE
    # The example's key id is computed on the page, step by step.
    assert key_id_of(KEY.verifier) in PAGE
    assert KEY.verifier.public.hex() in PAGE


def test_the_statement_shown_is_the_example() -> None:
    shown = re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert shown is not None
    assert json.loads(shown[1]) == json.loads(STATEMENTS[0].payload())
