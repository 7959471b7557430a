"""Declared dependencies, and whether the interpreter at hand already has them.

A small reading of PEP 508: name, extras, version range, one-comparison markers. What it does not understand
(URLs, pre-releases, combined markers) counts as not satisfied: then a setup command is proposed and pip, which
understands all of it, decides. The mistake possible here is a setup that was not needed, never a missing one.
"""

from __future__ import annotations

import operator
import os
import platform
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata

Installed = Callable[[str], str | None]

_REQUIREMENT = re.compile(
    r"\s*(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[(?P<extras>[^\]]*)\])?\s*\(?(?P<range>(?:[<>=!~][^;@()]*)?)\)?\s*(?:;(?P<marker>.*))?"
)
_CLAUSE = re.compile(r"\s*(==|!=|<=|>=|<|>|~=)\s*([0-9]+(?:\.[0-9]+)*)(\.\*)?\s*")
_RELEASE = re.compile(r"[0-9]+(?:\.[0-9]+)*")
_MARKER = re.compile(r"""\s*([a-z_]+)\s*(==|!=|<=|>=|<|>)\s*["']([^"']+)["']\s*""")
_COMPARE: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One declared dependency. `name` is normalised; `text` is as written; `clauses` None means not understood."""

    text: str
    name: str
    extras: tuple[str, ...] = ()
    clauses: tuple[tuple[str, str], ...] | None = ()
    marker: str = ""


def normalised(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_requirement(text: str) -> Requirement | None:
    """The requirement in `text`, or None where it does not even begin with a name (an option, a path, a URL)."""
    text = text.strip()
    found = _REQUIREMENT.fullmatch(text)
    if not found:
        named = re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*@", text)
        return Requirement(text, normalised(named[1]), clauses=None) if named else None
    extras = tuple(normalised(extra) for extra in (found["extras"] or "").split(",") if extra.strip())
    return Requirement(
        text, normalised(found["name"]), extras, _clauses(found["range"]), (found["marker"] or "").strip()
    )


def installed_version(name: str) -> str | None:
    """The version of a distribution that this interpreter has, or None."""
    try:
        return metadata.version(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None


def satisfied(requirement: Requirement, installed: Installed) -> bool:
    """Whether `requirement` holds here without installing anything. Its own dependencies are taken to be there."""
    if requirement.marker and _marker_holds(requirement.marker) is False:
        return True
    version = installed(requirement.name)
    if version is None or requirement.clauses is None or requirement.extras:
        # Extras pull in distributions that are not named here.
        return False
    if not requirement.clauses:
        return True
    if not _RELEASE.fullmatch(version):
        return False
    return all(_holds(version, comparison, wanted) for comparison, wanted in requirement.clauses)


def unsatisfied(requirements: Iterable[Requirement], installed: Installed) -> tuple[Requirement, ...]:
    """Those that are not satisfied, in order."""
    return tuple(requirement for requirement in requirements if not satisfied(requirement, installed))


def _clauses(text: str) -> tuple[tuple[str, str], ...] | None:
    clauses: list[tuple[str, str]] = []
    for part in text.split(","):
        if not part.strip():
            continue
        found = _CLAUSE.fullmatch(part)
        if not found or (found[3] and found[1] not in ("==", "!=")):
            return None
        clauses.append((found[1], found[2] + (found[3] or "")))
    return tuple(clauses)


def _holds(version: str, comparison: str, wanted: str) -> bool:
    have = _release(version)
    if wanted.endswith(".*"):
        prefix = tuple(int(part) for part in wanted[:-2].split("."))
        return (have[: len(prefix)] == prefix) == (comparison == "==")
    if comparison == "~=":
        return have >= _release(wanted) and _holds(version, "==", wanted.rpartition(".")[0] + ".*")
    return _COMPARE[comparison](have, _release(wanted))


def _release(version: str) -> tuple[int, ...]:
    """Comparable numbers; trailing zeros do not count, `3.0` is `3`."""
    parts = [int(part) for part in version.split(".")]
    return tuple(parts[: max((i + 1 for i, part in enumerate(parts) if part), default=0)]) + (0,) * 8


def _marker_holds(marker: str) -> bool | None:
    """Whether a single comparison holds here; None for anything else, which is then treated as needed."""
    found = _MARKER.fullmatch(marker)
    if not found:
        return None
    name, comparison, wanted = found[1], found[2], found[3]
    if name in ("python_version", "python_full_version") and _RELEASE.fullmatch(wanted):
        have = sys.version_info[: 2 if name == "python_version" else 3]
        return _holds(".".join(map(str, have)), comparison, wanted)
    here = {
        "sys_platform": sys.platform,
        "os_name": os.name,
        "platform_system": platform.system(),
        "platform_python_implementation": platform.python_implementation(),
        "implementation_name": sys.implementation.name,
    }
    if name in here and comparison in ("==", "!="):
        return (here[name] == wanted) == (comparison == "==")
    return None
