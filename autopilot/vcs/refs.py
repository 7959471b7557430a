"""Names of commits, read from the files git keeps them in.

git itself would read the repository's configuration first, and a configuration can name programs; the files say the
same. HEAD, loose and packed refs are read; a repository whose refs are in another format is refused by `Repository`.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from autopilot.kernel.errors import ContractError
from autopilot.kernel.files import read_linkless

_CAP_BYTES = 64 * 1024 * 1024
_MAX_SYMBOLIC_STEPS = 5
_HEX = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
# git's own rule is wider in some places; what is refused here is what could leave the folder of refs.
_REF = re.compile(r"(?:HEAD|refs/[^\0-\x20\x7f~^:?*\[\\]+)")
_WHERE_NAMES_LIVE = ("{}", "refs/{}", "refs/tags/{}", "refs/heads/{}", "refs/remotes/{}", "refs/remotes/{}/HEAD")


def read_small(path: Path, *, linkless: bool = False) -> bytes | None:
    """The bytes of a regular file, None if there is none. Never blocks on a pipe put in its place.

    With `linkless` no link is followed on the way, and a file with a second name is refused.
    """
    if linkless:
        return _read_linkless(path)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, str(error)) from None
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            return None
        if not stat.S_ISREG(status.st_mode) or status.st_size > _CAP_BYTES:
            raise _unreadable(path, "not a regular file of sensible size")
        with os.fdopen(handle, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(handle)


def _read_linkless(path: Path) -> bytes | None:
    try:
        return read_linkless(path, cap=_CAP_BYTES)
    except ContractError as error:
        if error.code == "artifact_missing" or (error.code == "artifact_not_regular" and path.is_dir()):
            return None
        detail = "a link, or no file of its own: what it names may be another repository's"
        raise ContractError(
            "unsupported_repository", where=str(path), detail=detail, remedy="replace it by a plain file"
        ) from None


def head_target(git_dir: Path, *, linkless: bool = False) -> str:
    """The ref that HEAD names, or the commit id it holds."""
    text = (read_small(git_dir / "HEAD", linkless=linkless) or b"").decode("utf-8", "replace").strip()
    if text.startswith("ref:") and _is_ref(text[4:].strip()):
        return text[4:].strip()
    if _HEX.fullmatch(text):
        return text
    raise ContractError("not_a_repository", where=str(git_dir / "HEAD"), detail="HEAD names nothing")


def resolve(git_dir: Path, common_dir: Path, name: str, *, linkless: bool = False) -> str | None:
    """The id that a name stands for, looked up in git's order of places; None if there is no such name."""
    for place in _WHERE_NAMES_LIVE:
        found = _follow(git_dir, common_dir, place.format(name), linkless)
        if found:
            return found
    return None


def _follow(git_dir: Path, common_dir: Path, ref: str, linkless: bool) -> str | None:
    for _ in range(_MAX_SYMBOLIC_STEPS):
        if not _is_ref(ref):
            return None
        text = _loose(git_dir, common_dir, ref, linkless)
        if text is None:
            text = _packed(common_dir, ref, linkless)
        if text is None or _HEX.fullmatch(text):
            return text
        if not text.startswith("ref:"):
            # There and damaged is not the same as not there: a branch without commits has no tracked files.
            raise _unreadable(common_dir / ref, "neither an id nor the name of a ref")
        ref = text[4:].strip()
    return None


def _is_ref(text: str) -> bool:
    return bool(_REF.fullmatch(text)) and ".." not in text and "//" not in text and not text.endswith("/")


def _loose(git_dir: Path, common_dir: Path, ref: str, linkless: bool) -> str | None:
    own = ref == "HEAD" or ref.startswith(("refs/bisect/", "refs/worktree/", "refs/rewritten/"))
    data = read_small((git_dir if own else common_dir) / ref, linkless=linkless)
    return data.decode("utf-8", "replace").strip() if data is not None else None


def _packed(common_dir: Path, ref: str, linkless: bool) -> str | None:
    wanted = b" " + ref.encode()
    for line in (read_small(common_dir / "packed-refs", linkless=linkless) or b"").split(b"\n"):
        if line.endswith(wanted):
            return line[: -len(wanted)].decode("ascii", "replace")
    return None


def _unreadable(path: Path, detail: str) -> ContractError:
    return ContractError("not_a_repository", where=str(path), detail=detail, remedy="repair the repository first")
