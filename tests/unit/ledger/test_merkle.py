"""Compact ranges against the definition of RFC 6962 and the public vectors."""

from __future__ import annotations

import base64
import json
import os
import random
from hashlib import sha256
from pathlib import Path

import pytest

from autopilot.kernel.errors import IntegrityError
from autopilot.ledger.merkle import EMPTY_ROOT, CompactRange, compact_range, leaf_hash, node_hash
from autopilot.testing.contracts.ledger import slow_root

# The leaves of the reference tree that the vectors speak of (transparency-dev/merkle, testonly).
REFERENCE = [
    bytes.fromhex(leaf)
    for leaf in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]


def test_every_size_has_the_root_of_the_definition() -> None:
    range_, leaves = CompactRange(), []
    assert range_.root() == EMPTY_ROOT == sha256(b"").digest()
    for number in range(130):
        leaf = leaf_hash(b"%d" % number)
        leaves.append(leaf)
        range_ = range_.extended([leaf])
        assert range_.size == number + 1
        assert range_.root() == slow_root(leaves)


def test_leaves_added_in_any_portions_give_the_same_range() -> None:
    seed = 6962
    rng = random.Random(seed)
    print("seed", seed)
    leaves = [leaf_hash(b"%d" % number) for number in range(3000)]
    whole = CompactRange().extended(leaves)
    for _ in range(20):
        range_, done = CompactRange(), 0
        while done < len(leaves):
            portion = rng.choice([1, 2, 4, 7, 64, 256, 1000])
            range_ = range_.extended(leaves[done : done + portion])
            done += portion
        assert range_ == whole
    assert whole.root() == slow_root(leaves)


def test_the_stored_form_comes_back() -> None:
    range_ = CompactRange().extended([leaf_hash(b"%d" % number) for number in range(11)])
    assert compact_range(json.loads(json.dumps(range_.as_dict()))) == range_


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"size": 1, "hashes": []},
        {"size": 2, "hashes": ["00" * 32, "00" * 32]},
        {"size": 1, "hashes": ["00"]},
        {"size": 1, "hashes": ["zz" * 32]},
        {"size": 1, "hashes": [1]},
        {"size": "1", "hashes": ["00" * 32]},
    ],
)
def test_what_is_no_range_is_refused(stored: dict[str, object]) -> None:
    with pytest.raises(IntegrityError):
        compact_range(stored)


def test_the_public_vectors_roots() -> None:
    """The roots of all valid proofs over the reference tree, and each valid inclusion proof folded up to its root."""
    root = os.environ.get("AUTOPILOT_TEST_DATA")
    if not root:
        pytest.skip("AUTOPILOT_TEST_DATA is not set")
    roots, range_ = {0: EMPTY_ROOT}, CompactRange()
    for leaf in REFERENCE:
        range_ = range_.extended([leaf_hash(leaf)])
        roots[range_.size] = range_.root()
    compared = folded = 0
    for path in sorted((Path(root) / "vectors" / "rfc6962").rglob("happy-path.json")):
        vector = json.loads(path.read_text())
        for size, name in (("size1", "root1"), ("size2", "root2"), ("treeSize", "root")):
            if size in vector:
                assert roots[vector[size]] == base64.b64decode(vector[name]), path
                compared += 1
        if "leafIdx" in vector:
            leaf = base64.b64decode(vector["leafHash"])
            assert leaf == leaf_hash(REFERENCE[vector["leafIdx"]])
            proof = [base64.b64decode(item) for item in vector["proof"] or []]
            assert _fold(leaf, vector["leafIdx"], vector["treeSize"], proof) == base64.b64decode(vector["root"]), path
            folded += 1
    assert (compared, folded) == (15, 5)


def _fold(node: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    """RFC 9162 section 2.1.3.2."""
    last = size - 1
    for sibling in proof:
        if index & 1 or index == last:
            node = node_hash(sibling, node)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        index, last = index >> 1, last >> 1
    return node
