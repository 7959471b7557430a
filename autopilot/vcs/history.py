"""The commits of a range, read as data: ids are hashed again, and no setting of the repository is in force.

    for commit in commits_in(repository, "origin/main..HEAD"): ...

What git would leave out or put in by a setting of the repository (grafts, replace refs, a commit graph file) is not
looked at. A history that was cut short (a shallow clone) is an error and never a short answer: what is not here could
be what is looked for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.vcs.objects import ObjectSession
from autopilot.vcs.repository import Repository

MAX_COMMITS = 1_000_000

_STEPS = re.compile(r"(?P<name>.*?)(?P<steps>(?:\^[0-9]{0,2}|~[0-9]{0,6})*)")
_STEP = re.compile(r"([\^~])([0-9]*)")
_PARENT = re.compile(rb"parent ([0-9a-f]{40}|[0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit: its id, its parents' ids, and its message as stored."""

    id: str
    parents: tuple[str, ...]
    message: bytes


def commits_in(repository: Repository, span: str) -> tuple[Commit, ...]:
    """The commits of `A..B` (reachable from B and not from A; an empty side is HEAD), or of `B`; B's commit first.

    Names are branches, tags, HEAD and ids, with `~N` and `^N` behind them. ContractError `unknown_revision`,
    `git_object_missing` where the history is not all here; IntegrityError `git_object_corrupt`.
    """
    left, dots, right = span.partition("..")
    if right.startswith(".") or not (left or right):
        raise _unknown(span, "a range is A..B, or a single name")
    with repository.objects() as objects:
        head = _named(repository, objects, (right or "HEAD") if dots else left)
        known: set[str] = set()
        if dots:
            known = {one.id for one in _reachable(objects, _named(repository, objects, left or "HEAD"), set())}
        return tuple(_reachable(objects, head, known))


def _reachable(objects: ObjectSession, start: str, known: set[str]) -> list[Commit]:
    """`start` and its ancestors without those in `known`, nearest first."""
    found: list[Commit] = []
    seen, waiting = set(known), [start]
    while waiting:
        following: list[str] = []
        for sha in waiting:
            if sha in seen:
                continue
            seen.add(sha)
            found.append(_read(objects, sha))
            following += found[-1].parents
        if len(found) > MAX_COMMITS:
            raise _unknown(start, f"more than {MAX_COMMITS} commits; name a shorter range")
        waiting = following
    return found


def _named(repository: Repository, objects: ObjectSession, text: str) -> str:
    match = _STEPS.fullmatch(text)
    if match is None or not match["name"]:
        raise _unknown(text, f"{text!r} names no commit here")
    sha, _ = repository.commit_named(objects, match["name"])
    for kind, digits in _STEP.findall(match["steps"]):
        number = int(digits or "1")
        for _ in range(number if kind == "~" else min(number, 1)):
            parents = _read(objects, sha).parents
            wanted = 1 if kind == "~" else number
            if wanted > len(parents):
                raise _unknown(text, f"{sha[:12]} has {len(parents)} parents")
            sha = parents[wanted - 1]
    return sha


def _read(objects: ObjectSession, sha: str) -> Commit:
    try:
        data = objects.read(sha, "commit")
    except ContractError as error:
        if error.code != "git_object_missing":
            raise
        remedy = "fetch the whole history: `git fetch --unshallow`, or in CI a checkout with its full depth"
        raise ContractError("git_object_missing", where=sha, detail=error.detail, remedy=remedy) from None
    head, parted, message = data.partition(b"\n\n")
    if not parted and not data.endswith(b"\n"):
        raise IntegrityError("git_object_corrupt", where=sha, detail="a commit without a message")
    # Lines of a signature or of a merged tag are continued with a blank, so that none of them begins with `parent`.
    parents = tuple(match[1].decode() for line in head.split(b"\n") if (match := _PARENT.fullmatch(line)))
    return Commit(sha, parents, message)


def _unknown(where: str, detail: str) -> ContractError:
    return ContractError("unknown_revision", where=where, detail=detail)
