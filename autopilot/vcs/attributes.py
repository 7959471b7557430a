"""The attributes that decide what bytes a file has in a tree: text, eol, ident; and filter, which says we cannot know.

`normalise` does what git does on the way into a tree (convert.c: crlf_to_git, ident_to_git), and nothing else: no
`core.autocrlf`, no `working-tree-encoding`, no filter program. Tests hold it against git itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from autopilot.vcs.git import PIPE_SAFE_BYTES, Conversation
from autopilot.vcs.rulebook import ATTRIBUTES_FILE, Rulebook

# `crlf` is the old name of `text` and still counts where `text` is not given.
_ASKED = ("text", "crlf", "eol", "ident", "filter")
_NOT_A_DRIVER = frozenset({"unspecified", "set", "unset"})
_IDENT = re.compile(rb"\$Id:[^$\n]*\$")
_PRINTABLE = bytes(set(range(32, 127)) | set(range(128, 256)) | set(b"\b\t\x1b\f"))


@dataclass(frozen=True, slots=True)
class Conversion:
    """How a file's bytes become its blob: `line_ends` is "", "text" or "auto"; `filtered` names a filter driver."""

    line_ends: str = ""
    ident: bool = False
    filtered: bool = False


PLAIN = Conversion()


class Attributes:
    """Answers for one scan; the git process starts with the first rule file and ends with `processes`."""

    def __init__(self, rulebook: Rulebook, processes: ExitStack) -> None:
        self._rulebook = rulebook
        self._processes = processes
        self._talk: Conversation | None = None

    def of(self, paths: Sequence[bytes]) -> list[Conversion]:
        """The conversion of each path, in order."""
        if not self._rulebook.has(ATTRIBUTES_FILE):
            return [PLAIN] * len(paths)
        if self._talk is None:
            self._talk = self._processes.enter_context(
                Conversation(self._rulebook.place, "check-attr", "-z", "--stdin", *_ASKED)
            )
        found = []
        step = max(1, PIPE_SAFE_BYTES // (max(map(len, paths), default=0) + 1))
        for start in range(0, len(paths), step):
            batch = paths[start : start + step]
            self._talk.send(b"".join(path + b"\0" for path in batch))
            found += [self._answer(self._talk) for _ in batch]
        return found

    def _answer(self, talk: Conversation) -> Conversion:
        values = {}
        for _ in _ASKED:
            _, name, value = (talk.until(b"\0").decode("utf-8", "replace") for _ in range(3))
            values[name] = value
        return conversion(values)


def conversion(values: dict[str, str]) -> Conversion:
    """What these attribute values ask for (convert.c: convert_attrs)."""
    line_ends = _line_ends(values["text"])
    if line_ends is None:
        line_ends = _line_ends(values["crlf"])
    if line_ends in (None, "auto") and values["eol"] in ("lf", "crlf"):
        # `eol` alone makes a file text; with `text=auto` the guess stays.
        line_ends = line_ends or "text"
    return Conversion(line_ends or "", values["ident"] == "set", values["filter"] not in _NOT_A_DRIVER)


def _line_ends(value: str) -> str | None:
    return {"set": "text", "input": "text", "unset": "", "auto": "auto"}.get(value)


def normalise(data: bytes, how: Conversion, committed: Callable[[], bytes | None]) -> bytes:
    """The blob of a file with these bytes. `committed` gives the blob it had, which git spares in `text=auto`."""
    if (
        how.line_ends
        and b"\r\n" in data
        and (how.line_ends == "text" or not (looks_binary(data) or _kept_crlf(committed())))
    ):
        data = data.replace(b"\r\n", b"\n")
    if how.ident and b"$Id:" in data:
        data = _IDENT.sub(b"$Id$", data)
    return data


def looks_binary(data: bytes) -> bool:
    """git's guess for `text=auto` (convert.c: gather_stats, convert_is_binary)."""
    if b"\0" in data or data.count(b"\r") != data.count(b"\r\n"):
        return True
    plain = data.replace(b"\r\n", b"").replace(b"\n", b"")
    unprintable = len(plain.translate(None, _PRINTABLE))
    printable = len(plain) - unprintable
    if data.endswith(b"\x1a"):
        unprintable -= 1
    return printable >> 7 < unprintable


def _kept_crlf(blob: bytes | None) -> bool:
    return blob is not None and b"\r\n" in blob and not looks_binary(blob)
