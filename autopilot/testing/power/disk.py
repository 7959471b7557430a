"""What a disk holds after a power loss, computed from the operations that were asked of it.

The model promises what POSIX does and no more:

- Content is safe after a sync of the file; a name is safe after a sync of its folder, and neither implies the other.
- What is not synced may be there or not, each write and each name by itself, in any order. A write may be there in
  part: any of its blocks, of 512 or 4,096 bytes. A file may have its new length and NULs where a block is missing, or
  a length between two blocks.
- A rename is whole or not at all.
- A sync that failed leaves nothing to be synced: what it should have brought to the disk may be there or not, for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

BLOCKS = (512, 4096)
ROOT = 0

Image = dict[str, bytes | None]
"""Every file's path and bytes, every folder's path and None; paths are relative to the disk's root."""


@dataclass(frozen=True, slots=True)
class Made:
    """A file or folder that has no name yet."""

    node: int
    folder: bool


@dataclass(frozen=True, slots=True)
class Written:
    """`data` at `offset`."""

    node: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """The file has `size` bytes."""

    node: int
    size: int


@dataclass(frozen=True, slots=True)
class Named:
    """`name` in `folder` is `node`; `was` is the (folder, name) it had before, if it is a rename."""

    folder: int
    name: str
    node: int
    was: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True)
class Unnamed:
    """`name` in `folder` is gone."""

    folder: int
    name: str


@dataclass(frozen=True, slots=True)
class Synced:
    """A sync of a file's content or a folder's names; `site` says of what and by whom, `failed` that it did."""

    node: int
    site: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """Something the caller was told: not an operation, but a place in their order. `count` of its facts were told."""

    count: int


Op = Made | Written | Cut | Named | Unnamed | Synced | Mark
_Content = Written | Cut
_Names = Named | Unnamed


@dataclass(slots=True)
class _File:
    safe: bytes = b""
    pending: list[_Content] = field(default_factory=list)
    doubtful: int = 0
    """How many of `pending`, from the first on, no sync will bring to the disk any more."""


def nodes_of(image: Image) -> dict[str, int]:
    """The numbers of an image's files and folders, by path."""
    return {"": ROOT} | {path: node for node, path in enumerate(image, ROOT + 1)}


class Disk:
    """A disk that holds `image`, all of it safe, and is then fed with operations in their order."""

    def __init__(self, image: Image) -> None:
        self._files: dict[int, _File] = {}
        self._folders: dict[int, dict[str, int]] = {ROOT: {}}
        self._pending: list[_Names] = []
        self._doubtful: list[_Names] = []
        nodes = nodes_of(image)
        for path, data in image.items():
            folder, _, name = path.rpartition("/")
            self._folders[nodes[folder]][name] = nodes[path]
            if data is None:
                self._folders[nodes[path]] = {}
            else:
                self._files[nodes[path]] = _File(data)

    def apply(self, op: Op) -> None:
        """Take in one operation."""
        match op:
            case Made(node, folder):
                if folder:
                    self._folders[node] = {}
                else:
                    self._files[node] = _File()
            case Written() | Cut():
                self._files[op.node].pending.append(op)
            case Named() | Unnamed():
                self._pending.append(op)
            case Synced():
                self._sync(op)
            case Mark():
                pass

    def _sync(self, op: Synced) -> None:
        if op.node in self._folders:
            self._sync_names(op)
            return
        file = self._files[op.node]
        if op.failed:
            file.doubtful = len(file.pending)
        elif not file.doubtful:
            file.safe, file.pending = _content(file.safe, file.pending), []

    def _sync_names(self, op: Synced) -> None:
        doubtful = {id(one) for one in self._doubtful}
        waiting = [one for one in self._pending if one.folder == op.node and id(one) not in doubtful]
        if op.failed:
            self._doubtful += waiting
            return
        for one in waiting:
            _rename(self._folders, one)
        safe = {id(one) for one in waiting}
        self._pending = [one for one in self._pending if id(one) not in safe]

    def unsynced_writes(self, suffix: str) -> int:
        """The most writes that wait in one file whose name, now or before, ends with `suffix`."""
        nodes = {node for names in self._folders.values() for name, node in names.items() if name.endswith(suffix)}
        nodes |= {one.node for one in self._pending if isinstance(one, Named) and one.name.endswith(suffix)}
        waiting = (self._files[node].pending for node in nodes if node in self._files)
        return max((sum(isinstance(one, Written) for one in pending) for pending in waiting), default=0)

    def live(self) -> Image:
        """What programs see while the machine runs."""
        return self._image(self._pending, {node: _content(one.safe, one.pending) for node, one in self._files.items()})

    def after_loss(self, random: Random, sample: int) -> Image:
        """What is left when the power goes now. The first four samples are the extremes, the others are drawn."""
        if sample < 4:
            names, contents = sample in (1, 2), sample in (1, 3)
            kept = self._pending if names else []
            held = {node: _content(one.safe, one.pending if contents else []) for node, one in self._files.items()}
            return self._image(kept, held)
        likely = random.choice((0.1, 0.5, 0.9))
        kept = [one for one in self._pending if random.random() < likely]
        block = random.choice(BLOCKS)
        return self._image(kept, {node: _torn(one, random, block) for node, one in self._files.items()})

    def _image(self, names: list[_Names], contents: dict[int, bytes]) -> Image:
        folders = {node: dict(entries) for node, entries in self._folders.items()}
        for one in names:
            _rename(folders, one)
        image: Image = {}

        def walk(node: int, prefix: str) -> None:
            for name, child in sorted(folders[node].items()):
                if child in folders:
                    image[prefix + name] = None
                    walk(child, f"{prefix}{name}/")
                else:
                    image[prefix + name] = contents[child]

        walk(ROOT, "")
        return image


def _rename(folders: dict[int, dict[str, int]], op: _Names) -> None:
    if isinstance(op, Unnamed):
        folders[op.folder].pop(op.name, None)
        return
    if op.was is not None and folders[op.was[0]].get(op.was[1]) == op.node:
        del folders[op.was[0]][op.was[1]]
    folders[op.folder][op.name] = op.node


def _content(safe: bytes, ops: list[_Content]) -> bytes:
    if not ops:
        return safe
    data = bytearray(safe)
    for op in ops:
        if isinstance(op, Cut):
            del data[op.size :]
            data.extend(bytes(op.size - len(data)))
        else:
            data.extend(bytes(max(0, op.offset - len(data))))
            data[op.offset : op.offset + len(op.data)] = op.data
    return bytes(data)


def _torn(file: _File, random: Random, block: int) -> bytes:
    """One of the contents that the unsynced writes may leave: a length of then or between, each block of any time."""
    if not file.pending:
        return file.safe
    versions = [_content(file.safe, file.pending[:count]) for count in range(len(file.pending) + 1)]
    shape = random.random()
    if shape < 0.3:
        return random.choice(versions)
    length = len(random.choice(versions))
    if shape > 0.7:
        low, high = sorted((length, len(random.choice(versions))))
        length = min(high, (random.randint(low, high) // block + 1) * block)
    likely = random.choice((0.2, 0.5, 0.8))
    data = bytearray(length)
    for start in range(0, length, block):
        source = versions[-1] if random.random() < likely else random.choice(versions)
        piece = source[start : min(start + block, length)]
        data[start : start + len(piece)] = piece
    return bytes(data)
