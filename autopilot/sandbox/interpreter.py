"""Finds the program behind a command's first word, and what must be mounted for it to start.

- `python` and `python3` are the configured interpreter, or the one autopilot runs under; never what a PATH says.
- Other names are looked up on a PATH of the interpreter's own directory, configured directories and the system's,
  without any that lies in the repository: whoever can write there could put a `pytest` of his own first.
- A relative path (`./build.sh`) is a file of the judged tree and is taken from the throw-away copy. Such a file
  is hostile input: it brings no mounts of its own, neither by a link nor by its shebang.
- The interpreter is never *run* to learn about it: one that lies in the repository may be anybody's program.

The digest of the program goes into the evidence, beside its path. For an interpreter `facts()` adds digests of what
its environment holds (`sandbox.packages`): an environment inside the repository is ignored by git, and so seen by no
diff.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autopilot.kernel.errors import ContractError, MissingComponentError
from autopilot.sandbox.environment import SYSTEM_PATH
from autopilot.sandbox.mounts import SYSTEM_DIRECTORIES
from autopilot.sandbox.packages import package_digests

_PYTHON_NAMES = frozenset({"python", "python3"})
_MAX_LINKS = 16
_SHEBANG_BYTES = 256


@dataclass(frozen=True, slots=True)
class Executable:
    """A program: the path to start it by, the SHA-256 of the file behind it, and what must be mounted for it.

    `mounts` always holds the interpreter's installation: it comes first on the command's PATH.
    """

    path: Path
    sha256: str
    mounts: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class InterpreterFacts:
    """What the evidence says of the interpreter.

    `startup_sha256` covers start-up files and every importable file of the installed packages, `compiled_sha256` their
    `__pycache__` folders.
    """

    path: Path
    sha256: str
    prefix: Path
    base_prefix: Path
    inside_repository: bool
    startup_sha256: str
    compiled_sha256: str

    def as_dict(self) -> dict[str, Any]:
        """Plain data for evidence."""
        return {
            "path": str(self.path),
            "sha256": self.sha256,
            "prefix": str(self.prefix),
            "base_prefix": str(self.base_prefix),
            "inside_repository": self.inside_repository,
            "startup_sha256": self.startup_sha256,
            "compiled_sha256": self.compiled_sha256,
        }


@dataclass(frozen=True, slots=True)
class Toolbox:
    """Where a repository's commands find their programs."""

    repository: Path
    interpreter: Path
    directories: tuple[Path, ...] = ()

    @classmethod
    def of(cls, repository: Path, interpreter: str = "", directories: tuple[str, ...] = ()) -> Toolbox:
        """From configuration: a relative `interpreter` (`.venv/bin/python`) is below the repository's root.

        Raises ContractError `bad_config` for a configured directory that is relative or lies in the repository,
        MissingComponentError `tool_missing` for an interpreter that is not there.
        """
        root = repository.resolve()
        chosen = root / interpreter if interpreter else Path(sys.executable)
        chosen = Path(os.path.normpath(chosen))
        if not chosen.is_file() or not os.access(chosen, os.X_OK):
            raise MissingComponentError("tool_missing", where=str(chosen), detail="the interpreter is not there")
        extra = tuple(Path(os.path.normpath(folder)) for folder in directories)
        for folder in extra:
            if not folder.is_absolute() or within(folder, root):
                raise ContractError(
                    "bad_config", where=str(folder), detail="a tool directory is absolute and outside of the repository"
                )
        return cls(root, chosen, extra)

    @property
    def path(self) -> tuple[Path, ...]:
        """The directories programs are looked up in, in order; none lies in the repository."""
        candidates = (self.interpreter.parent, *self.directories, *SYSTEM_PATH)
        return tuple(folder for folder in candidates if not within(folder, self.repository))

    def resolve(self, name: str, *, source: Path) -> Executable:
        """The program behind a command's first word, run in `source` (the throw-away copy).

        Raises MissingComponentError `tool_missing` where there is none, ContractError `path_outside` for a relative
        path that leaves the copy.
        """
        if name in _PYTHON_NAMES:
            return self._executable(self.interpreter, self.interpreter)
        if "/" not in name:
            for folder in self.path:
                place = folder / name
                if name and place.is_file() and os.access(place, os.X_OK):
                    return self._executable(place, self.interpreter, place)
            raise MissingComponentError(
                "tool_missing",
                where=name,
                detail=f"{name!r} is in none of {', '.join(str(folder) for folder in self.path)}",
                remedy=f"install it, or write it as a module: python -m {name}",
            )
        return self._by_path(name, source)

    def _by_path(self, name: str, source: Path) -> Executable:
        place = Path(os.path.normpath(source / name))
        project = not Path(name).is_absolute()
        if project and not (within(place, source) and _leads_inside(place, source)):
            raise ContractError("path_outside", where=name, detail="the command leaves the repository")
        if not project and within(place, self.repository) and place != self.interpreter:
            # The live working tree is not the judged one: its files are anybody's between two commands.
            raise ContractError(
                "bad_config", where=name, detail="a program of the repository by absolute path", remedy="write ./…"
            )
        if not place.is_file() or not os.access(place, os.X_OK):
            raise MissingComponentError("tool_missing", where=name, detail=f"{place} is not an executable file")
        return self._executable(place, self.interpreter, *(() if project else (place,)))

    def _executable(self, place: Path, *trusted: Path) -> Executable:
        """`place` with the mounts that the `trusted` programs need."""
        mounts: dict[Path, None] = {}
        for path in (needed for program in trusted for needed in _needed(program, depth=0)):
            if any(path.is_relative_to(system) for system in SYSTEM_DIRECTORIES):
                continue
            if self.repository.is_relative_to(path) or Path.home().is_relative_to(path):
                # An environment made in the repository's own root, or a pyvenv.cfg that points at somebody's home.
                raise ContractError(
                    "bad_config",
                    where=str(place),
                    detail=f"to start it, all of {path} would have to be shown",
                    remedy="make the environment in a folder of its own, such as .venv",
                )
            mounts[path] = None
        return Executable(place, _digest(place), tuple(mounts))

    def facts(self) -> InterpreterFacts:
        """What the evidence says of the interpreter."""
        prefix, base = prefixes(self.interpreter)
        packages = package_digests(prefix, base)
        return InterpreterFacts(
            path=self.interpreter,
            sha256=_digest(self.interpreter),
            prefix=prefix,
            base_prefix=base,
            inside_repository=within(self.interpreter, self.repository),
            startup_sha256=packages.sources,
            compiled_sha256=packages.compiled,
        )


def within(path: Path, root: Path) -> bool:
    """Whether `path` lies in `root`, as written or after links are followed: either way in is a way in."""
    return path.is_relative_to(root) or path.resolve().is_relative_to(root.resolve())


def prefixes(interpreter: Path) -> tuple[Path, Path]:
    """`sys.prefix` and `sys.base_prefix` of an interpreter, read from its files and not by running it."""
    for link in _links(interpreter):
        prefix = link.parent.parent
        marker = prefix / "pyvenv.cfg"
        if marker.is_file():
            for line in marker.read_text("utf-8", "replace").splitlines():
                key, _, value = line.partition("=")
                if key.strip() == "home" and value.strip():
                    return prefix, Path(os.path.normpath(value.strip())).parent
            raise ContractError("bad_config", where=str(marker), detail="pyvenv.cfg names no home")
    real = interpreter.resolve()
    return real.parent.parent, real.parent.parent


def _leads_inside(place: Path, source: Path) -> bool:
    """Whether links end in the copy or in the system: a tree may hold a link to anything on this machine."""
    real = place.resolve()
    return any(real.is_relative_to(root) for root in (source.resolve(), *SYSTEM_DIRECTORIES))


def _needed(place: Path, *, depth: int) -> Iterator[Path]:
    """What must be there for `place` to start: its links, its Python installation, its shebang's program."""
    for link in _links(place):
        root = link.parent.parent
        if link.parent.name == "bin" and ((root / "pyvenv.cfg").is_file() or any(root.glob("lib/python3*/os.py"))):
            yield from _installation(link)
        else:
            yield link
    program = _shebang(place)
    if program is not None and depth == 0:
        yield from _needed(program, depth=depth + 1)


def _installation(interpreter: Path) -> Iterator[Path]:
    prefix, base = prefixes(interpreter)
    for path in (prefix, base):
        yield path
        # Python may compute its own place through the real path.
        yield path.resolve()


def _links(path: Path) -> Iterator[Path]:
    """`path` and every link's target on the way to the real file."""
    for _ in range(_MAX_LINKS):
        yield path
        if not path.is_symlink():
            return
        path = Path(os.path.normpath(path.parent / path.readlink()))
    raise ContractError("bad_config", where=str(path), detail="too many symbolic links")


def _shebang(place: Path) -> Path | None:
    with place.open("rb") as file:
        first = file.read(_SHEBANG_BYTES).partition(b"\n")[0]
    if not first.startswith(b"#!"):
        return None
    words = first[2:].decode("utf-8", "replace").split()
    return Path(words[0]) if words and Path(words[0]).is_absolute() and Path(words[0]).exists() else None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
