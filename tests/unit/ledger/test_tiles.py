"""Tiles: every tree's root again from its tiles alone, by a reader that shares no code with what wrote them.

Red without: the length before an entry, the root of a full tile going up a level, the partial tiles of earlier
checkpoints, and their being left out where the full tile is there.
"""

from __future__ import annotations

import pytest
from tile_reader import entries_of, number_path, rederived

from autopilot.kernel.errors import IntegrityError
from autopilot.ledger.merkle import leaf_hash
from autopilot.ledger.proofs import root_of
from autopilot.ledger.tiles import entries_path, tile_path, tiles

BODIES = [b"%d" % number * (number % 7 + 1) for number in range(1100)]


def made(bodies: list[bytes], *sizes: int) -> dict[str, bytes]:
    listed = list(tiles(bodies, sizes))
    assert len({path for path, _ in listed}) == len(listed)
    return dict(listed)


# --- what is written


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 512, 513, 767, 768, 1024, 1100])
def test_the_root_of_every_size_is_in_its_tiles(size: int) -> None:
    files = made(BODIES[:size], size)
    assert rederived(files, size) == root_of([leaf_hash(body) for body in BODIES[:size]])
    assert all(files.values()), "empty tiles must not be served"


def test_trees_of_three_levels() -> None:
    bodies = [b"%d" % number for number in range(65_536 + 300)]
    leaves = [leaf_hash(body) for body in bodies]
    sizes = (65_535, 65_536, 65_537, 65_536 + 300)
    files = made(bodies, *sizes)
    for size in sizes:
        assert rederived(files, size) == root_of(leaves[:size])
    for size in (65_535, 65_536, 65_537):
        assert rederived(made(bodies[:size], size), size) == root_of(leaves[:size])
    assert {path for path in files if path.startswith("tile/2/")} == {"tile/2/000.p/1"}


def test_the_tiles_of_a_tree_are_those_of_the_published_example() -> None:
    # "a tree of size 70,000 will be represented by 273 full level 0 tiles, one partial level 0 tile of width 112, one
    # full level 1 tile, one partial level 1 tile of width 17, and one partial level 2 tile of width 1."
    files = made([b""] * 70_000, 70_000)
    level: dict[str, list[str]] = {path.split("/")[1]: [] for path in files}
    for path in files:
        level[path.split("/")[1]].append(path)
    assert (len(level["0"]), len(level["entries"])) == (274, 274)
    assert [path for path in level["0"] if ".p" in path] == ["tile/0/273.p/112"]
    assert level["1"] == ["tile/1/000", "tile/1/001.p/17"]
    assert level["2"] == ["tile/2/000.p/1"]
    assert all(len(data) == 8192 for path, data in files.items() if ".p" not in path and "entries" not in path)
    # "a tree of size 256 will be represented by a full level 0 tile and a partial level 1 tile of width 1."
    assert sorted(made([b""] * 256, 256)) == ["tile/0/000", "tile/1/000.p/1", "tile/entries/000"]


def test_paths_are_those_of_the_published_examples() -> None:
    assert tile_path(0, 1234067, 8) == "tile/0/x001/x234/067.p/8"
    assert entries_path(1234067, 8) == "tile/entries/x001/x234/067.p/8"
    assert (tile_path(2, 0), entries_path(999), tile_path(0, 1000)) == (
        "tile/2/000",
        "tile/entries/999",
        "tile/0/x001/000",
    )
    for index in (0, 7, 999, 1000, 999_999, 1_000_000, 10**9):
        assert tile_path(0, index) == f"tile/0/{number_path(index)}"


def test_earlier_checkpoints_keep_their_partial_tiles_until_the_full_ones_are_there() -> None:
    files = made(BODIES[:300], 3, 200, 256, 270, 300)
    assert sorted(path for path in files if ".p" in path) == sorted(
        [f"tile/{kind}/001.p/{width}" for kind in ("0", "entries") for width in (14, 44)] + ["tile/1/000.p/1"]
    )
    for size in (3, 200, 256, 270, 300):
        assert rederived(files, size) == root_of([leaf_hash(body) for body in BODIES[:size]])


def test_a_tile_never_changes_as_the_log_grows() -> None:
    small, large = made(BODIES[:600], 600), made(BODIES, 600, 1100)
    assert all(large[path] == data for path, data in small.items() if path in large)
    assert {path for path in small if path not in large} == {f"tile/{kind}/002.p/88" for kind in ("0", "entries")}


def test_the_longest_entry_fits_and_a_missing_one_is_said() -> None:
    assert entries_of(made([b"x" * 65_535], 1), 1) == [b"x" * 65_535]
    with pytest.raises(IntegrityError, match="truncated"):
        list(tiles(BODIES[:5], [6]))
