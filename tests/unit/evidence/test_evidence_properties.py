"""Whatever the bytes: a rule answers with reasons, a parser with a value or ContractError; and round trips hold."""

from __future__ import annotations

import json
import string

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autopilot.evidence.argv import parse_argv
from autopilot.evidence.contracts import RULES
from autopilot.evidence.edge_cases import parse_edge_cases
from autopilot.evidence.file_map import outside_paths, parse_file_map
from autopilot.evidence.markdown import parse_document
from autopilot.evidence.paths import matches, path_fault, pattern_fault
from autopilot.evidence.plan import parse_plan
from autopilot.evidence.pull_request import fill_evidence, parse_pr_url
from autopilot.evidence.skeletons import SkeletonFacts, skeleton, skeleton_names
from autopilot.evidence.spec import parse_spec
from autopilot.evidence.strict_json import read_json
from autopilot.evidence.words import words_in
from autopilot.kernel.errors import ContractError

quick = settings(
    max_examples=150, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# Pieces of the documents' own syntax, so that the search gets past the first check.
PIECES = st.sampled_from(
    [
        "## Acceptance criteria\n",
        "## KPIs\n",
        "## Work items\n",
        "## Cases\n",
        "## Problem\n",
        "## Evidence\n",
        "- AC-1: ",
        "- W-1: ",
        "- EC-1: ",
        "  proof: accept\n",
        "  proof: test a.py::b\n",
        "  mitigation: ",
        "(AC-1)\n",
        "```accept id=AC-1 base=fail timeout=60\n",
        "```\n",
        "~~~\n",
        "`",
        "``",
        "<!--",
        "-->",
        "python -m pytest\n",
        "\n",
        " ",
        "'",
        '"',
        "$x",
        "`paginate`",
        "HINT: ",
        "<!-- autopilot:evidence -->\n",
        "<!-- /autopilot:evidence -->\n",
        "9" * 30,
        '{"path": "a",',
        '"change": "added",',
        '"why": "',
        "[",
        "]",
        "{",
        "}",
        "https://",
        "@",
        "\u202e",
        "\ufeff",
        "\r\n",
    ]
)
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=8)), max_size=40).map("".join)
BYTES = st.one_of(st.binary(max_size=300), TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")))
WORDS = st.text(string.ascii_letters + string.digits + "-_./=:,@%+ äß漢'", max_size=20)


@quick
@given(st.sampled_from(sorted(RULES)), BYTES)
def test_a_rule_answers_with_reasons_whatever_the_bytes(context_for, name, data):
    for reason in RULES[name](data, context_for(name)):
        assert reason.code
        assert reason.where.startswith((name, "spec.md", "file_map.json"))
        assert reason.remedy


@quick
@given(TEXTS)
def test_parsers_give_a_value_or_a_contract_error(text):
    parsers = (
        lambda: parse_document(text, name="x.md"),
        lambda: parse_spec(text),
        lambda: parse_plan(text),
        lambda: parse_edge_cases(text),
        lambda: parse_argv(text),
        lambda: fill_evidence(text, "x"),
        lambda: parse_pr_url(text.encode("utf-8", "surrogatepass")),
        lambda: parse_file_map(text.encode("utf-8", "surrogatepass")),
        lambda: read_json(text.encode("utf-8", "surrogatepass"), name="x", cap=1000),
    )
    for parse in parsers:
        try:
            parse()
        except ContractError:
            continue


@quick
@given(st.text(max_size=80), st.text(max_size=10), st.sampled_from(skeleton_names()))
def test_skeletons_are_refused_whatever_the_title(context_for, title, task, name):
    text = skeleton(name, SkeletonFacts(task, title, ("AC-1",), "a", "s"))
    context = context_for(name, title=title)
    assert RULES[name](text.encode("utf-8", "surrogatepass"), context)


@quick
@given(st.lists(WORDS, min_size=1, max_size=8))
def test_an_argument_vector_survives_both_forms(words):
    argv = ("tool", *words)
    assert parse_argv(json.dumps(argv)) == argv
    quoted = " ".join(f'"{word}"' if "'" in word else f"'{word}'" for word in argv)
    assert parse_argv(quoted) == argv


@quick
@given(st.lists(st.sampled_from(["a", "b", "**", "*", "a*", "?"]), min_size=1, max_size=6),
       st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=6))  # fmt: skip
def test_matching_agrees_with_the_plain_definition(pattern, path):
    def plain(wanted, given_parts):
        if not wanted:
            return not given_parts
        if wanted[0] == "**":
            return plain(wanted[1:], given_parts) or (bool(given_parts) and plain(wanted, given_parts[1:]))
        fits = {"*": lambda p: True, "?": lambda p: len(p) == 1, "a*": lambda p: p.startswith("a")}
        this = fits.get(wanted[0], lambda p: p == wanted[0])
        return bool(given_parts) and this(given_parts[0]) and plain(wanted[1:], given_parts[1:])

    assert matches("/".join(pattern), "/".join(path)) == plain(pattern, path)


@quick
@given(st.text("ab*?/.[", max_size=12))
def test_no_fit_pattern_covers_the_repository(pattern):
    if not pattern_fault(pattern):
        unlikely = ("zq/zq/zq.zq", "zq.zq")
        assert not all(matches(pattern, path) for path in unlikely)


@quick
@given(st.text("ab/.\\G~git ", max_size=12))
def test_a_fit_path_stays_inside(path):
    if not path_fault(path):
        parts = path.split("/")
        assert not path.startswith("/")
        assert not {"..", ".", "", ".git"} & {part.casefold() for part in parts}


@quick
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["added", "modified", "deleted"])), max_size=6))
def test_the_plan_lock_lets_exactly_the_plan_through(changes):
    planned = [{"path": path, "change": change, "why": "w"} for path, change in [("a", "added"), ("b", "modified")]]
    outside = outside_paths(parse_file_map(json.dumps(planned).encode()), changes)
    assert list(outside) == sorted(change for change in changes if change not in [("a", "added"), ("b", "modified")])


@quick
@given(TEXTS, st.text(string.ascii_letters + " \n|-", max_size=60))
def test_filling_twice_is_filling_once(text, excerpt):
    try:
        once = fill_evidence(text, excerpt)
    except ContractError:
        return
    assert fill_evidence(once, excerpt) == once


@quick
@given(st.text(max_size=200))
def test_words_are_folded_and_have_no_signs(text):
    assert all(word and not set(word) & set(string.punctuation + " \n") for word in words_in(text))
