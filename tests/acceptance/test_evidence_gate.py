"""The evidence gate: every artifact of every phase is there, is no skeleton, is about this task, and fits its form.

Red without: `missing_evidence` in `admit` (process/admission.py); `Bench.judge` (process/runners/bench.py), and each
rule in `evidence/contracts.RULES`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from governed import TASK, Governed, Prepare, expect_refusal

from autopilot.kernel.errors import TransitionRefusedError
from autopilot.kernel.phases import PHASES, Phase
from autopilot.process.profiles import CODE_CHANGE

LOREM = (
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore",
    "Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris nisi ut aliquip ex ea commodo",
    "Duis aute irure dolor in reprehenderit in voluptate velit esse cillum dolore eu fugiat nulla",
    "Excepteur sint occaecat cupidatat non proident, sunt in culpa qui officia deserunt mollit anim",
)
ASSERTED = [
    (phase, artifact.name)
    for phase, contract in CODE_CHANGE.phases.items()
    for artifact in contract.artifacts
    if artifact.origin == "asserted"
]


def lorem(text: str) -> str:
    """The document with its form kept and its words gone."""
    kept, inside = [], False
    for number, line in enumerate(text.splitlines()):
        inside ^= line.startswith("```")
        form = re.match(r"(\s*(?:- )?(?:[A-Z]+-\d+: |mitigation: |accepted: )?)(.*?)((?: \(AC-[^)]*\))?)$", line)
        if inside or not line.strip() or line.startswith(("#", "```")) or "proof:" in line or form is None:
            kept.append(line)
        else:
            kept.append(f"{form[1]}{LOREM[number % len(LOREM)]} 7{form[3]}")
    return "\n".join(kept) + "\n"


def prepared(at: Prepare, phase: Phase) -> Governed:
    """In `phase`, its documents written and its commands run already, so that the tests below need not run them."""
    governed = at(phase)
    governed.agent.prepare(phase)
    assert governed.verify().admitted
    return governed


@pytest.mark.parametrize("phase", [phase for phase in PHASES if any(p is phase for p, _ in ASSERTED)])
def test_each_document_is_there_and_is_no_skeleton(at: Prepare, phase: Phase) -> None:
    governed = prepared(at, phase)
    for name in [name for p, name in ASSERTED if p is phase]:
        path = governed.evidence(phase, name)
        good = path.read_bytes()
        path.unlink()
        with expect_refusal(governed, "artifact_missing"):
            governed.advance()
        assert governed.workspace.guidance.write_skeletons(TASK, caller=governed.caller()) == (
            f"{TASK}/{phase.folder}/{name}",
        )
        with expect_refusal(governed, "skeleton_unchanged"):
            governed.advance()
        for nonsense, codes in ((b"", EMPTY), (b"\xff\xfe\x00", NO_TEXT), (b"# \n" * 9, NO_CONTENT)):
            path.write_bytes(nonsense)
            with expect_refusal(governed, codes):
                governed.advance()
        path.write_bytes(good)
    governed.advance()


EMPTY = ("artifact_empty", "artifact_invalid", "section_missing", "bad_json")
NO_TEXT = ("artifact_not_text", "artifact_invalid", "bad_json")
NO_CONTENT = (
    "section_missing",
    "artifact_invalid",
    "work_item_missing",
    "criterion_missing",
    "bad_json",
    "artifact_empty",
)


@pytest.mark.parametrize(
    ("phase", "name"), [(p, n) for p, n in ASSERTED if n.endswith(".md")], ids=lambda value: str(value)
)
def test_lorem_ipsum_under_the_right_headings_is_refused(at: Prepare, phase: Phase, name: str) -> None:
    governed = prepared(at, phase)
    path = governed.evidence(phase, name)
    path.write_text(lorem(path.read_text()))
    with expect_refusal(governed, ("placeholder_text", "ungrounded")):
        governed.advance()


def without(section: str) -> Callable[[str], str]:
    return lambda text: re.sub(rf"## {section}\n.*?(?=\n## |\Z)", "", text, flags=re.DOTALL)


def replaced(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


def other_json(change: Callable[[object], object]) -> Callable[[str], str]:
    return lambda text: json.dumps(change(json.loads(text)))


def failing_dimension(value: dict) -> dict:
    value["dimensions"]["security"]["verdict"] = "fail"
    return value


def low_score(value: dict) -> dict:
    value["dimensions"]["security"]["score"] = 10
    return value


WRONG: tuple[tuple[Phase, str, Callable[[str], str], str], ...] = (
    (Phase.STRATEGIZE, "strategy.md", without("Risks"), "section_missing"),
    (Phase.STRATEGIZE, "strategy.md", replaced("`", ""), "ungrounded"),
    (Phase.SPEC, "spec.md", replaced("AC-2", "AC-1"), "criterion_duplicate"),
    (Phase.SPEC, "spec.md", replaced("  proof: accept\n", ""), "criterion_unproved"),
    (
        Phase.SPEC,
        "spec.md",
        replaced("- 0 totals below zero for percentages from 0 to 100", "- few totals below zero"),
        "kpi_without_number",
    ),
    (Phase.SPEC, "spec.md", without("KPIs"), "section_missing"),
    (Phase.PLAN, "plan.md", replaced("(AC-1, AC-2)", "(AC-1)"), "criterion_uncovered"),
    (Phase.PLAN, "plan.md", replaced("AC-2", "AC-9"), "unknown_criterion"),
    (Phase.PLAN, "file_map.json", replaced("shop/pricing.py", "../pricing.py"), "path_outside"),
    (Phase.PLAN, "file_map.json", replaced("shop/pricing.py", "state/ledger/head"), "path_outside"),
    (Phase.PLAN, "file_map.json", replaced('"added"', '"modified"'), "file_map_contradicts_base"),
    (Phase.PLAN, "file_map.json", replaced("tests/test_discount.py", "tests/*"), "path_outside"),
    (Phase.THINK, "edge_cases.md", replaced("  accepted:", "  perhaps:"), "case_without_mitigation"),
    (Phase.REVIEW, "review_rubric.json", other_json(failing_dimension), "rubric_below_threshold"),
    (Phase.REVIEW, "review_rubric.json", other_json(low_score), "rubric_below_threshold"),
    (Phase.REVIEW, "review_rubric.json", replaced('"README.md"', '"MISSING.md"'), "ungrounded"),
    (Phase.PR, "pr_url.txt", lambda _: "see the usual place\n", "artifact_invalid"),
    (Phase.PR, "pr_template_filled.md", without("Rollback"), "section_missing"),
    (Phase.MONITOR, "deployment_status.json", replaced("not_applicable", "failed"), "deployment_failed"),
    (Phase.MONITOR, "deployment_status.json", replaced("not_applicable", "surely"), "artifact_invalid"),
)


@pytest.mark.parametrize(
    ("phase", "name", "change", "code"), WRONG, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_wrong_content_is_refused_at_its_place(
    at: Prepare, phase: Phase, name: str, change: Callable[[str], str], code: str
) -> None:
    governed = prepared(at, phase)
    path = governed.evidence(phase, name)
    changed = change(path.read_text())
    assert changed != path.read_text(), "the change changes nothing"
    path.write_text(changed)
    with expect_refusal(governed, code) as refusal:
        governed.advance()
    assert any(name in reason.where for reason in refusal.reasons if reason.code == code)


@pytest.mark.parametrize("phase", PHASES)
def test_next_names_all_that_is_missing_and_runs_nothing(at: Prepare, phase: Phase) -> None:
    governed = at(phase)
    head = governed.workspace.ledger.view().head
    steps = governed.workspace.guidance.next_steps(TASK, caller=governed.caller())
    named = {missing.artifact for missing in steps.missing}
    if any(need.kind == "accept_unisolated" for need in steps.approvals):
        # Where isolation is missing, a person is named for it: the accept blocks run only once she has read them.
        named.add("accept_base.json")
    contract = CODE_CHANGE.contract(phase)
    asserted = {artifact.name for artifact in contract.artifacts if artifact.origin == "asserted"}
    executed = {artifact.name for artifact in contract.artifacts if artifact.origin == "executed"}
    assert asserted | executed <= named
    assert all(missing.remedy for missing in steps.missing)
    assert governed.workspace.ledger.view().head == head


def test_a_command_that_the_profile_needs_must_be_configured(fresh: Governed) -> None:
    fresh.settings(lambda text: re.sub(r"\[commands.coverage\].*?\n\n", "", text, flags=re.DOTALL))
    with pytest.raises(TransitionRefusedError, match=r"commands\.coverage") as caught:
        fresh.agent.open()
    assert caught.value.code == "not_configured"
    assert not fresh.lines("task.opened")
    (line,) = fresh.lines("gate.verdict")
    assert (line.seq, line.task) == (caught.value.seq, None)
    assert [(reason["code"], reason["where"]) for reason in line.data["reasons"]] == [
        ("not_configured", "commands.coverage")
    ]
