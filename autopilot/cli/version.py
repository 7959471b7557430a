"""`autopilot version`."""

from __future__ import annotations

from autopilot.cli import console, options
from autopilot.cli.options import Parser
from autopilot.version import VERSION


def parser() -> Parser:
    """The parser of `autopilot version`."""
    return options.command("version", "print the version")


def run(name: str, words: list[str]) -> int:
    """Print the version; exit 0."""
    del name
    call = options.read_call(parser().parse_args(words))
    if call.as_json:
        console.emit({"version": VERSION})
    else:
        console.show(f"autopilot {VERSION}")
    return 0
