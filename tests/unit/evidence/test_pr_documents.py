"""pr_url.txt, pr_template_filled.md, deployment_status.json."""

from __future__ import annotations

import json

import pytest

from autopilot.evidence.pull_request import CLOSE, OPEN, PullRequest, fill_evidence, parse_pr_url
from autopilot.evidence.rules.monitor import check_deployment_status
from autopilot.evidence.rules.pr import check_pr_template, check_pr_url
from autopilot.kernel.errors import ContractError

COMMIT = "9f2c4e6a8b0d1f3e5a7c9b1d3f5e7a9c0b2d4f60"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://github.com/a/b/pull/12\n", PullRequest(url="https://github.com/a/b/pull/12")),
        (f"fix/x@{COMMIT}", PullRequest(branch="fix/x", commit=COMMIT)),
    ],
)
def test_references(text, expected):
    assert parse_pr_url(text.encode()) == expected


@pytest.mark.parametrize(
    "text",
    [
        "http://github.com/a/b/pull/1",
        "https://",
        "https:///x",
        "https://h",
        "https://h/",
        "https://u:p@h/x",
        "https://u@h/x",
        "https://h/x y",
        "https://[::1/x",
        "https://h:99999/x",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "ftp://h/x",
        "fix@abc",
        f"fix@{COMMIT[:39]}",
        f"fix@{COMMIT}0",
        f"@{COMMIT}",
        f"-x@{COMMIT}",
        f"a..b@{COMMIT}",
        f"a.lock@{COMMIT}",
        f"fix@{COMMIT.upper()}",
        f"fix@{COMMIT}\nhttps://h/x",
        "done",
        "https://h\u00e9/x",
    ],
)
def test_what_is_no_reference(text, make_context):
    assert [reason.code for reason in check_pr_url(text.encode(), make_context())] == ["artifact_invalid"]


def test_the_commit_is_the_one_pr_is_left_with(make_context):
    data = f"fix@{COMMIT}".encode()
    assert check_pr_url(data, make_context(commit=COMMIT)) == ()
    assert [r.code for r in check_pr_url(data, make_context(commit="0" * 40))] == ["tree_mismatch"]


def judge(text: str, context):
    return [(reason.code, reason.where) for reason in check_pr_template(text.encode(), context)]


@pytest.fixture
def template(example):
    return example("pr_template_filled.md").decode()


def test_evidence_that_is_not_the_engines_is_refused(template, context_for):
    context = context_for("pr_template_filled.md")
    forged = template.replace("phase_validations_failed 1", "phase_validations_failed 0")
    assert judge(forged, context) == [("excerpt_differs", "pr_template_filled.md Evidence")]
    assert judge(template, context_for("pr_template_filled.md", evidence_excerpt=None))[0][0] == "excerpt_differs"
    beside = template.replace(OPEN, f"All 900 tests passed.\n\n{OPEN}")
    assert judge(beside, context) == [("artifact_invalid", "pr_template_filled.md:17 Evidence")]
    below = template + "\nReviewed by the security team.\n"
    assert judge(below, context)[0][0] == "artifact_invalid"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(OPEN, ""),
        lambda text: text.replace(CLOSE, OPEN),
        lambda text: text + f"\n{OPEN}\nx\n{CLOSE}\n",
        lambda text: text.replace(OPEN, "```\n" + OPEN).replace(CLOSE, CLOSE + "\n```"),
        lambda text: text.replace(OPEN, f"- {OPEN}"),
        lambda text: text.replace("## Summary", f"{OPEN}\n{CLOSE}\n## Summary"),
    ],
)
def test_markers_stand_once_and_visibly(change, template, context_for):
    assert judge(change(template), context_for("pr_template_filled.md"))


def test_sections_are_due(template, context_for):
    for title in ("Summary", "Risks", "Rollback", "Evidence"):
        found = judge(template.replace(f"## {title}", f"### {title}"), context_for("pr_template_filled.md"))
        assert ("section_missing", f"pr_template_filled.md {title}") in found


def test_fill_evidence():
    filled = fill_evidence("# T\n\n## Evidence\n\n## More\n", "a\nb\n")
    assert filled == f"# T\n\n## Evidence\n\n{OPEN}\na\nb\n{CLOSE}\n\n\n## More\n"
    assert fill_evidence(filled, "a\nb\n") == filled
    assert fill_evidence(filled, "c") == filled.replace("a\nb", "c")
    assert fill_evidence("text", "x") == f"text\n\n## Evidence\n\n{OPEN}\nx\n{CLOSE}\n"
    for text, excerpt in (
        (CLOSE + OPEN, "x"),
        (OPEN, "x"),
        (OPEN * 2 + CLOSE, "x"),
        ("t", OPEN),
        ("t", "## Own"),
        ("t", "```"),
    ):
        with pytest.raises(ContractError):
            fill_evidence(text, excerpt)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        ({"status": "not_applicable", "note": "a library; nothing runs anywhere"}, []),
        ({"status": "rolled_back"}, [("deployment_failed", "status")]),
        ({"status": "failed"}, [("deployment_failed", "status")]),
        ({"status": "probably fine"}, [("artifact_invalid", "status")]),
        ({"commit": "HEAD"}, [("artifact_invalid", "commit")]),
        ({"note": "TBD"}, [("placeholder_text", "note")]),
        ({"note": "ok"}, [("section_empty", "note")]),
        ({"healthy": "yes"}, [("artifact_invalid", "healthy")]),
    ],
)
def test_deployment_status(change, expected, example, context_for):
    value = {**json.loads(example("deployment_status.json")), **change}
    reasons = check_deployment_status(json.dumps(value).encode(), context_for("deployment_status.json"))
    assert [(r.code, r.where.removeprefix("deployment_status.json ")) for r in reasons] == expected
