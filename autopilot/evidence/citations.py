"""Citations: what a text names in backticks, held against what the repository has.

A citation counts when it names, at the base of the task or among what the plan creates,

- a path (`src/pager.py`, also with `:12` or `::test_name` behind it), a folder (`src/`), a file by its name alone
  (`pager.py`), or a module (`shop.pager` where `shop/pager.py` or `src/shop/pager.py` is there);
- a symbol of three characters or more (`paginate`, `paginate()`, `Pager.slice`): the last part must be known;
- a command with a path in it (`python -m pytest tests/test_pager.py`): the path counts.

Anything else in backticks is allowed and counts for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from autopilot.evidence.markdown import code_spans

MIN_SYMBOL_CHARACTERS = 3
MAX_CITATIONS = 2_000

_LINE_SUFFIX = re.compile(r":\d{1,7}(?:-\d{1,7})?\Z")


@dataclass(frozen=True, slots=True)
class Known:
    """What may be cited: paths and symbols at the base, and paths the plan creates."""

    paths: frozenset[str]
    symbols: frozenset[str] = frozenset()

    @property
    def size(self) -> int:
        """How many things there are to cite."""
        return len(self.paths) + len(self.symbols)


@dataclass(frozen=True, slots=True)
class Citations:
    """The code spans of a text: those that resolve (by what they name) and those that do not (as written)."""

    resolved: frozenset[str]
    unresolved: tuple[str, ...]


def resolve_citations(texts: Iterable[str], known: Known) -> tuple[Citations, ...]:
    """The citations of each text, in order. One pass over the known paths, however many texts."""
    spans = [code_spans(text)[:MAX_CITATIONS] for text in texts]
    wanted = {candidate for group in spans for span in group for candidate in _path_candidates(span)}
    by_candidate = _paths_named(wanted, known.paths)
    answers = []
    for group in spans:
        resolved: set[str] = set()
        unresolved: list[str] = []
        for span in group:
            names = {by_candidate[c] for c in _path_candidates(span) if c in by_candidate}
            symbol = _symbol(span, known.symbols)
            names |= {symbol} if symbol else set()
            resolved |= names
            if not names:
                unresolved.append(span)
        answers.append(Citations(frozenset(resolved), tuple(unresolved)))
    return tuple(answers)


def _path_candidates(span: str) -> tuple[str, ...]:
    """The ways in which `span` may name a path: each of its words, cleaned."""
    candidates = []
    for word in span.split()[:64]:
        bare = _LINE_SUFFIX.sub("", word.partition("::")[0]).removeprefix("./")
        if bare.strip("/."):
            candidates.append(bare)
    return tuple(candidates)


def _paths_named(wanted: set[str], paths: frozenset[str]) -> dict[str, str]:
    """Which of `wanted` name a path, folder, file name or module, and what they name."""
    named = {candidate: candidate for candidate in wanted if candidate in paths}
    left = wanted - named.keys()
    names = {candidate for candidate in left if "/" not in candidate and "." in candidate}
    modules = {c.replace(".", "/") + ".py": c for c in names if re.fullmatch(r"\w+(?:\.\w+)+", c)}
    folders = {candidate.rstrip("/"): candidate for candidate in left if "/" in candidate}
    for path in paths if left else ():
        name = path.rpartition("/")[2]
        if name in names:
            named.setdefault(name, path)
        for suffix in (path, path.removeprefix("src/")) if modules else ():
            if suffix in modules:
                named.setdefault(modules[suffix], path)
        for folder in _parents(path) if folders else ():
            if folder in folders:
                named.setdefault(folders[folder], folder + "/")
    return named


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _symbol(span: str, symbols: frozenset[str]) -> str:
    """The known symbol that `span` names, or nothing. `Pager.slice(x)` names `slice`, if that is known."""
    name = span.partition("(")[0].strip()
    if name in symbols and len(name) >= MIN_SYMBOL_CHARACTERS:
        return name
    last = name.rpartition(".")[2]
    return last if last in symbols and len(last) >= MIN_SYMBOL_CHARACTERS else ""
