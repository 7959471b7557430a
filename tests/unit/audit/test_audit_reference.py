"""docs/reference/audit.md is what the tables say, and the example beside it is what the command prints."""

from __future__ import annotations

import json
import re
from pathlib import Path

from jsonschema import Draft202012Validator

from autopilot.audit.findings import FINDINGS, Severity
from autopilot.audit.reference import render
from autopilot.audit.run import CHECKS
from autopilot.cli.reference import SHAPES

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"
SCHEMA = json.loads((REFERENCE / "audit" / "schema.json").read_text())
EXAMPLE = json.loads((REFERENCE / "audit" / "example.json").read_text())


def test_the_page_is_current() -> None:
    page = (REFERENCE / "audit.md").read_text()
    assert page == render(), "run: python -m autopilot.audit.reference > docs/reference/audit.md"


def test_the_example_fits_the_schema_and_the_tables() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    Draft202012Validator(SCHEMA).validate(EXAMPLE)
    assert EXAMPLE["findings"]
    for finding in EXAMPLE["findings"]:
        row = FINDINGS[finding["code"]]
        assert (finding["severity"], finding["check"]) == (row.severity, row.check)
        assert finding["remedy"] == row.remedy.replace("TASK", finding["task"])


def test_the_schema_knows_every_field_check_and_severity() -> None:
    assert set(SCHEMA["properties"]) == {"schema_version", *SHAPES["audit"]} == set(EXAMPLE)
    assert SCHEMA["$defs"]["check"]["enum"] == list(CHECKS)
    assert list(SCHEMA["properties"]["totals"]["properties"]) == [str(severity) for severity in Severity]


def test_every_finding_has_a_check_and_something_to_do() -> None:
    for code, row in FINDINGS.items():
        assert re.fullmatch(r"[a-z_]+", code)
        assert row.check in CHECKS, code
        assert row.title, code
        assert row.remedy, code


def test_only_the_record_itself_is_an_integrity_failure() -> None:
    assert {severity: severity.exit_code for severity in Severity} == {
        Severity.CRITICAL: 3,
        Severity.MAJOR: 1,
        Severity.MINOR: 0,
        Severity.INFO: 0,
    }
