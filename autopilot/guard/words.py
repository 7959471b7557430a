"""One plain command, read into its words exactly as a POSIX shell would, or not at all.

Understood is: words of printable characters separated by spaces or tabs, with single quotes, and double quotes
around text that holds nothing a shell would expand. Everything else is `NotPlain`: operators, redirections,
substitutions, variables, escapes, braces, comments, line breaks, carriage returns, Unicode spaces, invisible
characters, tildes and equal signs that a shell may expand, and lines over the cap. What this parser accepts, every
shell splits the same way; a test holds it against real shells. Wider grammar has its own place.

Unquoted `*`, `?` and `[` are kept, and the line is marked `globbed`: a pattern can become any word, an option too,
so that only commands none of whose options matter may have one.

Rules kept: builtins only (see the package). Every cap and doubt ends in `NotPlain`.
"""

MAX_LINE = 8192

_SPACES = " \t"
_SPECIAL = frozenset(";&|<>(){}$`\\!#\"'\n\r")
_GLOB = frozenset("*?[")
_EXPANDS_IN_DOUBLE_QUOTES = frozenset("$`\\!")


class NotPlain(ValueError):  # noqa: N818 - it names what the line is, not a fault of the program
    """The line is not one plain command of words; the text says why."""


class PlainCommand:
    """The words of one command, the assignments before it, and whether an unquoted pattern stands among the words."""

    __slots__ = ("assignments", "globbed", "words")

    def __init__(self, assignments: tuple[tuple[str, str], ...], words: tuple[str, ...], globbed: bool) -> None:
        self.assignments = assignments
        self.words = words
        self.globbed = globbed


def parse(line: str) -> PlainCommand:
    """The one plain command in `line`; NotPlain otherwise."""
    if len(line) > MAX_LINE:
        raise NotPlain(f"longer than {MAX_LINE} characters")
    if not line.replace("\t", " ").isprintable():
        raise NotPlain("a line break, or a character that does not print")
    words: list[str] = []
    starts: list[int] = []  # per word, where it begins in the line
    globbed = False
    position, end = 0, len(line)
    while True:
        while position < end and line[position] in _SPACES:
            position += 1
        if position >= end:
            break
        starts.append(position)
        word, position, has_glob = _word(line, position)
        words.append(word)
        globbed = globbed or has_glob
    return _split_assignments(line, words, starts, globbed)


def _word(line: str, position: int) -> tuple[str, int, bool]:
    parts: list[str] = []
    globbed = False
    start, end = position, len(line)
    while position < end:
        char = line[position]
        if char in _SPACES:
            break
        if char in "'\"":
            text, position = _quoted(line, position)
            parts.append(text)
            continue
        if char in _SPECIAL:
            raise NotPlain(f"the character {char}")
        _refuse_expansion(line, start, position)
        globbed = globbed or char in _GLOB
        parts.append(char)
        position += 1
    return "".join(parts), position, globbed


def _refuse_expansion(line: str, start: int, position: int) -> None:
    """NotPlain for `~`, `=` and `^` where some shell expands them; `HEAD~1`, `HEAD^` and `--a=b` are plain."""
    char = line[position]
    if char not in "~=^":
        return
    # Tilde after `=` or `:` expands in assignments; `=name` at a word's start is a path in zsh; `^a^b` is history.
    if position == start or (char == "~" and line[position - 1] in "=:"):
        raise NotPlain(f"the character {char}, which a shell may expand")


def _quoted(line: str, position: int) -> tuple[str, int]:
    quote = line[position]
    close = line.find(quote, position + 1)
    if close < 0:
        raise NotPlain("a quote that is not closed")
    text = line[position + 1 : close]
    if quote == '"' and not _EXPANDS_IN_DOUBLE_QUOTES.isdisjoint(text):
        raise NotPlain("an expansion in double quotes")
    return text, close + 1


def _split_assignments(line: str, words: list[str], starts: list[int], globbed: bool) -> PlainCommand:
    assignments: list[tuple[str, str]] = []
    for word, start in zip(words, starts, strict=True):
        name, equals, value = word.partition("=")
        # A shell sees an assignment only where no quote stands in the name: `A'B'=/x` is a command with a slash.
        if not equals or not line.startswith(name + "=", start) or not _is_name(name.removesuffix("+")):
            break
        if not name.startswith("AUTOPILOT_") or name.endswith("+"):
            raise NotPlain("an assignment before the command, of " + name)
        assignments.append((name, value))
    rest = tuple(words[len(assignments) :])
    if not rest:
        raise NotPlain("no command")
    if "=" in rest[0]:
        raise NotPlain("a command name with an equal sign, which some shell takes for an assignment")
    return PlainCommand(tuple(assignments), rest, globbed)


def _is_name(text: str) -> bool:
    return text.isascii() and text.replace("_", "a").isalnum() and not text[0].isdigit()
