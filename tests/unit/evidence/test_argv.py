"""One argument vector, no shell."""

from __future__ import annotations

import pytest

from autopilot.evidence.argv import constant_outcome, parse_argv
from autopilot.kernel.errors import ContractError


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        ("python -m pytest -q", ("python", "-m", "pytest", "-q")),
        ("\n  python   -m\tpytest \n\n", ("python", "-m", "pytest")),
        ("python -c 'assert 1 < 2; print(\"x\")'", ("python", "-c", 'assert 1 < 2; print("x")')),
        ('pytest "tests/test_a.py::test_b[1 2]"', ("pytest", "tests/test_a.py::test_b[1 2]")),
        ("a 'b c'd\"e f\" ''", ("a", "b cde f", "")),
        ('["python", "-c", "a = 1\\nassert a"]', ("python", "-c", "a = 1\nassert a")),
        ("./check.sh a=b ~x".replace(" ~x", ""), ("./check.sh", "a=b")),
        ("bash tests/check.sh", ("bash", "tests/check.sh")),
    ],
)
def test_words_and_arrays(text, argv):
    assert parse_argv(text) == argv
    assert constant_outcome(argv) == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a\nb",
        "'a",
        'a "$x"',
        "a ~",
        "a #x",
        "a \\n",
        "a(b)",
        "{a,b}",
        "[1]",
        '["a"',
        '[["a"]]',
        "[" * 3000,
        '["\\ud800"]',
        '["a", "\\u0000"]',
        '[""]',
        "x" * 5000,
        " ".join("a" * 65),
        "A=1",
    ],
)
def test_refused(text):
    with pytest.raises(ContractError) as caught:
        parse_argv(text)
    assert caught.value.code == "accept_malformed"
    assert caught.value.detail
