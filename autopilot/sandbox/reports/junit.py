"""Reads JUnit XML, as pytest writes it and as others do.

- A test's id is `classname::name`, with pytest's parameters in the name (`tests.test_a::test_p[1]`).
- `<skipped type="pytest.xfail">` is a test that failed as expected: `xfailed`, not `skipped`.
- The same id may stand more than once (a test that fails and whose teardown errors, a generic tool's reruns). All
  are kept, in order.
- A module that cannot be collected is a case with outcome `error` and `collection` set, and so is an error inside
  of pytest itself; neither is a test.
- The totals of each suite must agree with its cases. `tests` alone may be larger in pytest's reports, which count
  every subtest, and smaller by the doubled entries named above.

Streaming, so that a report is never held as a tree. Document types and entities are refused.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from autopilot.sandbox.reports.caps import (
    MAX_CASES,
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_MARKS,
    MAX_NAME_CHARACTERS,
    refuse_large,
    refuse_wide_tags,
    unreadable,
)

_WHERE = "test report"
_TOTALS = ("errors", "failures", "skipped")
_BAD_ENDS = frozenset({"failed", "failure", "fail", "error", "errored", "broken"})
_ELEMENT_TOTAL = {"error": "errors", "failure": "failures", "skipped": "skipped"}


class Outcome(StrEnum):
    """How a test ended."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    XFAILED = "xfailed"


@dataclass(frozen=True, slots=True)
class TestCase:
    """One entry of the report. `collection` marks what is no test: a module not collected, pytest's own failure."""

    __test__ = False  # pytest must not take the class for a test

    id: str
    outcome: Outcome
    message: str = ""
    collection: bool = False


@dataclass(frozen=True, slots=True)
class TestReport:
    """All entries in the order of the report."""

    __test__ = False

    cases: tuple[TestCase, ...]


def parse_junit(data: bytes) -> TestReport:
    """The report in `data`; ContractError `report_unreadable` says what is wrong with it."""
    refuse_large(data, where=_WHERE)
    refuse_wide_tags(data, where=_WHERE)
    target = _Reader()
    parser = DefusedXMLParser(target=target, forbid_dtd=True)
    try:
        parser.feed(data)
        parser.close()
    except ParseError as error:
        raise unreadable(f"not well-formed XML: {error}", where=_WHERE) from None
    except DefusedXmlException as error:
        raise unreadable(f"a document type or entity: {type(error).__name__}", where=_WHERE) from None
    except (LookupError, UnicodeError, ValueError) as error:
        raise unreadable(f"cannot be decoded: {error}", where=_WHERE) from None
    if not target.saw_suite:
        raise unreadable("no <testsuite> element", where=_WHERE)
    return TestReport(tuple(target.cases))


@dataclass(slots=True)
class _Suite:
    """A suite being read: the totals it claims, and what was counted in it and in suites inside it."""

    claimed: dict[str, int]
    counts_subtests: bool
    first_case: int
    counted: Counter[str] = field(default_factory=Counter)


class _Reader:
    """The parser's target: called for each start, text and end."""

    def __init__(self) -> None:
        self.cases: list[TestCase] = []
        self.saw_suite = False
        self._depth = 0
        self._suites: list[_Suite] = []
        self._case: dict[str, str] | None = None
        self._marks: list[tuple[str, str, str]] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise unreadable(f"nested deeper than {MAX_DEPTH}", where=_WHERE)
        if self._depth == 1 and tag not in ("testsuites", "testsuite"):
            raise unreadable(f"the root is <{tag[:40]}>", where=_WHERE)
        if tag in ("testsuite", "testsuites"):
            self.saw_suite = self.saw_suite or tag == "testsuite"
            pytest_wrote = attributes.get("name") in ("pytest", "pytest tests")
            outer = bool(self._suites) and self._suites[-1].counts_subtests
            self._suites.append(_Suite(_claims(attributes), pytest_wrote or outer, len(self.cases)))
        elif tag == "testcase":
            if self._case is not None or not self._suites:
                raise unreadable("a <testcase> out of place", where=_WHERE)
            self._case, self._marks = attributes, []
        elif tag in _ELEMENT_TOTAL and self._case is not None:
            if len(self._marks) >= MAX_MARKS:
                raise unreadable(f"a test with more than {MAX_MARKS} outcomes", where=_WHERE)
            self._marks.append((tag, attributes.get("type", ""), attributes.get("message", "")[:500]))
        elif self._case is not None and tag.rpartition("}")[2].casefold() in _ELEMENT_TOTAL:
            # Overlooked, it would be a pass: the one mistake that a report must not be read with.
            raise unreadable(f"an outcome in a form not read here: <{tag[:40]}>", where=_WHERE)

    def data(self, text: str) -> None:
        """Text is not read: outcomes stand in elements and attributes."""

    def end(self, tag: str) -> None:
        self._depth -= 1
        if tag == "testcase" and self._case is not None:
            self._finish_case(self._case)
            self._case = None
        elif tag in ("testsuite", "testsuites"):
            suite = self._suites.pop()
            _refuse_contradiction(suite, self.cases[suite.first_case :])
            if self._suites:
                self._suites[-1].counted += suite.counted

    def close(self) -> None:
        """Nothing is left to do: the parser refuses a document that is not closed."""

    def _finish_case(self, attributes: dict[str, str]) -> None:
        if len(self.cases) >= MAX_CASES:
            raise unreadable(f"more than {MAX_CASES} tests", where=_WHERE)
        name, classname = attributes.get("name", ""), attributes.get("classname", "")
        identity = f"{classname}::{name}" if classname else name
        if not name or len(identity) > MAX_NAME_CHARACTERS:
            raise unreadable("a test without a usable name", where=_WHERE)
        for tag, _, _ in self._marks:
            self._suites[-1].counted[_ELEMENT_TOTAL[tag]] += 1
        outcome, message = _outcome(self._marks)
        said = {attributes.get(name, "").casefold() for name in ("status", "result")} & _BAD_ENDS
        if outcome is Outcome.PASSED and said:
            raise unreadable(f"{identity[:80]}: {min(said)} by its attribute alone", where=_WHERE)
        collection = (not classname and message in ("collection failure", "collection skipped")) or (
            identity == "pytest::internal"
        )
        self.cases.append(TestCase(identity, outcome, message, collection))


def _outcome(marks: list[tuple[str, str, str]]) -> tuple[Outcome, str]:
    """The gravest mark decides: a test that is both skipped and failed has failed."""
    by_tag = {tag: (kind, message) for tag, kind, message in reversed(marks)}
    if "error" in by_tag:
        return Outcome.ERROR, by_tag["error"][1]
    if "failure" in by_tag:
        return Outcome.FAILED, by_tag["failure"][1]
    if "skipped" in by_tag:
        kind, message = by_tag["skipped"]
        return (Outcome.XFAILED if kind == "pytest.xfail" else Outcome.SKIPPED), message
    return Outcome.PASSED, ""


def _claims(attributes: dict[str, str]) -> dict[str, int]:
    claims: dict[str, int] = {}
    for name in ("tests", *_TOTALS):
        text = attributes.get(name)
        if text is None or text == "":
            continue
        if not (text.isascii() and text.isdigit()) or len(text) > MAX_DIGITS:
            raise unreadable(f"{name}={text[:20]!r} is not a count", where=_WHERE)
        claims[name] = int(text)
    return claims


def _refuse_contradiction(suite: _Suite, cases: list[TestCase]) -> None:
    for name in _TOTALS:
        if name in suite.claimed and suite.claimed[name] != suite.counted[name]:
            raise unreadable(f"{name}={suite.claimed[name]}, but {suite.counted[name]} are listed", where=_WHERE)
    if "tests" not in suite.claimed:
        return
    claimed, listed = suite.claimed["tests"], len(cases)
    repeated = listed - len({case.id for case in cases})
    if claimed < listed - repeated or (claimed > listed and not suite.counts_subtests):
        raise unreadable(f"tests={claimed}, but {listed} are listed", where=_WHERE)
