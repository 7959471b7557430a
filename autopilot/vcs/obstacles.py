"""What in a repository will stand in a task's way later, found by looking at names and settings only.

Both are refused or found out in any case: a nested repository when a tree is built, settings that convert line ends
when the commit's tree is not the judged one, nine phases later. Said beforehand, they cost nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ExitStack

from autopilot.vcs.attributes import Attributes, Conversion
from autopilot.vcs.entries import Entry
from autopilot.vcs.ignores import Ignores
from autopilot.vcs.repository import Repository
from autopilot.vcs.rulebook import Rulebook
from autopilot.vcs.scan import Scan, ScanRules, encoded
from autopilot.vcs.settings import user_setting

_AUTOCRLF = "core.autocrlf"
_OFF = frozenset({"false", "no", "off", "0", ""})
# A rule for every file at the root decides as the setting would, and git and engine both follow it.
_RULE_FOR_ALL = re.compile(rb"^\*\*?[ \t]+(?:.*[ \t])?(?:-?text|text=auto|binary|[-!]?crlf)(?:[ \t]|$)", re.MULTILINE)


def nested_repositories(repository: Repository, *, exclude: tuple[str, ...]) -> tuple[str, ...]:
    """The repositories and checked-out submodules in the working tree that no tree can be built with, sorted.

    Ignored ones are left out, as they are from trees. `exclude` as for `EngineTrees`. Raises as a snapshot does.
    """
    if repository.bare:
        return ()
    head_tree = repository.head_tree()
    with repository.objects() as objects, ExitStack() as processes:
        rulebook = Rulebook(objects.scratch)
        rules = ScanRules(
            tracked=objects.flatten(head_tree) if head_tree else {},
            exclude=frozenset(encoded(folder.strip("/")) for folder in exclude),
            rulebook=rulebook,
            ignores=Ignores(rulebook, processes),
            attributes=Attributes(rulebook, processes),
            own_rules=True,
        )
        scan = Scan(repository.root, rules, _Nothing(), names_only=True)
        scan.run()
    return tuple(sorted(scan.nested))


def line_end_conversion(repository: Repository, environ: Mapping[str, str]) -> str:
    """The setting by which git would commit other line ends than the files have; empty if there is none.

    The user's and the system's settings count for git, and none of them for the engine. Included files are not
    followed, and one that cannot be read says nothing: this is advice, and nothing is admitted on it.
    """
    try:
        rules = (repository.root / ".gitattributes").read_bytes()
    except OSError:
        rules = b""
    if _RULE_FOR_ALL.search(rules):
        return ""
    value, where = user_setting(repository, environ, _AUTOCRLF) or ("false", "")
    return "" if value.lower() in _OFF else f"{_AUTOCRLF}={value.lower()} in {where}"


class _Nothing:
    """A sink for a scan that looks at names only."""

    def file(self, path: bytes, data: bytes | None, executable: bool, how: Conversion) -> None:
        """Not called: no file is read."""

    def link(self, path: bytes, target: bytes) -> None:
        """A link is no obstacle."""

    def submodule(self, path: bytes, entry: Entry) -> None:
        """One that is not checked out is no obstacle."""
