"""Where the work happens: the repository, the engine's trees, the tools, and the places on disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from autopilot.evidence.citations import Known
from autopilot.evidence.symbols import symbols_in
from autopilot.process.ports import Objects
from autopilot.sandbox.choose import choose
from autopilot.sandbox.interpreter import Toolbox
from autopilot.sandbox.plain import PlainRunner
from autopilot.sandbox.run import Runner
from autopilot.vcs.diff import FileChange
from autopilot.vcs.trees import TreeSnapshot

# Documents may cite names from these; a repository larger than this is cited by path.
_SYMBOL_SUFFIXES = (".py", ".pyi", ".js", ".ts", ".go", ".rs", ".java", ".c", ".h", ".rb")
_SYMBOL_FILES_MAX = 5_000
_SYMBOL_BYTES_MAX = 1024 * 1024


class Worktree(Protocol):
    """The repository, as far as the process asks it; see `vcs.repository.Repository`."""

    @property
    def worktree_id(self) -> str: ...
    def branch(self) -> str: ...
    def head_commit(self) -> str | None: ...
    def commit_tree(self, rev: str) -> str: ...


class Trees(Protocol):
    """Trees of the repository's files; see `vcs.trees.EngineTrees`."""

    def snapshot(self, *, base_tree: str | None) -> TreeSnapshot: ...
    def changes(self, old: str, new: str) -> tuple[FileChange, ...]: ...
    def patch(self, old: str, new: str) -> bytes: ...
    def overlaid(self, tree: str, other: str, paths: tuple[str, ...]) -> str: ...
    def checkout(self, tree: str, target: Path) -> None: ...
    def read(self, tree: str, path: str) -> bytes | None: ...
    def paths(self, tree: str) -> tuple[str, ...]: ...


def runner_for(isolation: str) -> Runner:
    """What runs commands: `bwrap` demands isolation, `none` does without, anything else takes what works here."""
    if isolation == "bwrap":
        return choose("bwrap")
    return PlainRunner() if isolation == "none" else choose("none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One repository as the runners see it. `environ` is the caller's environment, for the package index only.

    `tools` and `runner` find programs and run them; a simulator has its own.
    """

    root: Path
    state_dir: Path
    repository: Worktree
    trees: Trees
    objects: Objects
    environ: Mapping[str, str] = field(default_factory=dict)
    tools: Callable[[Path, str], Toolbox] = Toolbox.of
    runner: Callable[[str], Runner] = runner_for
    cache: Path | None = None
    _known: dict[str, Known] = field(default_factory=dict)

    @property
    def deps_cache(self) -> Path:
        """Where provided dependencies are kept; can be deleted at any time."""
        return (self.state_dir / "cache" if self.cache is None else self.cache) / "deps"

    def known(self, tree: str) -> Known:
        """Paths and defined names of a tree, for documents to cite; read once for each tree."""
        if tree not in self._known:
            paths = self.trees.paths(tree)
            symbols: set[str] = set()
            for path in paths[:_SYMBOL_FILES_MAX]:
                if path.endswith(_SYMBOL_SUFFIXES):
                    source = self.trees.read(tree, path)
                    if source is not None and len(source) <= _SYMBOL_BYTES_MAX:
                        symbols |= symbols_in(source.decode("utf-8", "replace"))
            self._known[tree] = Known(frozenset(paths), frozenset(symbols))
        return self._known[tree]

    def toolbox(self, interpreter: str) -> Toolbox:
        """Where commands find their programs, with the interpreter configured for the task."""
        return self.tools(self.root, interpreter)
