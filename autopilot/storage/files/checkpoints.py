"""The notes in `state/ledger/checkpoints/`, and a second look at the lines they are held against.

A note is written once, under the size it is of. What is kept here is a convenience and a floor: whoever can write the
ledger can take a note away. The copies that count are those kept elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from autopilot.kernel.canonical import parse
from autopilot.kernel.errors import AutopilotError, IntegrityError
from autopilot.kernel.files import DiskFiles, Files, create_durably, make_dir_durably, read_regular, replace_durably
from autopilot.kernel.framing import BODY_START
from autopilot.signing.note import MAX_NOTE_BYTES
from autopilot.storage.files.layout import SEGMENT_ENTRIES, StorePaths

_NOTE = re.compile(r"(0|[1-9][0-9]{0,15})\.note")
_KEY_LINE = b'"kind":"key.rotated"'


class CheckpointFiles:
    """The notes of one state directory, by size."""

    def __init__(self, state_dir: Path, files: Files | None = None) -> None:
        self.folder = StorePaths(state_dir).ledger / "checkpoints"
        self._files = files or DiskFiles()

    def path(self, size: int) -> Path:
        """Where the note over `size` lines is, or would be."""
        return self.folder / f"{size}.note"

    def sizes(self) -> tuple[int, ...]:
        """The sizes there are notes of, in order. Other names in the folder are ignored."""
        try:
            found = (_NOTE.fullmatch(path.name) for path in self.folder.iterdir())
            return tuple(sorted(int(match[1]) for match in found if match))
        except FileNotFoundError:
            return ()

    def read(self, size: int) -> bytes:
        """The note over `size` lines; IntegrityError `unsigned` for what is not a plain file of a note's length."""
        try:
            return read_regular(self.folder, f"{size}.note", cap=MAX_NOTE_BYTES)
        except AutopilotError as error:
            raise IntegrityError("unsigned", where=f"{size}.note", detail=f"{error.code} {error.detail}") from None

    def keep(self, size: int, note: bytes) -> Path:
        """Keep a note durably. One of the same size is replaced: only signatures can differ, the caller checked it."""
        make_dir_durably(self._files, self.folder, below=self.folder.parent)
        path = self.path(size)
        (replace_durably if path.exists() else create_durably)(self._files, path, note)
        return path

    def retire(self, beyond: int, quarantine: Path) -> tuple[str, ...]:
        """Put the notes over more than `beyond` lines into quarantine; their names. For after a person's repair."""
        gone = [size for size in self.sizes() if size > beyond]
        for size in gone:
            make_dir_durably(self._files, quarantine)
            self._files.move(self.path(size), quarantine / f"{size}.note", replace=True)
        return tuple(f"{size}.note" for size in gone)


@dataclass(frozen=True, slots=True)
class Scan:
    """The lines' leaf hashes, the (id, verifier key) of each signing key they name, and the last line's body."""

    leaves: tuple[bytes, ...]
    keys: tuple[tuple[str, str], ...]
    last: bytes


def scan(state_dir: Path, entries: int) -> Scan:
    """Hash the bodies of the first `entries` lines, which were verified before.

    Hashed, not read off the lines: what a root is made of must be the content. IntegrityError `truncated` where lines
    went away since.
    """
    paths = StorePaths(state_dir)
    leaves: list[bytes] = []
    keys: list[tuple[str, str]] = []
    body = b""
    for first in range(0, entries, SEGMENT_ENTRIES):
        try:
            lines = paths.segment(first).read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            break
        for line in lines[: entries - first]:
            body = line[BODY_START:-1]
            leaves.append(sha256(b"\0" + body).digest())
            if _KEY_LINE in body:
                keys.extend(_key_of(body))
    if len(leaves) != entries:
        raise IntegrityError("truncated", where=paths.ledger.name, detail=f"{len(leaves)} entries left of {entries}")
    return Scan(tuple(leaves), tuple(keys), body)


def read_line(state_dir: Path, seq: int) -> bytes:
    """The stored body of the line `seq`, which was verified before."""
    first = seq // SEGMENT_ENTRIES * SEGMENT_ENTRIES
    return StorePaths(state_dir).segment(first).read_bytes().split(b"\n")[seq - first][BODY_START:-1]


def _key_of(body: bytes) -> list[tuple[str, str]]:
    record = parse(body, where="key.rotated")
    if record["kind"] != "key.rotated":
        return []  # another kind of line whose data looks like one
    return [(str(record["data"].get("to", "")), str(record["data"].get("vkey", "")))]
