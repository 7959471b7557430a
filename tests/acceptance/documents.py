"""Documents as programs: the fences of a Markdown file, and a fresh governed-to-be repository in which they run.

What a document says to its reader is run as it stands; what only the test must know stands in an HTML comment above the
fence, which no reader sees:

    ```console            lines with `$ ` are commands, run in order in one repository for each document; `# exit 1` at
                          the end of one is the exit code it must have (0 without); other lines must be in its output,
                          in order, with `…` for anything
    <!-- at a terminal --> above it: the commands run on a pseudo-terminal of their own, the person's, and what they ask
                          for is typed
    <!-- file: PATH -->   above any fence: its text is written to PATH below the repository
    <!-- not run: WHY --> above it: only for what cannot run here
    ```python             is run with the interpreter of the tests, in the repository
    ```toml, ```json      must parse; toml as autopilot.toml

`DIGEST` in a command stands for the subject that was shown last. `pip` and `make` lines are held against the project.
"""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from autopilot.cli.demo.project import make_repository

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"(?P<mark>`{3,}|~{3,})(?P<language>[a-z]*)[^\n]*")
_NOTE = re.compile(r"<!-- (?P<kind>at a terminal|file|not run)(?:: (?P<value>.*?))? -->")
_EXIT = re.compile(r"\s+# exit (\d+)$")
_SUBJECT = re.compile(r"(?:subject |--subject )([0-9a-f]{64})")
# What commands ask a person for, and what a person who has looked types.
_QUESTIONS = (
    (re.compile(rb"\[y/N\] $"), b"y\n"),
    (re.compile(rb"passphrase[^\n]*: $"), b"correct horse battery staple\n"),
    (re.compile(rb"([0-9a-f]{8}) to (?:approve|reject)[^\n]*: $"), None),
)
_TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Fence:
    """One fenced block: its language, text, first line in the document, and the hidden note above it."""

    language: str
    text: str
    line: int
    kind: str = ""
    value: str = ""


@dataclass(frozen=True)
class Step:
    """One command of a console fence, the exit code it must have, and the output shown below it."""

    command: str
    code: int
    shown: tuple[str, ...]
    line: int


def fences(text: str) -> Iterator[Fence]:
    """The fences of a Markdown text, in order."""
    lines, index, note = text.split("\n"), 0, None
    while index < len(lines):
        opening = _FENCE.fullmatch(lines[index].strip())
        if opening is None:
            found = _NOTE.fullmatch(lines[index].strip())
            # A note counts for the fence right below it, blank lines between allowed.
            note = found or (note if not lines[index].strip() else None)
            index += 1
            continue
        indent = len(lines[index]) - len(lines[index].lstrip())
        first = index = index + 1
        while lines[index].strip() != opening["mark"]:
            index += 1
        body = "".join(line[indent:] + "\n" for line in lines[first:index])
        kind, value = (note["kind"], note["value"] or "") if note else ("", "")
        yield Fence(opening["language"], body, first, kind, value)
        note = None
        index += 1


def steps(fence: Fence) -> Iterator[Step]:
    """The commands of a console fence."""
    lines = fence.text.rstrip("\n").split("\n")
    index = 0
    while index < len(lines):
        place = fence.line + index + 1
        assert lines[index].startswith("$ "), f"line {place}: output before the first command"
        command = lines[index][2:]
        while command.endswith("\\"):
            index += 1
            command = command[:-1] + lines[index].strip()
        index += 1
        shown = []
        while index < len(lines) and not lines[index].startswith("$ "):
            shown.append(lines[index])
            index += 1
        code = _EXIT.search(command)
        yield Step(_EXIT.sub("", command), int(code[1]) if code else 0, tuple(shown), place)


@dataclass
class Shell:
    """A repository with the demo's shop, and two shells in it, the agent's and the person's terminal.

    Folder and variables of each go on from line to line.
    """

    home: Path
    environs: dict[bool, dict[str, str]] = field(default_factory=dict)
    folders: dict[bool, Path] = field(default_factory=dict)
    subject: str = ""

    def __post_init__(self) -> None:
        folder = self.home / "shop"
        folder.mkdir(parents=True)
        make_repository(folder)
        self.folders = {False: folder, True: folder}
        for script in ("check_ledger.py", "check_statements.py"):
            (self.home / script).write_bytes((ROOT / "scripts" / script).read_bytes())
        tools = self.home / ".tools"
        tools.mkdir()
        for name, words in (("autopilot", "-m autopilot.cli.main "), ("python3", ""), ("python", "")):
            (tools / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {words}"$@"\n')
            (tools / name).chmod(0o755)
        who = {f"GIT_{role}_{key}": f"reader{end}" for role in ("AUTHOR", "COMMITTER") for key, end in _READER}
        environ = {"PATH": f"{tools}:/usr/local/bin:/usr/bin:/bin", "HOME": str(self.home), "LC_ALL": "C.UTF-8", **who}
        self.environs = {False: environ, True: dict(environ)}

    @property
    def folder(self) -> Path:
        """Where files of the document are written: where the agent's shell is."""
        return self.folders[False]

    def run(self, command: str, *, terminal: bool = False) -> tuple[int, str]:
        """One line; its exit code and all it showed. Folder and variables are kept for the next."""
        kept = self.home / ".kept"
        script = (
            f"set -a\n{command.replace('DIGEST', self.subject)}\ncode=$?\n{{ pwd; env -0; }} > {kept}\nexit $code\n"
        )
        words = ["/bin/bash", "-c", script]
        code, output = self._at_terminal(words) if terminal else self._piped(words)
        place, _, variables = kept.read_text().partition("\n")
        self.folders[terminal] = Path(place)
        self.environs[terminal] = dict(pair.split("=", 1) for pair in variables.split("\0") if "=" in pair)
        subjects = _SUBJECT.findall(output)
        self.subject = subjects[-1] if subjects else self.subject
        if code == 4 and "accept_unisolated" in output:
            # As the page says of a machine without bubblewrap: a person looks first. The page's own way has it.
            self.run(f"autopilot approve {command.split()[2]} --subject DIGEST --reason 'read them'", terminal=True)
            return self.run(command, terminal=terminal)
        return code, output

    def _piped(self, words: list[str]) -> tuple[int, str]:
        done = subprocess.run(
            words,
            cwd=self.folders[False],
            env=self.environs[False],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT_SECONDS,
        )
        return done.returncode, done.stdout.decode()

    def _at_terminal(self, words: list[str]) -> tuple[int, str]:
        process, terminal = pty.fork()
        if process == 0:
            os.chdir(self.folders[True])
            os.execve(words[0], words, self.environs[True])
        shown, answered, deadline = b"", 0, time.monotonic() + _TIMEOUT_SECONDS
        while True:
            assert time.monotonic() < deadline, f"{words[-1]!r} did not end: {shown!r}"
            if not select.select([terminal], [], [], 0.2)[0]:
                continue
            try:
                block = os.read(terminal, 65536)
            except OSError:
                break  # Linux answers EIO once the other side is closed
            if not block:
                break
            shown += block
            for question, answer in _QUESTIONS:
                asked = question.search(shown, answered)
                if asked:
                    answered = len(shown)
                    os.write(terminal, answer or asked[1] + b"\n")
        os.close(terminal)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        return code, shown.decode().replace("\r\n", "\n")


_READER = (("NAME", ""), ("EMAIL", "@example.invalid"))


def unshown(shown: tuple[str, ...], output: str) -> str:
    """The first shown line that the output does not have in this order; empty if it has all."""
    lines = iter(output.split("\n"))
    for line in shown:
        pattern = re.compile(".*".join(re.escape(part) for part in line.rstrip().split("…")))
        if line.strip() != "…" and not any(pattern.fullmatch(candidate.rstrip()) for candidate in lines):
            return line
    return ""
