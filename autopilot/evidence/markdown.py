"""The small part of Markdown that the artifacts use, read strictly: headings, list items, fences, comments.

Rules, all by line (lines end at a newline alone; a carriage return before it is dropped):

- `## Title` at the start of a line opens a section; `#` is the document's title; `###` and deeper belong to the
  section they stand in.
- A fence opens with three or more backticks or tildes, indented by spaces only, and closes with at least as many of
  the same. A fence that is never closed is refused. Headings and list items inside a fence are its content.
- Text between `<!--` and `-->` is hidden: a person reading the rendered page does not see it, so no rule does.
- `- ` (or `* `) at the start of a line opens a list item; indented lines below belong to it.

Every step is linear in the text; size, lines and line length are capped.
"""

from __future__ import annotations

import re
import unicodedata
from collections import deque
from dataclasses import dataclass

from autopilot.evidence.findings import Finding, contract_error
from autopilot.kernel.errors import ContractError

MAX_BYTES = 256 * 1024
MAX_LINES = 5_000
MAX_LINE_CHARACTERS = 8_000
MAX_COMMENTS_IN_LINE = 20

_TICKS = re.compile(r"`+")
_SECTION = re.compile(r"## +(\S.*)")
_HEADING = re.compile(r"#{1,6} ")
_FENCE = re.compile(r" *(`{3,}|~{3,})([^\n]*)")
_ITEM = re.compile(r"[-*] +(\S.*)")


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its number from 1, as written, and what of it is visible outside fences and comments."""

    number: int
    raw: str
    text: str
    fenced: bool = False


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block: the line that opened it, the words after the marks, the lines inside."""

    line: int
    info: str
    body: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """A list item of the first level: its line, its first line's text, and the visible lines below it."""

    line: int
    head: str
    rest: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A `##` section. `lines` are those below the heading, up to the next section."""

    title: str
    line: int
    lines: tuple[Line, ...]
    fences: tuple[Fence, ...]

    @property
    def prose(self) -> str:
        """The visible text without fences, comments and headings."""
        return "\n".join(line.text for line in self.lines if not line.fenced and not _HEADING.match(line.text))

    @property
    def items(self) -> tuple[Item, ...]:
        """The list items of the first level, each with the indented or blank lines below it."""
        found: list[tuple[int, str, list[Line]]] = []
        inside = False
        for line in self.lines:
            if line.fenced:
                continue
            match = _ITEM.fullmatch(line.text)
            if match:
                found.append((line.number, match.group(1).rstrip(), []))
                inside = True
            elif line.text[:1] not in ("", " ", "\t"):
                # Text at the margin ends the list: it is not part of the item above it.
                inside = False
            elif inside:
                found[-1][2].append(line)
        return tuple(Item(number, head, tuple(rest)) for number, head, rest in found)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document. `preamble` is what stands before the first section."""

    name: str
    lines: tuple[Line, ...]
    sections: tuple[Section, ...]
    fences: tuple[Fence, ...]

    def section(self, title: str) -> Section | None:
        """The section of this title, compared without regard to case; the first, where there are two."""
        wanted = title.casefold()
        return next((section for section in self.sections if section.title.casefold() == wanted), None)


def decode(data: bytes, *, name: str, cap: int = MAX_BYTES) -> str:
    """The text of an artifact; ContractError `artifact_empty`, `artifact_too_large` or `artifact_not_text`."""
    if len(data) > cap:
        raise ContractError("artifact_too_large", where=name, detail=f"{len(data)} bytes, at most {cap}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ContractError("artifact_not_text", where=name, detail=f"byte {error.start} is not UTF-8") from None
    if not text.strip():
        raise ContractError("artifact_empty", where=name, detail="the file is empty")
    return text


def parse_document(text: str, *, name: str) -> Document:
    """The sections, fences and lines of `text`; ContractError where it breaks a rule or limit of this module."""
    raw_lines = text.replace("\r\n", "\n").split("\n")
    _refuse_oversize(raw_lines, name)
    lines, fences = _scan(raw_lines, name)
    starts = [
        (index, match.group(1).strip().rstrip("#").rstrip())
        for index, line in enumerate(lines)
        if not line.fenced and (match := _SECTION.fullmatch(line.text.rstrip()))
    ]
    sections = []
    for position, (start, title) in enumerate(starts):
        stop = starts[position + 1][0] if position + 1 < len(starts) else len(lines)
        inside = tuple(fence for fence in fences if lines[start].number < fence.line <= stop)
        sections.append(Section(title, lines[start].number, tuple(lines[start + 1 : stop]), inside))
    _refuse_repeated_titles(sections, name)
    return Document(name, tuple(lines), tuple(sections), tuple(fences))


def code_spans(text: str) -> tuple[str, ...]:
    """What stands between backticks in `text`, line by line, in order."""
    return tuple(
        part.strip()
        for line in text.split("\n")
        if "`" in line
        for part, is_code in _spans(line)
        if is_code and part.strip()
    )


def _spans(line: str) -> list[tuple[str, bool]]:
    return [(part, is_code) for part, is_code, _ in _measured_spans(line)]


def _measured_spans(line: str) -> list[tuple[str, bool, int]]:
    """`line` as (text, is it code, its length with marks): a run of backticks closes at the next run of its length."""
    runs = list(_TICKS.finditer(line))
    closers: dict[int, deque[int]] = {}
    for index, run in enumerate(runs):
        closers.setdefault(len(run.group()), deque()).append(index)
    parts: list[tuple[str, bool, int]] = []
    start, index = 0, 0
    while index < len(runs):
        same = closers[len(runs[index].group())]
        while same and same[0] <= index:
            same.popleft()
        if not same:
            index += 1
            continue
        opener, closer = runs[index], runs[same[0]]
        parts.append((line[start : opener.start()], False, opener.start() - start))
        parts.append((line[opener.end() : closer.start()], True, closer.end() - opener.start()))
        start, index = closer.end(), same[0] + 1
    parts.append((line[start:], False, len(line) - start))
    return parts


def _scan(raw_lines: list[str], name: str) -> tuple[list[Line], list[Fence]]:
    lines: list[Line] = []
    fences: list[Fence] = []
    in_comment = False
    mark, opened, info, indent, body = "", 0, "", 0, list[str]()
    for number, raw in enumerate(raw_lines, start=1):
        if mark:
            lines.append(Line(number, raw, "", fenced=True))
            if _closes(raw, mark):
                fences.append(Fence(opened, info, tuple(body)))
                mark = ""
            else:
                body.append(_unindented(raw, indent))
            continue
        text, in_comment = _visible(raw, in_comment)
        match = _FENCE.fullmatch(text)
        # A backtick in the words after backticks makes it a code span, as CommonMark says, not a fence.
        if match and not (match.group(1)[0] == "`" and "`" in match.group(2)):
            mark, opened, info, body = match.group(1), number, match.group(2).strip(), []
            indent = match.start(1)
            lines.append(Line(number, raw, "", fenced=True))
            continue
        lines.append(Line(number, raw, text))
    if mark:
        raise contract_error(name, Finding("artifact_invalid", f"the fence {mark} is never closed", opened))
    if in_comment:
        raise contract_error(name, Finding("artifact_invalid", "a comment <!-- is never closed", len(raw_lines)))
    return lines, fences


def _closes(raw: str, mark: str) -> bool:
    text = raw.strip(" ")
    return len(text) >= len(mark) and text == mark[0] * len(text)


def _unindented(raw: str, indent: int) -> str:
    return raw[indent:] if raw[:indent].strip(" ") == "" else raw.lstrip(" ")


def _visible(raw: str, in_comment: bool) -> tuple[str, bool]:
    """`raw` without what comments hide, and whether a comment is still open at its end."""
    shown: list[str] = []
    rest = raw
    while True:
        if in_comment:
            _, closed, rest = rest.partition("-->")
            if not closed:
                return "".join(shown), True
        start = _comment_start(rest)
        if start < 0:
            shown.append(rest)
            return "".join(shown), False
        shown.append(rest[:start])
        rest, in_comment = rest[start + len("<!--") :], True


def _comment_start(text: str) -> int:
    """Where the first `<!--` outside a code span stands, or -1."""
    first = text.find("<!--")
    if first < 0 or "`" not in text[:first]:
        return first
    position = 0
    for part, is_code, length in _measured_spans(text):
        found = -1 if is_code else part.find("<!--")
        if found >= 0:
            return position + found
        position += length
    return -1


def _refuse_oversize(raw_lines: list[str], name: str) -> None:
    if len(raw_lines) > MAX_LINES:
        raise ContractError("artifact_too_large", where=name, detail=f"{len(raw_lines)} lines, at most {MAX_LINES}")
    for number, raw in enumerate(raw_lines, start=1):
        if len(raw) > MAX_LINE_CHARACTERS:
            detail = f"a line of {len(raw)} characters, at most {MAX_LINE_CHARACTERS}"
            raise contract_error(name, Finding("artifact_too_large", detail, number))
        if raw.count("<!--") > MAX_COMMENTS_IN_LINE:
            detail = f"more than {MAX_COMMENTS_IN_LINE} comments in one line"
            raise contract_error(name, Finding("artifact_invalid", detail, number))
        bad = next((c for c in raw if _deceives(c)), None) if not raw.isascii() or not raw.isprintable() else None
        if bad is not None:
            # Direction overrides make a text read otherwise to a person than to the engine.
            detail = f"the character U+{ord(bad):04X} is not allowed"
            raise contract_error(name, Finding("artifact_not_text", detail, number))


def _deceives(character: str) -> bool:
    if character == "\t":
        return False
    if unicodedata.category(character) in ("Cc", "Cs"):
        return True
    return "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069"


def _refuse_repeated_titles(sections: list[Section], name: str) -> None:
    seen: dict[str, int] = {}
    for section in sections:
        first = seen.setdefault(section.title.casefold(), section.line)
        if first != section.line:
            detail = f"the section '{section.title}' stands twice, first at line {first}"
            raise contract_error(name, Finding("artifact_invalid", detail, section.line))
