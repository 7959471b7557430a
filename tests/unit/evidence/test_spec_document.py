"""spec.md: criteria, proofs, accept blocks, KPIs: each fault with its code and line."""

from __future__ import annotations

import pytest

from autopilot.evidence.rules.spec import check_spec
from autopilot.evidence.spec import AcceptBlock, parse_spec
from autopilot.kernel.errors import ContractError

CRITERION = "- AC-1: `paginate` returns no empty page after a full last page\n  proof: accept\n"
BLOCK = "```accept id=AC-1 base=fail timeout=60\npython -m pytest -q tests/test_pager.py\n```\n"
KPIS = "## KPIs\n\n- 0 empty pages in 1000 listings\n"


def spec(criteria: str = CRITERION, blocks: str = BLOCK, kpis: str = KPIS) -> str:
    return f"# Spec\n\n## Acceptance criteria\n\n{criteria}\n{blocks}\n{kpis}"


def faults(text: str, context) -> list[tuple[str, str]]:
    return [(reason.code, reason.where) for reason in check_spec(text.encode(), context)]


def test_the_form_is_read_whole(example):
    parsed = parse_spec(example("spec.md").decode())
    assert [(c.id, c.proof, c.tests) for c in parsed.criteria] == [
        ("AC-1", "accept", ()),
        ("AC-2", "test", ("tests/test_pager.py::test_page_count_agrees",)),
        ("AC-3", "human", ()),
    ]
    assert [(b.id, b.base, b.timeout_seconds, len(b.argv)) for b in parsed.accepts] == [
        ("AC-1", "fail", 60, 3),
        ("AC-1", "pass", 60, 3),
    ]
    assert [kpi.text for kpi in parsed.kpis] == ["0 empty pages in 1,000 listings of random length"]


def test_a_good_spec_passes(make_context):
    assert faults(spec(), make_context()) == []
    assert parse_spec(spec()).accepts == (
        AcceptBlock("AC-1", ("python", "-m", "pytest", "-q", "tests/test_pager.py"), "fail", 60, 8),
    )


def test_a_block_indented_below_its_criterion_is_read(make_context):
    indented = "".join(f"  {line}\n" for line in BLOCK.splitlines())
    assert faults(spec(blocks=indented), make_context()) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            spec(criteria=""),
            [("criterion_missing", "spec.md:3 Acceptance criteria"), ("unknown_criterion", "spec.md:6 AC-1")],
        ),
        (spec(criteria=CRITERION + CRITERION), [("criterion_duplicate", "spec.md:7 AC-1")]),
        (spec(criteria="- AC1: text\n"), [("criterion_missing", "spec.md:5"), ("unknown_criterion", "spec.md:7 AC-1")]),
        (spec(criteria=CRITERION.replace("  proof: accept\n", "")), [("criterion_unproved", "spec.md:5 AC-1")]),
        (spec(blocks=""), [("criterion_unproved", "spec.md:5 AC-1")]),
        (spec(blocks=BLOCK.replace("base=fail", "base=pass")), [("criterion_unproved", "spec.md:5 AC-1")]),
        (spec(criteria=CRITERION.replace("accept", "trust me")), [("criterion_unproved", "spec.md:6 AC-1")]),
        (spec(criteria=CRITERION + "  proof: human\n"), [("criterion_unproved", "spec.md:5 AC-1")]),
        (spec(criteria=CRITERION.replace("accept", "test a/b.py")), [("criterion_unproved", "spec.md:6 AC-1")]),
        (spec(criteria=CRITERION.replace("accept", "test ../b.py::t")), [("criterion_unproved", "spec.md:6 AC-1")]),
        (
            spec(blocks=BLOCK.replace("AC-1", "AC-7")),
            [("unknown_criterion", "spec.md:8 AC-7"), ("criterion_unproved", "spec.md:5 AC-1")],
        ),
        (spec(kpis="## KPIs\n\n- fewer empty pages\n"), [("kpi_without_number", "spec.md:14 KPIs")]),
        (spec(kpis="## KPIs\n\nfaster\n"), [("kpi_without_number", "spec.md:12 KPIs")]),
        (spec(kpis=""), [("section_missing", "spec.md KPIs")]),
        ("## KPIs\n\n- 1 page of ten\n", [("section_missing", "spec.md Acceptance criteria")]),
        (spec(blocks=f"<!--\n{BLOCK}-->\n"), [("criterion_unproved", "spec.md:5 AC-1")]),
        (
            spec(blocks="", kpis=KPIS + "\n" + BLOCK),
            [("accept_malformed", "spec.md:13"), ("criterion_unproved", "spec.md:5 AC-1")],
        ),
    ],
)
def test_each_fault_has_its_code_and_place(text, expected, make_context):
    assert faults(text, make_context()) == expected


@pytest.mark.parametrize(
    "block",
    [
        "```accept id=AC-1\npython -m pytest\npython -m build\n```",
        "```accept id=AC-1\n```",
        "```accept id=AC-1\ntrue\n```",
        "```accept id=AC-1\n/bin/true\n```",
        "```accept id=AC-1\n:\n```",
        "```accept id=AC-1\nexit 0\n```",
        "```accept id=AC-1\necho ok\n```",
        "```accept id=AC-1\nbash -ec 'exit 0'\n```",
        '```accept id=AC-1\n["sh", "-c", "exit 0"]\n```',
        "```accept id=AC-1\npytest && true\n```",
        "```accept id=AC-1\npytest | tail\n```",
        "```accept id=AC-1\npytest > log\n```",
        "```accept id=AC-1\npytest $HOME\n```",
        "```accept id=AC-1\npytest `ls`\n```",
        "```accept id=AC-1\npytest tests/*.py\n```",
        "```accept id=AC-1\nX=1 pytest\n```",
        "```accept id=AC-1\npytest 'open\n```",
        '```accept id=AC-1\n["pytest", 1]\n```',
        "```accept id=AC-1\n[]\n```",
        "```accept id=AC-1 base=maybe\npytest\n```",
        "```accept id=AC-1 timeout=0\npytest\n```",
        "```accept id=AC-1 timeout=999999999999999999999\npytest\n```",
        "```accept id=AC-1 timeout=\u0661\npytest\n```",
        "```accept id=AC-1 id=AC-1\npytest\n```",
        "```accept id=AC-1 shell=yes\npytest\n```",
        "```accept base=fail\npytest\n```",
        "```Accept id=AC-1\npytest\n```",
    ],
)
def test_a_block_that_cannot_be_used_is_malformed_and_proves_nothing(block, make_context):
    found = faults(spec(blocks=block + "\n"), make_context())
    assert ("accept_malformed", "spec.md:8") in found
    assert ("criterion_unproved", "spec.md:5 AC-1") in found


def test_parse_spec_raises_the_first_fault():
    with pytest.raises(ContractError) as caught:
        parse_spec(spec(blocks=""))
    assert (caught.value.code, caught.value.where) == ("criterion_unproved", "spec.md:5 AC-1")


def test_vacuous_criteria_and_kpis_are_refused(make_context):
    vague = "- AC-1: it works as expected and is of high quality\n  proof: human\n"
    assert {code for code, _ in faults(spec(vague, ""), make_context())} == {"ungrounded"}
    same = CRITERION + CRITERION.replace("AC-1", "AC-2").replace("accept", "human")
    assert [code for code, _ in faults(spec(same), make_context())] == ["repeated_text"]


@pytest.mark.parametrize("digit", ["\u0661", "\uff11", "\u0967"])
def test_an_id_has_plain_digits(digit):
    """`AC-1` followed by another script's one would look like AC-11 to a person."""
    text = f"## Acceptance criteria\n\n- AC-1{digit}: it works\n  proof: human\n\n## KPIs\n\n- none of 10 fails\n"
    with pytest.raises(ContractError, match="criterion_missing"):
        parse_spec(text)
