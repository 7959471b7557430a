"""The control tests: two tests of the engine's own in the copy a test run gets, whose outcomes are known beforehand.

The report that counts is written by the process that runs the project's code, and that code can write it as well. So
the run is given a test file that nobody could know of: its name is drawn by chance for each run. One test in it
passes; the other fails and is marked as expected to, strictly, so that it turns red if failures are swallowed. A
report that lacks either, or has another outcome for it, was not made by a runner that ran what lay there.

Code that looks for the file, reads it and copes with it is not caught: see SECURITY.md.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from autopilot.evidence.values.tests import Outcome, TestCase
from autopilot.kernel.configuration import Command
from autopilot.kernel.test_files import is_test_module

Kept = Literal["none", "absent", "bent", "kept"]

_TEXT = '''"""Two tests with known outcomes."""

import pytest


def test_{passes}() -> None:
    """One and {number} are {sum}."""
    assert sum((1, {number})) == {sum}


@pytest.mark.xfail(strict=True)
def test_{fails}() -> None:
    """One and {sum} are not {sum}."""
    assert sum((1, {sum})) == {sum}
'''
_PARTS = re.compile(r"[./:\\]+")


@dataclass(frozen=True, slots=True)
class Control:
    """The file's folder ("" is the root), and the names of the file and its tests, without `test_` before them."""

    folder: str
    stem: str
    passes: str
    fails: str
    number: int

    @property
    def path(self) -> str:
        """Where the file lies in the copy."""
        name = f"test_{self.stem}.py"
        return f"{self.folder}/{name}" if self.folder else name

    def files(self) -> dict[str, bytes]:
        """What is laid into the copy."""
        text = _TEXT.format(passes=self.passes, fails=self.fails, number=self.number, sum=self.number + 1)
        return {self.path: text.encode()}

    def parted(self, cases: Iterable[TestCase]) -> tuple[tuple[TestCase, ...], Kept]:
        """The project's own cases, and how those of the control file ended."""
        own: list[TestCase] = []
        found: dict[str, list[Outcome]] = {}
        for case in cases:
            parts = _PARTS.split(case.id.partition("[")[0])
            if f"test_{self.stem}" in parts:
                found.setdefault(parts[-1], []).append(case.outcome)
            else:
                own.append(case)
        wanted: dict[str, list[Outcome]] = {f"test_{self.passes}": ["passed"], f"test_{self.fails}": ["xfailed"]}
        return tuple(own), "kept" if found == wanted else "bent" if found else "absent"


def control_folder(command: Command | None, paths: Iterable[str]) -> str | None:
    """Where a control file goes: the folder with most test files; None where the command runs no pytest."""
    words = [word for vector in command.vectors for word in vector] if command else []
    if not any(word.rpartition("/")[2] in ("pytest", "py.test") for word in words):
        return None
    folders = Counter(path.rpartition("/")[0] for path in paths if is_test_module(path))
    # Of equals the first: the base's run and the judged tree's must choose alike.
    return min(folders, key=lambda folder: (-folders[folder], folder), default=None)
