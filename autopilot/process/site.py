"""Where the work happens: the repository, the engine's trees, the tools, and the places on disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from autopilot.evidence.citations import Known
from autopilot.evidence.symbols import symbols_in
from autopilot.process.ports import Objects
from autopilot.sandbox.interpreter import Toolbox
from autopilot.vcs.repository import Repository
from autopilot.vcs.trees import EngineTrees

# Documents may cite names from these; a repository larger than this is cited by path.
_SYMBOL_SUFFIXES = (".py", ".pyi", ".js", ".ts", ".go", ".rs", ".java", ".c", ".h", ".rb")
_SYMBOL_FILES_MAX = 5_000
_SYMBOL_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One repository as the runners see it. `environ` is the caller's environment, for the package index only."""

    root: Path
    state_dir: Path
    repository: Repository
    trees: EngineTrees
    objects: Objects
    environ: Mapping[str, str] = field(default_factory=dict)
    _known: dict[str, Known] = field(default_factory=dict)

    @property
    def deps_cache(self) -> Path:
        """Where provided dependencies are kept; can be deleted at any time."""
        return self.state_dir / "cache" / "deps"

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
        return Toolbox.of(self.root, interpreter)
