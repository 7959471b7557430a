"""RFC 6962 proofs: that a line is in the ledger that a root names, and that one root continues another.

    path = inclusion_path(leaves, 7)
    verify_inclusion(leaves[7], index=7, size=len(leaves), path=path, root=root_of(leaves))

Pure: leaf hashes in, hashes out. Making a proof takes all leaves; checking one takes as many hashes as the tree is
high. Making follows RFC 6962 sections 2.1.1 and 2.1.2, checking RFC 9162 sections 2.1.3.2 and 2.1.4.2, which says
for the same trees how to check. The public vectors of transparency-dev/merkle are a test.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.ledger.merkle import EMPTY_ROOT, HASH_BYTES, node_hash


def root_of(leaves: Sequence[bytes]) -> bytes:
    """The Merkle tree head of these leaf hashes."""
    if not leaves:
        return EMPTY_ROOT
    level = list(leaves)
    while len(level) > 1:
        # Level by level, a node without a sibling moving up as it is: the same tree as the definition's, and faster.
        pairs = zip(level[::2], level[1::2], strict=False)
        above = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return level[0]


def inclusion_path(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The hashes that lead from the leaf `index` to the root, the leaf's sibling first.

    ContractError `unknown_entry` if there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise ContractError("unknown_entry", where=str(index), detail=f"there are {len(leaves)} entries")
    path: list[bytes] = []
    part = leaves
    while len(part) > 1:
        split = _split(len(part))
        if index < split:
            path.append(root_of(part[split:]))
            part = part[:split]
        else:
            path.append(root_of(part[:split]))
            part, index = part[split:], index - split
    return tuple(reversed(path))


def consistency_path(leaves: Sequence[bytes], size: int) -> tuple[bytes, ...]:
    """The hashes that show that the tree over all `leaves` continues the one over the first `size` of them.

    ContractError `unknown_entry` if there are not so many leaves, or `size` is 0: everything continues nothing.
    """
    if not 0 < size <= len(leaves):
        raise ContractError("unknown_entry", where=str(size), detail=f"there are {len(leaves)} entries")
    path: list[bytes] = []
    part, whole = leaves, True
    while size != len(part):
        split = _split(len(part))
        if size <= split:
            path.append(root_of(part[split:]))
            part = part[:split]
        else:
            path.append(root_of(part[:split]))
            part, size, whole = part[split:], size - split, False
    if not whole:
        path.append(root_of(part))
    return tuple(reversed(path))


def verify_inclusion(leaf: bytes, *, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Return if `path` leads from the leaf hash to the `root` of a tree of `size` leaves; else IntegrityError."""
    _require_hashes(leaf, root, *path)
    if not 0 <= index < size:
        raise _wrong(f"there is no entry {index} among {size}")
    node, position, last = leaf, index, size - 1
    for sibling in path:
        if last == 0:
            raise _wrong("the path is too long")
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        position, last = position >> 1, last >> 1
    if last:
        raise _wrong("the path is too short")
    if node != root:
        raise _wrong("the path leads to another root")


def verify_consistency(*, size: int, root: bytes, later_size: int, later_root: bytes, path: Sequence[bytes]) -> None:
    """Return if `path` shows that the tree `later_size` continues the tree `size`; else IntegrityError.

    The empty tree is continued by every other and takes no path; such a call shows nothing and is refused unless both
    are empty.
    """
    if size < 0 or later_size < size:
        raise _wrong(f"a tree of {later_size} cannot continue one of {size}")
    if size == later_size:
        if path:
            raise _wrong("a path between trees of one size")
        if root != later_root or (size == 0 and root != EMPTY_ROOT):
            raise _wrong("two roots of one size")
        return
    _require_hashes(root, later_root, *path)
    if size == 0:
        raise _wrong("from the empty tree there is nothing to show")
    if not path:
        raise _wrong("the path is too short")
    old, new = _folded(size, later_size, root, path)
    if old != root or new != later_root:
        raise _wrong("the path leads to another root")


def _folded(size: int, later_size: int, root: bytes, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The two roots that a consistency path leads to."""
    # A perfect first tree is a node of the second, and its root need not be told.
    known = (root, *path) if size & (size - 1) == 0 else tuple(path)
    first, second = size - 1, later_size - 1
    while first & 1:
        first, second = first >> 1, second >> 1
    old = new = known[0]
    for node in known[1:]:
        if second == 0:
            raise _wrong("the path is too long")
        if first & 1 or first == second:
            old, new = node_hash(node, old), node_hash(node, new)
            while not first & 1 and first:
                first, second = first >> 1, second >> 1
        else:
            new = node_hash(new, node)
        first, second = first >> 1, second >> 1
    if second:
        raise _wrong("the path is too short")
    return old, new


def _split(size: int) -> int:
    """The largest power of two below `size`, where RFC 6962 parts a tree."""
    return 1 << (size - 1).bit_length() - 1


def _require_hashes(*hashes: bytes) -> None:
    if any(len(item) != HASH_BYTES for item in hashes):
        raise _wrong("not a SHA-256")


def _wrong(detail: str) -> IntegrityError:
    return IntegrityError("bad_proof", where="proof", detail=detail)
