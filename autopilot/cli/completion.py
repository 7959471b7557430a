"""`autopilot completion`: a completion script, made from the table of commands and their own parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module

from autopilot.cli import console, options
from autopilot.cli.main import COMMANDS
from autopilot.cli.options import Parser


@dataclass(frozen=True, slots=True)
class Words:
    """What can follow one command or sub-command: sub-commands, options, and the values that are known."""

    path: tuple[str, ...]
    verbs: tuple[str, ...]
    flags: tuple[str, ...]
    values: tuple[str, ...] = ()


def parser() -> Parser:
    """The parser of `autopilot completion`."""
    completing = options.command("completion", "print the completion script of a shell")
    completing.add_argument("shell", choices=tuple(_SHELLS), help="bash, zsh or fish")
    return completing


def run(name: str, words: list[str]) -> int:
    """Print the script; exit 0."""
    del name
    args = parser().parse_args(words)
    script = _SHELLS[args.shell]()
    if options.read_call(args).as_json:
        console.emit({"shell": args.shell, "script": script})
    else:
        console.show(script.rstrip("\n"))
    return 0


def vocabulary() -> tuple[Words, ...]:
    """The words behind every command and sub-command that has a parser."""
    return tuple(words for name in COMMANDS for words in _of_command(name))


def parser_of(name: str) -> argparse.ArgumentParser | None:
    """The parser of a command, or None where its module has none."""
    module = import_module(f"autopilot.cli.{_PARSER_MODULES.get(name, COMMANDS[name][0])}")
    make = getattr(module, "parser", None)
    if make is None:
        return None
    made: argparse.ArgumentParser = make(name) if COMMANDS[name][0] == "approve" else make()
    return made


def sub_parsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers of a command's sub-commands by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _of_command(name: str) -> Iterator[Words]:
    parser = parser_of(name)
    if parser is None:
        yield Words((name,), (), ())
        return
    below = sub_parsers(parser)
    yield _words((name,), parser, tuple(below))
    for verb, verb_parser in below.items():
        yield _words((name, verb), verb_parser, ())


def _words(path: tuple[str, ...], parser: argparse.ArgumentParser, verbs: tuple[str, ...]) -> Words:
    flags = tuple(flag for action in parser._actions for flag in action.option_strings if flag.startswith("--"))
    values = tuple(
        str(choice)
        for action in parser._actions
        if not action.option_strings and action.choices and not isinstance(action, argparse._SubParsersAction)
        for choice in action.choices
    )
    return Words(path, verbs, flags, values)


def _bash() -> str:
    cases = "".join(
        f'    "{" ".join(words.path)}") words="{" ".join((*words.verbs, *words.values, *words.flags))}" ;;\n'
        for words in vocabulary()
    )
    return _BASH.format(commands=" ".join(COMMANDS), cases=cases)


def _zsh() -> str:
    return "#compdef autopilot\nautoload -U +X bashcompinit && bashcompinit\n" + _bash()


def _fish() -> str:
    lines = ["complete -c autopilot -f"]
    for name, (_, about) in COMMANDS.items():
        lines.append(f"complete -c autopilot -n __fish_use_subcommand -a {name} -d {_quoted(about)}")
    for words in vocabulary():
        seen = " and ".join(f"__fish_seen_subcommand_from {word}" for word in words.path).replace(" and ", "; and ")
        follow = (*words.verbs, *words.values)
        lines.extend(f"complete -c autopilot -n {_quoted(seen)} -a {word}" for word in follow)
        lines.extend(f"complete -c autopilot -n {_quoted(seen)} -l {flag[2:]}" for flag in words.flags)
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


# The first two words that are no options choose what can follow. Files complete where nothing else does.
_BASH = """\
_autopilot() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" path="" words="{commands}" word
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    case "$word" in -*) continue ;; esac
    path="${{path:+$path }}$word"
    case "$path" in
{cases}    esac
  done
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _autopilot autopilot
"""
_SHELLS = {"bash": _bash, "zsh": _zsh, "fish": _fish}
# `status` keeps its parser apart, so that it need not import one.
_PARSER_MODULES = {"status": "status_full"}
