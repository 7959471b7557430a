"""The ledger as a tiled transparency log, for other people's tools: https://c2sp.org/tlog-tiles.

    tile/<L>/<N>[.p/<W>]         256 consecutive hashes of level L; level 0 are the leaf hashes, each hash of level L+1
                                 the root of one full tile of level L; a tile that is not full yet has its width W
    tile/entries/<N>[.p/<W>]     the same 256 entries themselves, each with its length before it (two bytes, big-endian)

An entry is a line's stored body, so that its leaf hash is the line's `h`. A tree is told at the sizes of its
checkpoints: for each of them the partial tiles it needs are made, as far as the full ones are not there. Pure: bodies
in, named bytes out, and no more than a tile of each level in memory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from autopilot.kernel.errors import IntegrityError
from autopilot.ledger.merkle import CompactRange, leaf_hash

WIDTH = 256
_LENGTH_BYTES = 2

Named = tuple[str, bytes]


def tile_path(level: int, index: int, width: int = WIDTH) -> str:
    """Where a tile is; with a width below 256, a partial one."""
    return f"tile/{level}/{_number(index, width)}"


def entries_path(index: int, width: int = WIDTH) -> str:
    """Where a bundle of entries is."""
    return f"tile/entries/{_number(index, width)}"


def tiles(bodies: Iterable[bytes], sizes: Collection[int]) -> Iterator[Named]:
    """Path and content of everything that the trees of these `sizes` are made of, the largest of them the log's own.

    IntegrityError `truncated` if there are fewer bodies than that.
    """
    size, wanted = max(sizes, default=0), frozenset(sizes)
    making = _Making(size)
    source = iter(bodies)
    for count in range(1, size + 1):
        body = next(source, None)
        if body is None:
            raise IntegrityError("truncated", where="tiles", detail=f"{count - 1} entries, {size} are signed")
        yield from making.add(body)
        if count in wanted:
            yield from making.partial()


class _Making:
    """A tree that grows: of each level the tile that is not full yet."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._count = 0
        self._bundle: list[bytes] = []
        self._levels: list[list[bytes]] = [[]]
        self._told: set[str] = set()

    def add(self, body: bytes) -> Iterator[Named]:
        """One more entry; the tiles that it fills."""
        self._count += 1
        self._bundle.append(len(body).to_bytes(_LENGTH_BYTES, "big") + body)
        self._levels[0].append(leaf_hash(body))
        if len(self._bundle) == WIDTH:
            yield entries_path(self._count // WIDTH - 1), b"".join(self._bundle)
            self._bundle.clear()
        level, span = 0, WIDTH
        while len(self._levels[level]) == WIDTH:
            full = self._levels[level]
            yield tile_path(level, self._count // span - 1), b"".join(full)
            if level + 1 == len(self._levels):
                self._levels.append([])
            self._levels[level + 1].append(CompactRange().extended(full).root())
            self._levels[level] = []
            level, span = level + 1, span * WIDTH

    def partial(self) -> Iterator[Named]:
        """The tiles that are not full now, and will not be in the whole tree: there the full ones serve."""
        for path, parts in self._open():
            # The tiles of the upper levels are the same for many sizes.
            if path not in self._told:
                self._told.add(path)
                yield path, b"".join(parts)

    def _open(self) -> Iterator[tuple[str, list[bytes]]]:
        if self._bundle and not self._will_be_full(WIDTH):
            yield entries_path(self._count // WIDTH, len(self._bundle)), self._bundle
        span = WIDTH
        for level, hashes in enumerate(self._levels):
            if hashes and not self._will_be_full(span):
                yield tile_path(level, self._count // span, len(hashes)), hashes
            span *= WIDTH

    def _will_be_full(self, span: int) -> bool:
        return (self._count // span + 1) * span <= self._size


def _number(index: int, width: int) -> str:
    """The index in groups of three digits, all but the last after an x; behind it the width of a partial tile."""
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03d}")
    return "/".join(groups) + (f".p/{width}" if width < WIDTH else "")
