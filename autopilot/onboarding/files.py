"""Reading a repository that may be hostile: regular files only, capped, no links, nothing run."""

from __future__ import annotations

import ast
import configparser
import os
import stat
import tomllib
import warnings
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

MAX_BYTES = 1024 * 1024
MAX_ENTRIES = 2000
_NOT_SOURCE = frozenset({"__pycache__", "build", "dist", "env", "node_modules", "site-packages", "venv"})


@dataclass(slots=True)
class RepositoryFiles:
    """Text, TOML and INI files below `root`. What cannot be parsed reads as empty and is named in `problems`."""

    root: Path
    problems: list[str] = field(default_factory=list)

    def text(self, path: str) -> str | None:
        """A file's text as stored, line ends included; None if it is not there, not regular, linked or too large."""
        if any((self.root / parent).is_symlink() for parent in PurePosixPath(path).parents if parent.name):
            return None
        try:
            descriptor = os.open(self.root / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return None
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            self._problem(f"{path} is larger than {MAX_BYTES} bytes and was not read")
            return None
        return data.decode("utf-8", errors="replace")

    def toml(self, path: str) -> dict[str, Any]:
        """A TOML file's content; empty if it is not there."""
        text = self.text(path)
        try:
            return tomllib.loads(text) if text is not None else {}
        except tomllib.TOMLDecodeError as error:
            self._problem(f"{path} is not TOML and was not read: {error}")
            return {}

    def ini(self, path: str) -> dict[str, dict[str, str]]:
        """An INI file's sections; empty if it is not there."""
        text = self.text(path)
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read_string(text or "")
        except configparser.Error as error:
            self._problem(f"{path} is not an INI file and was not read: {str(error).splitlines()[0]}")
            return {}
        return {section: dict(parser.items(section)) for section in parser.sections()}

    def python(self, path: str) -> ast.Module:
        """A Python file's syntax tree; empty if it is not there or cannot be parsed."""
        try:
            with warnings.catch_warnings():
                # Their odd escapes are the linter's business, not this reader's.
                warnings.simplefilter("ignore")
                return ast.parse(self.text(path) or "")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return ast.Module([], [])

    def folders(self, path: str = "") -> tuple[str, ...]:
        """Names of the plain folders in `path`, sorted, hidden ones left out."""
        return tuple(name for name, mode in self._entries(path) if stat.S_ISDIR(mode))

    def files(self, path: str = "") -> tuple[str, ...]:
        """Names of the plain files in `path`, sorted, hidden ones left out."""
        return tuple(name for name, mode in self._entries(path) if stat.S_ISREG(mode))

    def has(self, path: str) -> bool:
        """Whether `path` is a plain file or folder."""
        try:
            mode = os.lstat(self.root / path).st_mode
        except OSError:
            return False
        return stat.S_ISREG(mode) or stat.S_ISDIR(mode)

    def taken(self, path: str) -> bool:
        """Whether anything at all has this name, a link to nowhere included."""
        return os.path.lexists(self.root / path)

    def below(self, path: str, suffix: str) -> tuple[str, ...]:
        """Files below the folder `path` whose names end in `suffix`, nearest first; MAX_ENTRIES folders are read."""
        found: list[str] = []
        waiting = [path]
        for _ in range(MAX_ENTRIES):
            if not waiting:
                break
            folder = waiting.pop(0)
            prefix = f"{folder}/" if folder else ""
            found += [prefix + name for name in self.files(folder) if name.endswith(suffix)]
            waiting += [prefix + name for name in self.folders(folder) if name not in _NOT_SOURCE]
        return tuple(found)

    def _entries(self, path: str) -> list[tuple[str, int]]:
        try:
            with os.scandir(self.root / path) as entries:
                return sorted(
                    (entry.name, entry.stat(follow_symlinks=False).st_mode)
                    for entry in entries
                    if not entry.name.startswith(".")
                )
        except OSError:
            return []

    def _problem(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)
