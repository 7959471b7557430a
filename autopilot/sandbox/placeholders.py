"""Fills `{report}`, `{deps}`, `{source}` … in a configured command. Nothing else in braces is known.

    expand(("python", "-m", "pytest", "--junitxml={report}"), {"PYTHONPATH": "src"}, {"report": "/w/r.xml"})

A literal brace is written twice (`{{`, `}}`). Words that merely hold a brace pair with something that is no name,
such as `{}` or JSON, must be written that way too: a misspelt placeholder must not reach a command as text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from autopilot.kernel.errors import ContractError

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def expand(
    argv: Sequence[str], env: Mapping[str, str], placeholders: Mapping[str, str]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """`argv` and the values of `env` with placeholders filled; ContractError `bad_config` names an unknown one."""
    words = tuple(_fill(word, placeholders, f"argv[{index}]") for index, word in enumerate(argv))
    return words, {name: _fill(value, placeholders, f"env.{name}") for name, value in env.items()}


def _fill(text: str, placeholders: Mapping[str, str], where: str) -> str:
    def value(match: re.Match[str]) -> str:
        token = match[0]
        if token in ("{{", "}}"):
            return token[0]
        name = match[1]
        if name is None or name not in placeholders:
            known = ", ".join("{" + known_name + "}" for known_name in sorted(placeholders)) or "none"
            raise ContractError(
                "bad_config",
                where=where,
                detail=f"{token!r} is not a placeholder of this command",
                remedy=f"use one of: {known}; a literal brace is written twice",
            )
        return placeholders[name]

    return _TOKEN.sub(value, text)
