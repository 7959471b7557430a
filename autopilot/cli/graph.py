"""`autopilot graph`: the process, drawn from the machine that runs it."""

from __future__ import annotations

from autopilot.cli import console, options
from autopilot.cli.options import Parser
from autopilot.process.graph import dot, mermaid

_FORMATS = {"mermaid": mermaid, "dot": dot}


def parser() -> Parser:
    """The parser of `autopilot graph`."""
    drawn = options.command("graph", "draw the process from its running definition")
    drawn.add_argument("--format", choices=tuple(_FORMATS), default="mermaid", help="mermaid (default) or dot")
    return drawn


def run(name: str, words: list[str]) -> int:
    """Print the diagram; exit 0."""
    del name
    args = parser().parse_args(words)
    text = _FORMATS[args.format]()
    if options.read_call(args).as_json:
        console.emit({"format": args.format, "graph": text})
    else:
        console.show(text.rstrip("\n"))
    return 0
