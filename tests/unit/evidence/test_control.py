"""The control tests: where they go, what they are called, and what a report must say of them."""

from __future__ import annotations

import pytest

from autopilot.evidence.control import Control, control_folder
from autopilot.evidence.reported import holds_tests
from autopilot.evidence.values.tests import TestCase
from autopilot.kernel.configuration import Command

CONTROL = Control("tests/unit", "abc", "yes", "no", 5)
PYTEST = Command(argv=("python", "-m", "pytest", "--junitxml={report}"))
YES, NO = "tests.unit.test_abc::test_yes", "tests.unit.test_abc::test_no"


def case(name: str, outcome: str = "passed") -> TestCase:
    return TestCase(id=name, outcome=outcome)


@pytest.mark.parametrize(
    ("cases", "kept"),
    [
        ([case(YES), case(NO, "xfailed")], "kept"),
        ([case("unit.test_abc::test_yes"), case("unit.test_abc::test_no", "xfailed")], "kept"),
        ([], "absent"),
        ([case(YES)], "bent"),
        ([case(NO, "xfailed")], "bent"),
        ([case(YES), case(NO)], "bent"),
        ([case(YES), case(NO, "failed")], "bent"),
        ([case(YES, "skipped"), case(NO, "xfailed")], "bent"),
        ([case(YES), case(YES), case(NO, "xfailed")], "bent"),
        ([case(YES), case(NO, "xfailed"), case("tests.unit.test_abc::ruff")], "bent"),
    ],
)
def test_what_the_report_says_of_them(cases, kept):
    own = case("tests.test_shop::test_a[tests.unit.test_abc::test_yes]", "failed")
    assert CONTROL.parted([*cases, own]) == ((own,), kept)


def test_the_file_is_python_with_two_tests():
    ((path, data),) = CONTROL.files().items()
    assert path == "tests/unit/test_abc.py"
    assert holds_tests(path, data)
    assert Control("", "abc", "yes", "no", 5).path == "test_abc.py"


@pytest.mark.parametrize(
    ("command", "paths", "folder"),
    [
        (PYTEST, ("a/test_a.py", "b/test_b.py", "b/test_c.py", "c/conftest.py"), "b"),
        (PYTEST, ("b/test_b.py", "a/test_a.py"), "a"),
        (PYTEST, ("test_a.py",), ""),
        (PYTEST, ("shop/cart.py",), None),
        (Command(argv=("tox",)), ("a/test_a.py",), None),
        (Command(argv=("make",), then=(("/usr/bin/pytest",),)), ("a/test_a.py",), "a"),
        (None, ("a/test_a.py",), None),
    ],
)
def test_where_they_go(command, paths, folder):
    assert control_folder(command, paths) == folder


@pytest.mark.parametrize(
    ("path", "data", "holds"),
    [
        ("tests/test_a.py", b"def test_a(): ...", True),
        ("tests/a_test.py", b"class TestA:\n    async def test_a(self): ...", True),
        ("tests/test_a.py", b"def (", True),
        ("tests/test_a.py", b"X = 1", False),
        ("tests/helper.py", b"def test_a(): ...", False),
        ("tests/test_a.py", None, False),
    ],
)
def test_which_files_hold_tests(path, data, holds):
    assert holds_tests(path, data) is holds
