"""What a person or a script sees: data on stdout, progress on stderr, and as the last line what to type next.

No colour anywhere. Text that came from agents (titles, reasons, file names, details) is shown without control
characters and invisible formatting: a title must not be able to redraw the terminal of the person who approves.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SCHEMA_VERSION = 1
# Control, format (bidirectional overrides, zero width), surrogates, private use, line and paragraph separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def emit(shown: Mapping[str, Any]) -> None:
    """One JSON object on stdout."""
    sys.stdout.write(json.dumps({"schema_version": SCHEMA_VERSION, **shown}) + "\n")


def show(text: str) -> None:
    """A line of data for people on stdout."""
    encoding = sys.stdout.encoding or "ascii"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def say(text: str) -> None:
    """A line of progress on stderr, behind the data written so far."""
    sys.stdout.flush()
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def next_step(command: str) -> None:
    """The last line: what to type next."""
    say(f"next: {command}")


def clean(text: str) -> str:
    """`text` on one line, without control and invisible characters."""
    spaced = text.replace("\n", " ").replace("\t", " ")
    return "".join(char for char in spaced if unicodedata.category(char) not in _HIDDEN)


def clean_lines(text: str) -> str:
    """`text` with its line breaks and tabs, without other control and invisible characters."""
    return "\n".join("\t".join(clean(part) for part in line.split("\t")) for line in text.split("\n"))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns for people on stdout; nothing where there is no row."""
    cells = [[clean(cell) for cell in row] for row in rows]
    if not cells:
        return
    widths = [max(len(row[column]) for row in (header, *cells)) for column in range(len(header))]
    for row in (list(header), *cells):
        show("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def marks() -> tuple[str, str, str]:
    """The signs for met, unmet and waiting; words where stderr cannot show them."""
    signs = ("✔", "✘", "●")
    try:
        "".join(signs).encode(sys.stderr.encoding or "ascii")
    except UnicodeEncodeError:
        return ("ok  ", "no  ", "wait")
    return signs


def at_terminal() -> bool:
    """Whether a person can be asked here: stdin is a terminal."""
    return sys.stdin is not None and not sys.stdin.closed and sys.stdin.isatty()


def ask(question: str) -> str:
    """The answer typed at the terminal, stripped; empty at the end of input."""
    sys.stdout.flush()
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip()


def ask_secret(question: str) -> str:
    """As `ask`, and what is typed is not shown."""
    import termios

    sys.stdout.flush()
    terminal = sys.stdin.fileno()
    shown = termios.tcgetattr(terminal)
    hidden = [*shown[:3], shown[3] & ~termios.ECHO, *shown[4:]]
    # Hidden first, asked then: what is typed at once must not be shown either.
    termios.tcsetattr(terminal, termios.TCSADRAIN, hidden)
    try:
        sys.stderr.write(question)
        sys.stderr.flush()
        typed = sys.stdin.readline()
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, shown)
        sys.stderr.write("\n")
    return typed.removesuffix("\n")
