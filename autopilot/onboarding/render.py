"""The text of `autopilot.toml` and `.gitignore`. What is already there stays as it is, byte for byte."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from autopilot.kernel.configuration import Command

HEADER = """\
# How autopilot builds, tests and judges this repository. Every key: docs/reference/configuration.md of autopilot.
# A command is a list of words, no shell. {report}, {deps} and {source} are filled in by the engine. The copy sealed
# on the ledger counts: changing a command later waits for a person.
"""
EXAMPLE = """\
# No command could be proposed. For a Python project it would be these; put your own words in their place:
#
# [commands.test]
# argv = ["python", "-m", "pytest", "--junitxml={report}"]     # must write JUnit XML to {report}
# env = {PYTHONPATH = "src"}
#
# [commands.build]
# argv = ["python", "-m", "compileall", "-q", "-f", "src"]
#
# [commands.coverage]
# argv = ["python", "-m", "coverage", "run", "--source=src", "-m", "pytest"]
# then = [["python", "-m", "coverage", "json", "-o", "{report}"]]     # coverage.py's JSON at {report}
# env = {PYTHONPATH = "src"}
#
# Likewise [commands.setup], [commands.lint], [commands.ci] and [commands.smoke].
"""
_DEFAULT_TIMEOUT_SECONDS = Command(argv=("",)).timeout_seconds
_LINE_LENGTH = 110


def new_file(ledger_id: str, state_dir: str, commands: Mapping[str, Command], thresholds: Mapping[str, int]) -> str:
    """A whole `autopilot.toml`."""
    top = [
        f"{name} = {_value(value)}\n" for name, value in (("ledger_id", ledger_id), ("state_dir", state_dir)) if value
    ]
    return "\n".join(part for part in (HEADER, "".join(top), sections(commands, thresholds)) if part)


def sections(commands: Mapping[str, Command], thresholds: Mapping[str, int]) -> str:
    """The command tables, or the commented example where there is none; thresholds if any."""
    parts = [_command(name, command) for name, command in commands.items()] or [EXAMPLE]
    if thresholds:
        parts.append("[thresholds]\n" + "".join(f"{name} = {value}\n" for name, value in thresholds.items()))
    return "\n".join(parts)


def with_top_key(text: str, name: str, value: str) -> str:
    """`text` with a key put before its first table: at the top, or behind a comment that a blank line closes."""
    end = _line_end(text)
    opening = re.match(r"(?:#[^\n]*\n)+\r?\n", text)
    before = opening[0] if opening else ""
    after = text[len(before) :]
    return f"{before}{name} = {_value(value)}{end}" + (end if after.startswith(("[", "#")) else "") + after


def with_appended(text: str, block: str) -> str:
    """`text` with `block` behind it, a blank line between, in the line ends that `text` uses."""
    end = _line_end(text)
    gap = "" if not text else end if text.endswith("\n") else end * 2
    return text + gap + block.replace("\n", end)


def ignores_folder(gitignore: str, folder: str) -> bool:
    """Whether a line of `.gitignore` plainly ignores `folder` of the root, and no later line takes it back."""
    ignored = False
    for line in gitignore.splitlines():
        pattern = line.strip()
        negated = pattern.startswith("!")
        if pattern.removeprefix("!").strip("/") in (folder, f"{folder}/*", f"{folder}/**"):
            ignored = not negated
    return ignored


def with_ignored(gitignore: str, folder: str) -> str:
    """`.gitignore` with the root's `folder` ignored: anchored, so that no folder of that name below is touched."""
    end = _line_end(gitignore)
    gap = "" if not gitignore or gitignore.endswith("\n") else end
    return f"{gitignore}{gap}/{folder}/{end}"


def _command(name: str, command: Command) -> str:
    lines = [f"[commands.{name}]", f"argv = {_value(command.argv)}"]
    if command.then:
        lines.append(f"then = {_value(command.then)}")
    if command.env:
        pairs = ", ".join(f"{_key(key)} = {_value(value)}" for key, value in command.env.items())
        lines.append("env = {" + pairs + "}")
    if command.timeout_seconds != _DEFAULT_TIMEOUT_SECONDS:
        lines.append(f"timeout_seconds = {command.timeout_seconds}")
    if command.report != {"test": "junit", "coverage": "coverage-json"}.get(name, "none"):
        lines.append(f"report = {_value(command.report)}")
    return "\n".join(lines) + "\n"


def _value(value: str | tuple[object, ...]) -> str:
    """A TOML string or array; long arrays go one item to a line."""
    if isinstance(value, str):
        # JSON's escapes are TOML's; DEL alone must be escaped in TOML and is not in JSON.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    items = [_value(item) for item in value if isinstance(item, (str, tuple))]
    line = "[" + ", ".join(items) + "]"
    return line if len(line) <= _LINE_LENGTH else "[\n" + "".join(f"    {item},\n" for item in items) + "]"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
