"""docs/reference is true: each example is accepted by its rule and its schema, and each schema is the models'."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from autopilot.evidence.contracts import CAPS, RULES, check_artifact
from autopilot.evidence.pins import pinned_changes
from autopilot.evidence.pull_request import fill_evidence
from autopilot.evidence.schemas import schemas
from autopilot.evidence.skeletons import skeleton_names
from autopilot.evidence.values.quality import quality_hundredths
from autopilot.evidence.values.runs import TAIL_CHARACTERS
from autopilot.kernel.reason_codes import REASON_CODES

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference"


@pytest.mark.parametrize("name", sorted(RULES))
def test_each_artifact_has_an_example_that_its_rule_accepts(name, example, context_for):
    assert RULES[name](example(name), context_for(name)) == ()
    assert len(example(name)) <= CAPS[name]


@pytest.mark.parametrize("name", sorted(schemas()))
def test_each_schema_is_the_models_and_accepts_the_example(name, example):
    file = REFERENCE / "schemas" / (name if name.endswith(".json") else f"{name}.json")
    schema = json.loads(file.read_text())
    assert schema == schemas()[name], f"write schemas()[{name!r}] to {file} again"
    jsonschema.Draft202012Validator.check_schema(schema)
    data = example(name).partition(b"\n")[0] if name == "build_output.log" else example(name)
    jsonschema.Draft202012Validator(schema).validate(json.loads(data))


def test_no_file_is_left_over():
    assert {path.name for path in (REFERENCE / "schemas").iterdir()} == {
        name if name.endswith(".json") else f"{name}.json" for name in schemas()
    }
    assert RULES.keys() == CAPS.keys()
    assert set(skeleton_names()) <= RULES.keys()


def test_the_reference_names_every_artifact_and_figure():
    text = (REFERENCE / "evidence.md").read_text()
    missing = [name for name in RULES if f"`{name}`" not in text]
    assert not missing
    from autopilot.evidence.rules import plan, pr, review, spec, strategize, think

    rows = {
        "strategy.md": strategize.GROUNDING,
        "spec.md": spec.GROUNDING,
        "plan.md": plan.GROUNDING,
        "edge_cases.md": think.GROUNDING,
        "review_rubric.json": review.NOTES,
        "pr_template_filled.md": pr.GROUNDING,
    }
    for name, rule in rows.items():
        share = f"{rule.anchored[0]}/{rule.anchored[1]}"
        figures = (rule.words_each, rule.words_total, rule.title_words, rule.citations, share)
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |") and share in line)
        assert [cell.strip() for cell in row.split("|")[3:8]] == [str(figure) for figure in figures], name


def test_executed_evidence_is_told_as_it_is():
    page = (REFERENCE / "evidence-executed.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+)\.(\d\d) \|$", page, re.MULTILINE)
    assert len(rows) == 5
    for findings, lines, whole, part in rows:
        assert quality_hundredths(int(findings), int(lines)) == int(whole) * 100 + int(part)
    codes = re.findall(r"^\| `([a-z_]+)` \|", page.partition("## Reports")[2], re.MULTILINE)
    assert len(codes) == 9
    assert set(codes) <= set(REASON_CODES)
    assert f"the last {TAIL_CHARACTERS} printable" in (REFERENCE / "evidence.md").read_text()


def test_the_examples_of_pins_are_pinned():
    page = (REFERENCE / "evidence-executed.md").read_text().partition("## Pins")[2]
    (row,) = re.findall(r"^\| what steers a runner, new or old \|(.*)\|$", page, re.MULTILINE)
    names = re.findall(r"`([^`]+)`", row)
    assert len(names) == 19
    for name in names:
        assert pinned_changes([(name.replace("*", "x"), "added")], lambda _: (None, b"")), name


def test_an_artifact_without_a_rule_is_refused(make_context):
    assert [reason.code for reason in check_artifact("notes.txt", b"x", make_context())] == ["unknown_artifact"]


def test_the_pr_example_is_what_the_engine_would_write(example, context_for):
    text = example("pr_template_filled.md").decode()
    assert fill_evidence(text, context_for("pr_template_filled.md").evidence_excerpt) == text
