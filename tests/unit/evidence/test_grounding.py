"""The rule against lorem ipsum: filler under the right headings is refused, short honest documents are not."""

from __future__ import annotations

import pytest

from autopilot.evidence.citations import Known
from autopilot.evidence.contracts import RULES
from autopilot.evidence.grounding import GroundingRule, Passage, Subject, check_grounding, title_words
from autopilot.evidence.rules.strategize import check_strategy
from autopilot.evidence.skeletons import SkeletonFacts, hints_of, skeleton, skeleton_names

SECTIONS = ("Problem", "Objectives", "Scope", "Non-goals", "Risks")


def strategy(*bodies: str) -> bytes:
    return "".join(f"## {title}\n\n{body}\n\n" for title, body in zip(SECTIONS, bodies, strict=True)).encode()


def codes(reasons) -> set[str]:
    return {reason.code for reason in reasons}


LOREM = (
    "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore.",
    "Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris nisi ut aliquip ex ea commodo consequat.",
    "Duis aute irure dolor in reprehenderit in voluptate velit esse cillum dolore eu fugiat nulla pariatur.",
    "Excepteur sint occaecat cupidatat non proident, sunt in culpa qui officia deserunt mollit anim id est laborum.",
    "Sed ut perspiciatis unde omnis iste natus error sit voluptatem accusantium doloremque laudantium totam rem.",
)

# Fluent, on every subject at once. The kind of text a model writes when asked to fill the headings.
VACUOUS = (
    "The current implementation does not fully meet the expectations of our stakeholders and leaves room for "
    "improvement in several key areas that affect overall quality.",
    "Deliver a robust, scalable and maintainable solution that follows best practices and increases user satisfaction.",
    "All relevant components will be analysed and updated where this is necessary to achieve the stated objectives.",
    "Unrelated refactorings and changes that do not contribute to the goals are deliberately excluded.",
    "Unexpected side effects are possible; they are mitigated by careful review and comprehensive testing.",
)


@pytest.mark.parametrize("planted", [0, 1, 2])
def test_lorem_ipsum_is_refused_with_title_and_citations_planted_in_it_too(planted, make_context):
    bodies = list(LOREM)
    for index in range(planted):
        bodies[index] += " paginate empty page in `src/pager.py` and `paginate`"
    reasons = check_strategy(strategy(*bodies), make_context())
    assert "placeholder_text" in codes(reasons)
    assert reasons[0].where.startswith("strategy.md:1 Problem")


def test_filler_words_of_no_list_are_refused_for_naming_nothing(make_context):
    """Pseudo-text in another alphabet: rule 2 has no list for it, rules 4 to 6 need none."""
    bodies = [f"бла{n} тест{n} слово{n} фраза{n} пример{n} текст{n} строка{n} абзац{n} конец{n}" for n in range(5)]
    assert codes(check_strategy(strategy(*bodies), make_context())) == {"ungrounded"}


def test_vacuous_text_is_refused(make_context):
    reasons = check_strategy(strategy(*VACUOUS), make_context())
    assert codes(reasons) == {"ungrounded"}
    assert any("citations" in reason.where for reason in reasons)


def test_vacuous_text_with_the_title_copied_in_is_refused(make_context):
    bodies = [f"Stop paginate from returning an empty last page. {body}" for body in VACUOUS]
    reasons = check_strategy(strategy(*bodies), make_context())
    assert codes(reasons) == {"ungrounded"}
    assert "cites 0 paths or symbols" in reasons[0].detail


def test_vacuous_text_with_invented_paths_is_refused_and_told_which(make_context):
    bodies = [f"{body} See `src/core/engine.py` and `Engine.optimize()`." for body in VACUOUS]
    reasons = check_strategy(strategy(*bodies), make_context())
    assert any("not found at the base: `src/core/engine.py`" in reason.detail for reason in reasons)


def test_grounding_in_one_section_does_not_carry_the_others(make_context):
    bodies = list(VACUOUS)
    bodies[0] += " It is about `src/pager.py` and `paginate`, which returns an empty last page."
    reasons = check_strategy(strategy(*bodies), make_context())
    assert codes(reasons) == {"ungrounded"}
    assert "name nothing of this task" in reasons[0].detail


def test_one_body_under_every_heading_is_refused(make_context):
    body = "`paginate` in `src/pager.py` returns an empty last page when the number of items is a multiple of the size."
    assert codes(check_strategy(strategy(*[body] * 5), make_context())) >= {"repeated_text"}
    varied = [f"{body} {word}" for word in ("First.", "Second.", "Third.", "Fourth.", "Fifth.")]
    assert codes(check_strategy(strategy(*varied), make_context())) >= {"repeated_text"}


@pytest.mark.parametrize("filler", ["TODO", "TBD", "n/a", "None.", "- TODO\n- TBD", "…", "<!-- later -->", "`x`"])
def test_a_section_of_filler_is_refused(filler, make_context):
    bodies = ["`paginate` of `src/pager.py` returns an empty last page for 20 items", *VACUOUS[1:4], filler]
    reasons = check_strategy(strategy(*bodies), make_context())
    assert reasons[0].code in {"placeholder_text", "section_empty"}
    assert "Risks" in reasons[0].where


def test_words_inside_fences_and_comments_do_not_count(make_context):
    hidden = "```\nwords enough to fill a section if they counted\n```\n<!-- and here as many words again -->"
    bodies = ["`paginate` of `src/pager.py` returns an empty last page for 20 items", *VACUOUS[1:4], hidden]
    assert "section_empty" in codes(check_strategy(strategy(*bodies), make_context()))


def test_a_document_that_says_too_little_in_all_is_refused(make_context):
    bodies = (
        "`paginate` returns empty page",
        "no last empty page",
        "only `src/pager.py` page",
        "no other page size",
        "none for page last",
    )
    reasons = check_strategy(strategy(*bodies), make_context())
    assert [(reason.code, reason.where) for reason in reasons] == [("section_empty", "strategy.md")]
    assert "different words in all, at least 24" in reasons[0].detail


# --- honest documents: a false refusal is as bad as a false pass


HONEST_FIX = strategy(
    "`paginate` in `src/pager.py` returns an empty page after a full last one.",
    "- no empty page, whatever the length of the list",
    "The loop of `paginate`, and its tests.",
    "- other listings, the page size",
    "- someone may count on the extra page",
)

HONEST_TERSE = strategy(
    "Python 3.14 is missing from the classifiers of `pyproject.toml`.",
    "Declare Python 3.14 support, and test on it.",
    "`pyproject.toml` and the sentence in `README.md`; no code.",
    "Dropping 3.11 is another task.",
    "Low. A wheel tag cannot change: the package is pure Python.",
)

HONEST_GERMAN = strategy(
    "`paginate` aus `src/pager.py` liefert nach einer vollen letzten Seite noch eine leere Seite.",
    "- Die Seitenzahl von `page_count` stimmt mit den gelieferten Seiten überein.",
    "Nur die Schleife in `paginate`; dazu ein Test.",
    "- Keine neue Oberfläche, keine neuen Argumente.",
    "- Aufrufer, die mit der leeren Seite rechnen, sehen eine Seite weniger.",
)

HONEST_CHINESE = strategy(
    "`src/pager.py` 中的 `paginate` 在最后一页刚好填满时会多返回一个空白分页。",
    "任何长度的列表都不再以空白分页结尾，`page_count` 与实际分页数一致。",
    "只修改分页循环以及对应的测试 `tests/test_pager.py`。",
    "不改变每页的条目数，也不增加新的参数。",
    "依赖多余空白分页的调用者会少看到一页，仓库内没有发现。",
)

HONEST_DOCS = strategy(
    "`docs/listing.md` still describes the page links of version 1.2, and readers ask about them.",
    "After this a reader finds the current links, with one example for each.",
    "Only `docs/listing.md`; the code in `src/pager.py` stays as it is.",
    "Translating the page, and the design of the site.",
    "A wrong example would mislead; each is run by hand before review.",
)


@pytest.mark.parametrize(
    ("title", "document"),
    [
        ("Stop paginate from returning an empty last page", HONEST_FIX),
        ("Support Python 3.14", HONEST_TERSE),
        ("Leere letzte Seite in paginate vermeiden", HONEST_GERMAN),
        ("修复分页最后出现空白分页的问题", HONEST_CHINESE),
        ("Rewrite the page links section of the listing docs", HONEST_DOCS),
        ("Fix #12", HONEST_FIX.replace(b"returns an", b"(#12) needs a fix: it returns an")),
    ],
    ids=["fix", "terse", "german", "chinese", "docs", "short-title"],
)
def test_short_honest_strategies_pass(title, document, make_context):
    assert check_strategy(document, make_context(title=title)) == ()


SHORT_SPEC = b"""## Acceptance criteria

- AC-1: `paginate` of a full last page adds no empty one
  proof: test tests/test_pager.py::test_full

## KPIs

- empty pages: 0
"""
SHORT_PLAN = b"## Work items\n\n- W-1: `src/pager.py`: stop the loop at the last full page, with a test first (AC-1)\n"
SHORT_CASES = b"""## Cases

- EC-1: an empty list of items
  mitigation: `paginate` gives no page; tested
- EC-2: size 0
  mitigation: ValueError, raised before the loop as today
"""


@pytest.mark.parametrize(
    ("name", "document"), [("spec.md", SHORT_SPEC), ("plan.md", SHORT_PLAN), ("edge_cases.md", SHORT_CASES)]
)
def test_short_honest_lists_pass(name, document, context_for):
    from autopilot.evidence.spec import parse_spec

    assert RULES[name](document, context_for(name, spec=parse_spec(SHORT_SPEC.decode()))) == ()


def test_a_repository_with_nothing_in_it_asks_for_no_citation(make_context):
    bodies = (
        "There is no pager yet; a listing with many items shows an empty last page or none.",
        "A function that slices items into pages, the last one never empty.",
        "One new module and its tests, nothing else exists in the project.",
        "Caching, sorting and templates are for other tasks.",
        "The page size may be zero; the module must refuse it.",
    )
    assert check_strategy(strategy(*bodies), make_context(paths=frozenset(), symbols=frozenset())) == ()


# --- skeletons


FACTS = SkeletonFacts("T-1", "Stop paginate from returning an empty last page", ("AC-1", "AC-2", "AC-3"), "a", "s")


@pytest.mark.parametrize("name", skeleton_names())
def test_a_skeleton_is_refused_as_it_stands(name, context_for):
    reasons = RULES[name](skeleton(name, FACTS).encode(), context_for(name))
    assert "skeleton_unchanged" in codes(reasons) or codes(reasons) == {"artifact_invalid"}, reasons
    assert name == "review_rubric.json" or "skeleton_unchanged" in codes(reasons)


@pytest.mark.parametrize("name", ["strategy.md", "spec.md", "plan.md", "edge_cases.md", "pr_template_filled.md"])
def test_a_skeleton_without_its_marks_is_refused(name, context_for):
    bare = skeleton(name, FACTS).replace("HINT: one command, no shell", "python -m pytest").replace("HINT: ", "")
    bare = bare.replace(", that fails today and exits 0 once AC-1 is met", "").replace(
        "number and unit", "number 1 unit"
    )
    assert "skeleton_unchanged" in codes(RULES[name](bare.encode(), context_for(name)))


def test_a_hint_with_a_word_changed_is_refused(make_context):
    hint = "what could go wrong with this change, and how would it be noticed soon"
    bodies = ["`paginate` of `src/pager.py` returns an empty last page for 20 items", *VACUOUS[1:4], hint]
    reasons = check_strategy(strategy(*bodies), make_context())
    assert codes(reasons) == {"skeleton_unchanged"}
    assert reasons[0].where.endswith("Risks")


def test_a_text_about_hints_is_no_skeleton(make_context):
    text = HONEST_FIX.replace(b"and its tests.", b"and its tests. Compilers print `HINT: ...`; pages print HINT: none.")
    assert check_strategy(text, make_context()) == ()


# --- the figures themselves


RULE = GroundingRule(words_each=2, words_total=4, citations=1, title_words=1, anchored=(1, 2))
SUBJECT = Subject("Speed up the parser", Known(frozenset({"src/parser.py"}), frozenset({"parse_line"})))


def test_nothing_to_judge_is_refused():
    assert [finding.code for finding in check_grounding((), RULE, SUBJECT)] == ["artifact_empty"]


def test_forms_of_a_title_word_count():
    passages = (Passage("a", 1, "Parsing is slow: `src/parser.py` reads twice"),)
    assert check_grounding(passages, RULE, SUBJECT) == ()


def test_title_words_are_those_that_say_something():
    assert title_words("Fix the CI for py 3") == ("fix", "the", "ci", "for", "py", "3")
    assert title_words("Speed up the parser") == ("speed", "parser")
    assert title_words("!!!") == ()


def test_too_many_passages_are_refused():
    passages = tuple(Passage(f"AC-{n}", n, f"words number {n}") for n in range(201))
    assert [finding.code for finding in check_grounding(passages, RULE, SUBJECT)] == ["artifact_too_large"]


def test_every_hint_is_known():
    assert all(hints_of(name) for name in skeleton_names())
    assert hints_of("test_results.json") == frozenset()
