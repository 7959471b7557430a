"""Anchors in commits: a line of the message that names a checkpoint, so that the commit's own hash covers it.

    Autopilot-Checkpoint: autopilot/<ledger id> <size> <root, base64>

Who wants to rewrite the ledger behind it has to rewrite the commit and all that follow, in every clone there is. The
line is not signed: it is believed because the commit is where others have it. Rules kept here:

- Every line that begins with the name counts, in whatever paragraph, so that a squashed or merged message keeps all its
  anchors. Indented or quoted ones do not count.
- One that cannot be read is `malformed_anchor`, never passed over: it may be all that is left of a true one.
- A message gets one line for each ledger, the newest, in the last paragraph and above what git cuts off.

Pure: bytes in, values out.
"""

from __future__ import annotations

import base64
import re

from autopilot.kernel.errors import IntegrityError
from autopilot.signing.checkpoint import Checkpoint, checkpoint_of
from autopilot.signing.note import Note

NAME = "Autopilot-Checkpoint"

_LINE = re.compile(rb"autopilot-checkpoint[ \t]*:(?P<value>.*)", re.IGNORECASE)
_TRAILER = re.compile(rb"[A-Za-z0-9][A-Za-z0-9-]*[ \t]*:[ \t].*")
# Behind whatever comments begin with: a line below this one would be cut off, and the anchor with it.
_SCISSORS = re.compile(rb"\S{1,8} -{24} >8 -{24}")
_WORDS = 3


def trailer_of(checkpoint: Checkpoint) -> str:
    """The line, without a newline."""
    return f"{NAME}: {checkpoint.origin} {checkpoint.size} {base64.b64encode(checkpoint.root).decode()}"


def read_trailers(message: bytes) -> tuple[Checkpoint, ...]:
    """The checkpoints that a commit's message names, in order; IntegrityError `malformed_anchor`."""
    return tuple(found for line in message.split(b"\n") if (found := _checkpoint(line)) is not None)


def with_trailer(message: bytes, checkpoint: Checkpoint, comment: bytes = b"#") -> bytes | None:
    """The message with this checkpoint in the place of earlier ones of the same ledger.

    None for a message that says nothing but comments (lines that begin with `comment`): git gives such a commit up, and
    must not be kept from it. IntegrityError `malformed_anchor`.
    """
    lines = message.split(b"\n")
    end = next((index for index, line in enumerate(lines) if _SCISSORS.fullmatch(line)), len(lines))
    said = [line for line in lines[:end] if not _is_of(line, checkpoint.origin)]
    rest: list[bytes] = []
    while said and (not said[-1].strip() or said[-1].startswith(comment)):
        rest.insert(0, said.pop())
    if not any(line.strip() and not line.startswith(comment) for line in said):
        return None
    # What an earlier line left empty goes, so that doing it twice is doing it once.
    comments = rest[next((index for index, line in enumerate(rest) if line.strip()), len(rest)) :]
    gap, after = ([] if _ends_in_trailers(said) else [b""]), ([b""] if comments else [])
    whole = [*said, *gap, trailer_of(checkpoint).encode(), *after, *comments, *lines[end:]]
    text = b"\n".join(whole)
    return text if text.endswith(b"\n") else text + b"\n"


def _ends_in_trailers(lines: list[bytes]) -> bool:
    """Whether the last paragraph holds trailers only; the first one is the subject, whatever it looks like."""
    start = max((index + 1 for index, line in enumerate(lines) if not line.strip()), default=0)
    return start > 0 and all(_TRAILER.fullmatch(line) for line in lines[start:])


def _is_of(line: bytes, origin: str) -> bool:
    found = _checkpoint(line)
    return found is not None and found.origin == origin


def _checkpoint(line: bytes) -> Checkpoint | None:
    """The checkpoint that the line names; None for a line that is no anchor."""
    match = _LINE.fullmatch(line.rstrip())
    if match is None:
        return None
    try:
        words = match["value"].decode("ascii").strip(" \t").split(" ")
        if len(words) == _WORDS:
            return checkpoint_of(Note("".join(f"{word}\n" for word in words), ()))
    except (UnicodeDecodeError, IntegrityError):
        pass
    shown = line[:120].decode("ascii", "backslashreplace")
    raise IntegrityError("malformed_anchor", where=NAME, detail=f"not origin, size and root: {shown}")
