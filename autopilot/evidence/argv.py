"""One argument vector, written as a line of words or as a JSON array of strings. There is no shell.

In a line, words are parted by spaces; '…' and "…" keep spaces together and may not be mixed with escapes. What a
shell would act on is refused where it is not quoted, so that nobody believes it will happen: `|;&$<>` and backticks,
backslashes, globs, braces, a leading `~` or `#`, and `NAME=value` before the command.
"""

from __future__ import annotations

import json
import posixpath
import re

from autopilot.kernel.errors import ContractError

MAX_ARGUMENTS = 64
MAX_CHARACTERS = 4_096

_SHELL_SIGNS = frozenset("|;&$<>`\\*?[]{}()")
_LIVE_IN_DOUBLE_QUOTES = frozenset("$`\\")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
_CONSTANT = frozenset({"true", "false", ":", "echo", "printf", "exit", "return", "pwd", "sleep"})
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "fish", "busybox"})


def parse_argv(text: str) -> tuple[str, ...]:
    """The argument vector in one line of `text`; ContractError `accept_malformed` says what does not fit."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) != 1:
        raise _malformed(f"{len(lines)} lines where one argument vector is due")
    line = lines[0]
    if len(line) > MAX_CHARACTERS:
        raise _malformed(f"more than {MAX_CHARACTERS} characters")
    argv = _from_json(line) if line.startswith("[") else _from_words(line)
    return check_argv(argv)


def check_argv(argv: tuple[str, ...]) -> tuple[str, ...]:
    """`argv` if it may be run as it is; ContractError `accept_malformed` for none, too many, or unprintable ones."""
    if not argv or not argv[0].strip():
        raise _malformed("no command")
    if len(argv) > MAX_ARGUMENTS:
        raise _malformed(f"more than {MAX_ARGUMENTS} arguments")
    if sum(map(len, argv)) > MAX_CHARACTERS:
        raise _malformed(f"more than {MAX_CHARACTERS} characters")
    # Newlines and tabs may stand in an argument (`python -c` in the JSON form); nothing else unprintable may.
    if not "".join(argv).replace("\n", "").replace("\t", "").isprintable():
        raise _malformed("a control character in an argument")
    if _ASSIGNMENT.match(argv[0]):
        raise _malformed(
            f"{argv[0][:40]!r} sets an environment variable; the command's environment is autopilot.toml's"
        )
    return argv


def constant_outcome(argv: tuple[str, ...]) -> str:
    """Why this command cannot prove anything whatever the code does, or an empty string.

    A courtesy: it names the obvious cases before the run on the base tree finds them and the others.
    """
    command = posixpath.basename(argv[0])
    if command in _CONSTANT:
        return f"`{command}` gives the same answer whatever the code does"
    if command in _SHELLS and any(re.fullmatch(r"-[a-z]*c[a-z]*", word) for word in argv[1:]):
        return f"`{command} -c` is a shell line; there is no shell"
    return ""


def _from_json(line: str) -> tuple[str, ...]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise _malformed("it begins like a JSON array and is none") from None
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise _malformed("the JSON array may hold strings only")
    return tuple(value)


def _from_words(line: str) -> tuple[str, ...]:
    words: list[str] = []
    word: list[str] = []
    quote, started = "", False
    for character in line:
        if quote:
            if character == quote:
                quote = ""
                continue
            if quote == '"' and character in _LIVE_IN_DOUBLE_QUOTES:
                raise _malformed(f"{character!r} inside double quotes; use single quotes")
            word.append(character)
        elif character in "'\"":
            quote, started = character, True
        elif character in " \t":
            if started:
                words.append("".join(word))
            word, started = [], False
        elif character in _SHELL_SIGNS or (not started and character in "~#"):
            raise _malformed(f"{character!r} is for a shell, and there is none; quote it if it is meant as it stands")
        else:
            word.append(character)
            started = True
    if quote:
        raise _malformed(f"the quote {quote} is never closed")
    return (*words, "".join(word)) if started else tuple(words)


def _malformed(detail: str) -> ContractError:
    return ContractError(
        "accept_malformed", detail=detail, remedy="one line: words with simple quotes, or a JSON array of strings"
    )
