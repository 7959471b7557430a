"""A reader of tiled logs, written from the text of https://c2sp.org/tlog-tiles and without code of ours.

`files` is the log as paths and contents; `rederived` computes the root of a tree from its tiles, in every way there is.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path


def files_below(folder: Path) -> dict[str, bytes]:
    """The files of a log that lies on a disk."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def number_path(index: int) -> str:
    text = str(index)
    text = text.zfill(-(-len(text) // 3) * 3)
    groups = [text[at : at + 3] for at in range(0, len(text), 3)]
    return "/".join([f"x{group}" for group in groups[:-1]] + groups[-1:])


def read_level(files: dict[str, bytes], kind: str, count: int) -> list[bytes]:
    """The contents of the tiles that hold `count` hashes or entries of one level, the last one partial."""
    full, rest = divmod(count, 256)
    names = [f"tile/{kind}/{number_path(index)}" for index in range(full)]
    if rest:
        # "MAY fetch the full tile as a fallback": where the log grew past it.
        partial = f"tile/{kind}/{number_path(full)}.p/{rest}"
        names.append(partial if partial in files else f"tile/{kind}/{number_path(full)}")
    return [files[name] for name in names]


def hashes_of(files: dict[str, bytes], level: int, count: int) -> list[bytes]:
    data = b"".join(read_level(files, str(level), count))
    assert len(data) % 32 == 0
    return [data[at : at + 32] for at in range(0, len(data), 32)][:count]


def entries_of(files: dict[str, bytes], count: int) -> list[bytes]:
    found = []
    for data in read_level(files, "entries", count):
        while data:
            length = int.from_bytes(data[:2], "big")
            found.append(data[2 : 2 + length])
            data = data[2 + length :]
    return found[:count]


def mth(hashes: list[bytes]) -> bytes:
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return sha256(b"\x01" + mth(hashes[:split]) + mth(hashes[split:])).digest()


def rederived(files: dict[str, bytes], size: int) -> bytes:
    """The root, from level 0 and again from each level above with what is left over below it."""
    if size == 0:
        return sha256(b"").digest()
    leaves = hashes_of(files, 0, size)
    assert leaves == [sha256(b"\x00" + entry).digest() for entry in entries_of(files, size)]
    level, below = 0, leaves
    while len(below) >= 256:
        above = hashes_of(files, level + 1, len(below) // 256)
        assert above == [mth(below[at * 256 : at * 256 + 256]) for at in range(len(below) // 256)]
        level, below = level + 1, above
    return mth(leaves)
