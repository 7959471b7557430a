"""JUnit XML: what pytest really writes is read, what contradicts itself or would bring the reader down is refused."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from autopilot.kernel.errors import ContractError
from autopilot.sandbox.reports import Outcome, TestReport, parse_junit
from autopilot.sandbox.reports.caps import MAX_BYTES, MAX_CASES
from autopilot.sandbox.run import CommandResult, Runner

SUITE = """
import unittest
import pytest

@pytest.mark.parametrize("x", [1, "a b"])
def test_many(x): pass
def test_fails(): assert 0
@pytest.fixture
def breaks_after():
    yield
    1 / 0
def test_fails_twice(breaks_after): assert 0
def test_teardown(breaks_after): pass
@pytest.fixture
def breaks(): 1 / 0
def test_setup(breaks): pass
@pytest.mark.xfail
def test_xfails(): assert 0
@pytest.mark.xfail
def test_xpasses(): pass
@pytest.mark.xfail(strict=True)
def test_xpasses_strictly(): pass
@pytest.mark.xfail(run=False)
def test_not_run(): pass
def test_skips(): pytest.skip("not here")
class TestGroup:
    def test_inside(self): pass
class TestOld(unittest.TestCase):
    def test_parts(self):
        for part in range(3):
            with self.subTest(part=part): self.assertNotEqual(part, 1)
    @unittest.expectedFailure
    def test_expected(self): self.fail()
"""

PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--continue-on-collection-errors", "--junitxml=r.xml")


def refused(data: bytes | str) -> str:
    with pytest.raises(ContractError) as caught:
        parse_junit(data.encode() if isinstance(data, str) else data)
    assert caught.value.code == "report_unreadable"
    assert caught.value.reasons()[0].standing.exit_code == 1
    return caught.value.detail


def suite(cases: str, totals: str = "", name: str = "generic") -> str:
    return f'<testsuites><testsuite name="{name}" {totals}>{cases}</testsuite></testsuites>'


def test_pytests_own_report(plain: Runner, copy: Path, python: Callable[..., CommandResult]) -> None:
    (copy / "test_a.py").write_text(SUITE)
    (copy / "test_b.py").write_text("import no_such_module\n")
    (copy / "test_c.py").write_text("import pytest\npytest.skip('all of it', allow_module_level=True)\n")
    assert python(plain, *PYTEST).exit_code == 1
    report = parse_junit((copy / "r.xml").read_bytes())
    assert [(case.id, case.outcome.value) for case in report.cases] == [
        ("test_b", "error"),
        ("test_c", "skipped"),
        ("test_a::test_many[1]", "passed"),
        ("test_a::test_many[a b]", "passed"),
        ("test_a::test_fails", "failed"),
        ("test_a::test_fails_twice", "failed"),
        ("test_a::test_fails_twice", "error"),
        ("test_a::test_teardown", "error"),
        ("test_a::test_setup", "error"),
        ("test_a::test_xfails", "xfailed"),
        ("test_a::test_xpasses", "passed"),
        ("test_a::test_xpasses_strictly", "failed"),
        ("test_a::test_not_run", "xfailed"),
        ("test_a::test_skips", "skipped"),
        ("test_a.TestGroup::test_inside", "passed"),
        ("test_a.TestOld::test_expected", "xfailed"),
        ("test_a.TestOld::test_parts", "failed"),
    ]
    assert [case.id for case in report.cases if case.collection] == ["test_b", "test_c"]


def test_with_subtests(plain: Runner, copy: Path, python: Callable[..., CommandResult]) -> None:
    """pytest counts every subtest in `tests` and lists the test once."""
    (copy / "test_a.py").write_text(
        "def test_parts(subtests):\n    for i in range(5):\n        with subtests.test(i=i): pass\n"
    )
    assert python(plain, *PYTEST).exit_code == 0
    assert parse_junit((copy / "r.xml").read_bytes()).cases[0].outcome == Outcome.PASSED


def test_a_generic_report() -> None:
    report = parse_junit(
        b'<?xml version="1.0"?><testsuite tests="4" failures="1" errors="1" skipped="1">'
        b'<testcase name="a"/><testcase classname="C" name="b"><failure/></testcase>'
        b'<testcase classname="C" name="c"><error/></testcase><testcase classname="C" name="d"><skipped/></testcase>'
        b"<system-out>text</system-out></testsuite>"
    )
    assert [(case.id, case.outcome) for case in report.cases] == [
        ("a", Outcome.PASSED),
        ("C::b", Outcome.FAILED),
        ("C::c", Outcome.ERROR),
        ("C::d", Outcome.SKIPPED),
    ]


def test_nested_suites_are_added_up() -> None:
    inner = '<testsuite tests="1" failures="1"><testcase name="a"><failure/></testcase></testsuite>'
    outer = f'<testsuite tests="2" failures="2">{inner}{inner}</testsuite>'
    report = parse_junit(f'<testsuites tests="2" failures="2">{outer}</testsuites>'.encode())
    assert [(case.id, case.outcome) for case in report.cases] == [("a", Outcome.FAILED)] * 2
    refused(f'<testsuites failures="1"><testsuite>{inner}{inner}</testsuite></testsuites>')


def test_the_gravest_mark_decides() -> None:
    report = parse_junit(suite('<testcase name="a"><skipped/><failure/></testcase>').encode())
    assert report.cases[0].outcome is Outcome.FAILED
    report = parse_junit(suite('<testcase name="a"><skipped/><error/><failure/></testcase>').encode())
    assert report.cases[0].outcome is Outcome.ERROR


PASSED, FAILED = '<testcase name="a"/>', '<testcase name="b"><failure/></testcase>'


@pytest.mark.parametrize(
    ("cases", "totals"),
    [
        (PASSED, 'tests="1" failures="1"'),
        (PASSED + FAILED, 'tests="2" failures="0"'),
        (PASSED, 'errors="1"'),
        (PASSED, 'skipped="1"'),
        ('<testcase name="a"><skipped/></testcase>', 'skipped="0"'),
        (PASSED, 'tests="200"'),
        (PASSED + FAILED, 'tests="1" failures="1"'),
        (PASSED, 'tests="-1"'),
        (PASSED, 'tests="1.0"'),
        (PASSED, 'tests="１"'),
        (PASSED, f'tests="{"9" * 5000}"'),
    ],
)
def test_totals_that_contradict_the_cases(cases: str, totals: str) -> None:
    refused(suite(cases, totals))


def test_even_pytest_cannot_list_more_than_it_counts() -> None:
    assert "tests=1" in refused(suite(PASSED + FAILED, 'tests="1" failures="1"', name="pytest"))


@pytest.mark.parametrize(
    "data",
    [
        "",
        "   ",
        "no xml",
        "<testsuite>",
        "<testsuite></testsuites>",
        "<html></html>",
        "<testsuites/>",
        '<testsuites><testcase name="a"/></testsuites>',
        "<testsuite><testcase/></testsuite>",
        '<testsuite><testcase name="a"><testcase name="b"/></testcase></testsuite>',
        f'<testsuite><testcase name="{"x" * 5000}"/></testsuite>',
        '<testsuite name="a" name="b"/>',
        '<?xml version="1.0" encoding="no-such"?><testsuite/>',
        b"<testsuite>\xff\xfe\x00</testsuite>",
        b"\x00" * 100,
    ],
)
def test_what_is_no_report(data: bytes | str) -> None:
    if data == "<testsuites/>":
        assert "no <testsuite>" in refused(data)
    else:
        refused(data)


def _bomb(name: str) -> bytes:
    laughs = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 10))
    return {
        "entities": f'<!DOCTYPE x [<!ENTITY l0 "lol">{laughs}]><testsuite>&l9;</testsuite>'.encode(),
        "external": b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><testsuite name="&e;"/>',
        "document type": b'<!DOCTYPE testsuite SYSTEM "http://example.invalid/x.dtd"><testsuite/>',
        "depth": b"<testsuite>" * 500_000 + b"</testsuite>" * 500_000,
        "other depth": b"<testsuite>" + b"<x>" * 1_000_000 + b"</x>" * 1_000_000 + b"</testsuite>",
        "size": b"<testsuite>" + b" " * MAX_BYTES + b"</testsuite>",
        "attributes": b"<testsuite " + b" ".join(b'a%d=""' % i for i in range(1_000_000)) + b"/>",
        "cases": b"<testsuite>" + b'<testcase name="a"/>' * (MAX_CASES + 1) + b"</testsuite>",
        "marks": b'<testsuite><testcase name="a">' + b"<error/>" * 1_000_000 + b"</testcase></testsuite>",
        "digits": b'<testsuite tests="' + b"9" * 1_000_000 + b'"/>',
    }[name]


@pytest.mark.parametrize(
    "name",
    ["entities", "external", "document type", "depth", "other depth", "size", "attributes", "cases", "marks", "digits"],
)
def test_bombs_are_refused_quickly_and_cheaply(name: str) -> None:
    data = _bomb(name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.process_time()
    refused(data)
    assert time.process_time() - begun < 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 96 * 1024


def test_an_empty_suite_is_a_report_without_tests() -> None:
    assert parse_junit(b'<testsuites><testsuite tests="0"/></testsuites>') == TestReport(())


@pytest.mark.parametrize(
    "case",
    [
        '<testcase name="t"><x:failure xmlns:x="urn:x"/></testcase>',
        '<testcase name="t"><FAILURE/></testcase>',
        '<testcase name="t"><Error/></testcase>',
        '<testcase name="t" status="failed"/>',
        '<testcase name="t" result="Error"/>',
    ],
)
def test_a_failure_in_an_unknown_form_is_not_a_pass(case: str) -> None:
    with pytest.raises(ContractError, match="report_unreadable"):
        parse_junit(f'<testsuite name="x">{case}</testsuite>'.encode())


@pytest.mark.parametrize("status", ["run", "passed", "completed", ""])
def test_a_status_that_says_no_failure_is_none(status: str) -> None:
    (case,) = parse_junit(f'<testsuite name="x"><testcase name="t" status="{status}"/></testsuite>'.encode()).cases
    assert case.outcome == "passed"


@pytest.mark.parametrize("encoding", ["utf-7", "idna", "punycode", "rot13", "zlib", "undefined", "shift_jis", "x-none"])
def test_no_odd_encoding_is_read(encoding: str) -> None:
    data = f'<?xml version="1.0" encoding="{encoding}"?><testsuite><testcase name="t"/></testsuite>'.encode()
    with pytest.raises(ContractError, match="report_unreadable"):
        parse_junit(data)
