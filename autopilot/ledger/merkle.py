"""RFC 6962 Merkle trees, as far as roots: leaf and node hashes, and the compact range that an append keeps.

A compact range is the list of the roots of the largest perfect subtrees, left to right: as many as the size has
one bits. It is all that is needed to go on adding leaves, so a segment opens with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from autopilot.kernel.errors import IntegrityError

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || data), RFC 6962 section 2.1."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || left || right), RFC 6962 section 2.1."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class CompactRange:
    """The tree over the first `size` leaves. `hashes` are the perfect subtrees' roots, the largest first."""

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if len(self.hashes) != self.size.bit_count() or any(len(item) != HASH_BYTES for item in self.hashes):
            raise IntegrityError("bad_link", where="compact range", detail=f"not a range of {self.size} leaves")

    def extended(self, leaves: Sequence[bytes]) -> CompactRange:
        """The range with the hashes of further leaves added."""
        count = len(leaves)
        if count > 1 and count.bit_count() == 1 and self.size % count == 0:
            # A whole perfect subtree, as a full segment is: level by level is several times faster.
            return self.with_subtree(perfect_root(leaves), count)
        range_ = self
        for leaf in leaves:
            range_ = range_.with_subtree(leaf, 1)
        return range_

    def root(self) -> bytes:
        """The Merkle tree head of these leaves."""
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root

    def as_dict(self) -> dict[str, int | list[str]]:
        """The form in which a `segment.opened` line holds it."""
        return {"size": self.size, "hashes": [item.hex() for item in self.hashes]}

    def with_subtree(self, root: bytes, leaves: int) -> CompactRange:
        """The range with `leaves` further ones, given by the root of their perfect subtree. Its size divides ours."""
        stack = list(self.hashes)
        position = self.size // leaves
        while position & 1:
            root = node_hash(stack.pop(), root)
            position >>= 1
        stack.append(root)
        return CompactRange(self.size + leaves, tuple(stack))


def compact_range(stored: dict[str, object]) -> CompactRange:
    """The range that `as_dict` gave; IntegrityError `bad_link` if it is none."""
    size, hashes = stored.get("size"), stored.get("hashes")
    if not isinstance(size, int) or not isinstance(hashes, list):
        raise IntegrityError("bad_link", where="compact range", detail="not a range")
    try:
        return CompactRange(size, tuple(bytes.fromhex(item) for item in hashes))
    except (TypeError, ValueError):
        raise IntegrityError("bad_link", where="compact range", detail="not hashes") from None


def perfect_root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes, of which there are as many as a power of two."""
    level = list(leaves)
    while len(level) > 1:
        level = [sha256(b"\x01" + left + right).digest() for left, right in zip(level[::2], level[1::2], strict=True)]
    return level[0]
