"""Placeholders are filled or refused; none reaches a command as text."""

from __future__ import annotations

import pytest

from autopilot.kernel.errors import ContractError
from autopilot.sandbox.placeholders import expand


def test_fills_arguments_and_environment() -> None:
    argv, env = expand(
        ("python", "--junitxml={report}", "{deps}{source}"),
        {"PYTHONPATH": "{deps}:src"},
        {"report": "/w/r.xml", "deps": "/d", "source": "/s"},
    )
    assert argv == ("python", "--junitxml=/w/r.xml", "/d/s")
    assert env == {"PYTHONPATH": "/d:src"}


def test_a_doubled_brace_is_a_brace() -> None:
    assert expand(("{{report}} {{}}",), {}, {"report": "x"})[0] == ("{report} {}",)


def test_a_value_is_not_filled_again() -> None:
    assert expand(("{a}",), {}, {"a": "{b}", "b": "no"})[0] == ("{b}",)


@pytest.mark.parametrize("word", ["{reprot}", "{}", "{", "}", "{report", '{"a": 1}', "{report!r}", "{report.x}"])
def test_anything_else_is_refused_with_its_place(word: str) -> None:
    with pytest.raises(ContractError) as caught:
        expand(("ok", word), {}, {"report": "x"})
    assert (caught.value.code, caught.value.where) == ("bad_config", "argv[1]")
    assert "{report}" in caught.value.remedy()


def test_the_place_of_a_variable_is_named() -> None:
    with pytest.raises(ContractError) as caught:
        expand((), {"PYTHONPATH": "{dpes}"}, {})
    assert caught.value.where == "env.PYTHONPATH"
