"""review_rubric.json: written by another, grounded, over its thresholds."""

from __future__ import annotations

import json

import pytest

from autopilot.evidence.context import Thresholds
from autopilot.evidence.rules.review import check_review_rubric
from autopilot.evidence.values.rubric import DIMENSIONS


@pytest.fixture
def judge(example, context_for):
    """Judge the example rubric after `change` worked on it."""

    def judged(change=lambda rubric: None, **context):
        rubric = json.loads(example("review_rubric.json"))
        change(rubric)
        reasons = check_review_rubric(json.dumps(rubric).encode(), context_for("review_rubric.json", **context))
        return [(reason.code, reason.where.removeprefix("review_rubric.json ")) for reason in reasons]

    return judged


@pytest.mark.parametrize("name", DIMENSIONS)
def test_each_dimension_must_pass_at_its_threshold(name, judge):
    assert judge(lambda r: r["dimensions"][name].update(score=69)) == [
        ("rubric_below_threshold", f"dimensions.{name}.score")
    ]
    assert judge(lambda r: r["dimensions"][name].update(score=70)) == []
    assert judge(lambda r: r["dimensions"][name].update(verdict="fail")) == [
        ("rubric_below_threshold", f"dimensions.{name}")
    ]
    assert judge(lambda r: r["dimensions"].pop(name)) == [("artifact_invalid", f"dimensions.{name}")]


def test_the_threshold_is_the_profiles(judge):
    assert len(judge(thresholds=Thresholds(rubric_points=100))) == 5


@pytest.mark.parametrize("score", [101, -1, "90", 90.5, True, None])
def test_scores_are_whole_points(score, judge):
    assert judge(lambda r: r["dimensions"]["security"].update(score=score))[0][0] == "artifact_invalid"


def test_notes_that_say_the_same_or_nothing_are_refused(judge):
    def all_alike(rubric):
        for dimension in rubric["dimensions"].values():
            dimension["note"] = "`paginate` in `src/pager.py` looks good to me"

    assert {code for code, _ in judge(all_alike)} >= {"repeated_text"}

    def vacuous(rubric):
        for name, dimension in rubric["dimensions"].items():
            dimension["note"] = (
                f"the {name} of the implementation follows established best practices, I found no issues"
            )

    assert "ungrounded" in {code for code, _ in judge(vacuous)}
    assert judge(lambda r: r["dimensions"]["security"].update(note="ok")) == [
        ("section_empty", "dimensions.security.note")
    ]
    assert judge(lambda r: r["dimensions"]["security"].update(note="TODO")) == [
        ("placeholder_text", "dimensions.security.note")
    ]


def test_docs_checked_must_exist(judge):
    assert judge(lambda r: r.update(docs_checked=["docs/none.md"])) == [("ungrounded", "docs_checked[0]")]
    assert judge(lambda r: r.update(docs_checked=["README.md", "README.md"])) == [("repeated_text", "docs_checked")]
    assert judge(lambda r: r.update(docs_checked=[]))[0][0] == "artifact_invalid"
    assert judge(lambda r: r.update(docs_checked=["docs/new.md"]), changed_paths=frozenset({"docs/new.md"})) == []


def test_risks_must_be_noted(judge):
    assert judge(lambda r: r.update(false_positive_risks=[]))[0][0] == "artifact_invalid"
    assert judge(lambda r: r.update(false_positive_risks=["none"]))[0][0] == "placeholder_text"


@pytest.mark.parametrize(
    ("actor", "session"),
    [("coder-1", "coding-session"), ("coder-1", "review-session"), ("reviewer-2", "coding-session")],
)
def test_the_reviewer_is_another_actor_and_another_session(actor, session, judge):
    def by(rubric):
        rubric["reviewer"] = {"actor": actor, "session": session}

    assert judge(by, actor=actor, session=session) == [("reviewer_is_implementer", "reviewer")]
    assert judge(by, actor=actor, session=session, separate_reviewer=False) == []


def test_the_reviewer_named_is_the_one_who_hands_it_in(judge):
    assert ("artifact_invalid", "reviewer") in judge(actor="someone", session="else")
    # The implementer hands in a rubric in another's name.
    found = judge(actor="coder-1", session="coding-session")
    assert {code for code, _ in found} == {"artifact_invalid", "reviewer_is_implementer"}
