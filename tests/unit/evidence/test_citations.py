"""What counts as a citation, and what a source defines."""

from __future__ import annotations

import pytest

from autopilot.evidence.citations import Known, resolve_citations
from autopilot.evidence.symbols import symbols_in
from autopilot.evidence.words import same_word, shared, words_in

KNOWN = Known(
    frozenset({"src/shop/pager.py", "README.md", "tests/test_pager.py"}), frozenset({"paginate", "slice", "x"})
)


@pytest.mark.parametrize(
    ("span", "resolved"),
    [
        ("src/shop/pager.py", {"src/shop/pager.py"}),
        ("./src/shop/pager.py:12", {"src/shop/pager.py"}),
        ("src/shop/pager.py:12-20", {"src/shop/pager.py"}),
        ("tests/test_pager.py::test_full", {"tests/test_pager.py"}),
        ("src/", {"src/"}),
        ("src/shop", {"src/shop/"}),
        ("pager.py", {"src/shop/pager.py"}),
        ("shop.pager", {"src/shop/pager.py"}),
        ("paginate()", {"paginate"}),
        ("Pager.slice(items)", {"slice"}),
        ("python -m pytest tests/test_pager.py", {"tests/test_pager.py"}),
        ("src/none.py", set()),
        ("none.py", set()),
        ("src", set()),
        ("x", set()),
        ("/", set()),
        (".", set()),
        ("..", set()),
        ("", set()),
        ("Readme.md", set()),
        ("a paginate b", set()),
    ],
)
def test_spans(span, resolved):
    (found,) = resolve_citations([f"see `{span}` there"], KNOWN)
    assert found.resolved == resolved
    assert found.unresolved == (() if resolved or not span else (span,))


def test_each_text_has_its_own_and_words_outside_backticks_are_none():
    first, second = resolve_citations(["`README.md`", "README.md"], KNOWN)
    assert (first.resolved, second.resolved) == ({"README.md"}, frozenset())


def test_symbols():
    source = (
        "class Pager:\n    async def slice_all(self): ...\nLIMIT: int = 3\nxy = 1\nif LIMIT == 3: pass\n"
        "export default function render() {}\npub fn parse_line() {}\nconst total = 0\n# def commented\ndef no():\n"
    )
    assert symbols_in(source) == {"Pager", "slice_all", "LIMIT", "render", "parse_line", "total"}
    assert symbols_in("def " + "a" * 10**6) == frozenset()


def test_words():
    assert words_in("Straße STRASSE page_size 3.14 ﬁx a\u200bb") == (
        "strasse",
        "strasse",
        "page",
        "size",
        "3",
        "14",
        "fix",
        "ab",
    )
    assert words_in("空白分页") == ("空白", "白分", "分页")
    assert same_word("parse", "parsing")
    assert not same_word("part", "parsimonious")
    assert shared(["slices"], ["slicing", "page"]) == {"slicing"}
