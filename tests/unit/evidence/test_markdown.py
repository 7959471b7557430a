"""The parser: what is a section, a fence, an item, a comment; and its limits."""

from __future__ import annotations

import time

import pytest

from autopilot.evidence.markdown import MAX_BYTES, code_spans, decode, parse_document
from autopilot.kernel.errors import ContractError


def parse(text: str):
    return parse_document(text, name="x.md")


def test_sections_fences_and_items():
    document = parse(
        "# Title\n\nintro\n\n## First ##\n\ntext\n### deeper\n- a\n  more\n\n- b\nmargin\n  not b\n"
        "```py extra words\n## not a section\n```\n## Second\n* c\n"
    )
    first, second = document.sections
    assert (first.title, first.line, second.title, second.line) == ("First", 5, "Second", 18)
    assert [(item.line, item.head, [line.text for line in item.rest]) for item in first.items] == [
        (9, "a", ["  more", ""]),
        (12, "b", []),
    ]
    assert [(fence.line, fence.info, fence.body) for fence in first.fences] == [
        (15, "py extra words", ("## not a section",))
    ]
    assert "deeper" not in first.prose
    assert "not a section" not in first.prose
    assert second.fences == ()
    assert document.section("FIRST") is first
    assert document.section("third") is None


def test_comments_are_hidden_whatever_they_hold():
    document = parse("## A\nx <!-- y --> z\n<!--\n## B\n```\n- item\n-->w\n- `<!--` shown\n")
    (section,) = document.sections
    assert [line.text for line in section.lines] == ["x  z", "", "", "", "", "w", "- `<!--` shown", ""]
    assert document.fences == ()


def test_a_comment_inside_a_fence_is_content():
    document = parse("## A\n~~~\n<!--\n~~~\n## B\n")
    assert [section.title for section in document.sections] == ["A", "B"]


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        ("## A\n```\nx\n", "artifact_invalid", "x.md:2"),
        ("## A\n<!-- x\n", "artifact_invalid", "x.md:3"),
        ("## A\n\n## a\n", "artifact_invalid", "x.md:3"),
        ("a\x00b", "artifact_not_text", "x.md:1"),
        ("a\nb\u202ec", "artifact_not_text", "x.md:2"),
        ("a\x0bb", "artifact_not_text", "x.md:1"),
        ("x" * 8001, "artifact_too_large", "x.md:1"),
        ("\n" * 5001, "artifact_too_large", "x.md"),
        ("<!---->" * 21, "artifact_invalid", "x.md:1"),
    ],
)
def test_what_is_refused(text, code, where):
    with pytest.raises(ContractError) as caught:
        parse(text)
    assert (caught.value.code, caught.value.where) == (code, where)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "artifact_empty"),
        (b" \n\t", "artifact_empty"),
        (b"\xff", "artifact_not_text"),
        (b"x" * (MAX_BYTES + 1), "artifact_too_large"),
    ],
)
def test_bytes_that_are_no_text(data, code):
    with pytest.raises(ContractError) as caught:
        decode(data, name="x.md")
    assert caught.value.code == code


def test_line_ends_and_byte_order_mark():
    assert parse(decode(b"\xef\xbb\xbf## A\r\nx\r\n", name="x.md")).sections[0].prose == "x\n"


def test_code_spans():
    assert code_spans("`a` b ``c ` d`` ` e\n`f") == ("a", "c ` d")


@pytest.mark.parametrize(
    "line",
    [
        "`" * 8000,
        "` `` " * 1600,
        "".join("`" * n + " " for n in range(1, 125)),
        "<!--`" * 1600,
        "- " * 4000,
        "HINT " * 1600,
    ],
)
def test_bombs_cost_no_time(line):
    started = time.process_time()
    text = "## A\n" + "\n".join([line[:8000]] * 30)
    try:
        section = parse(text).sections[0]
        code_spans(section.prose)
    except ContractError:
        pass
    assert time.process_time() - started < 2
