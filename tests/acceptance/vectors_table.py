"""Runs the public vectors there are for what is signed and proven here, and prints how many held.

    AUTOPILOT_TEST_DATA=DIR python tests/acceptance/vectors_table.py

The examples are those of the unit tests; this counts them in one place. Exit 0 only if all are as published.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

from autopilot.kernel.errors import IntegrityError
from autopilot.ledger.proofs import verify_consistency, verify_inclusion
from autopilot.ledger.tiles import entries_path, tile_path
from autopilot.ledger.witnessing import parse_submission
from autopilot.signing.checkpoint import open_checkpoint
from autopilot.signing.cosignature import CosignerKey, verify_cosignatures
from autopilot.signing.note import Note, SigningKey, VerifierKey, sign, verify
from autopilot.supplychain.dsse import Envelope, pae

UNIT = Path(__file__).parents[1] / "unit"
Check = Callable[[], Iterable[bool]]


def published(path: str) -> ModuleType:
    """The test file in which the examples stand."""
    spec = importlib.util.spec_from_file_location(f"vectors_{Path(path).stem}", UNIT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def holds(check: Callable[[], object]) -> bool:
    """Whether it is not refused."""
    with contextlib.suppress(IntegrityError):
        check()
        return True
    return False


def inclusion() -> Iterable[bool]:
    tests = published("ledger/test_proofs.py")
    for _, vector in tests.vectors("inclusion"):
        root, leaf = tests.decoded(vector, "root"), tests.decoded(vector, "leafHash")
        words = {"index": vector["leafIdx"], "size": vector["treeSize"], "path": tests.path_of(vector), "root": root}
        yield holds(lambda leaf=leaf, words=words: verify_inclusion(leaf, **words)) is not vector["wantErr"]


def consistency() -> Iterable[bool]:
    tests = published("ledger/test_proofs.py")
    for _, vector in tests.vectors("consistency"):
        words = {
            "size": vector["size1"],
            "root": tests.decoded(vector, "root1"),
            "later_size": vector["size2"],
            "later_root": tests.decoded(vector, "root2"),
            "path": tests.path_of(vector),
        }
        yield holds(lambda words=words: verify_consistency(**words)) is not vector["wantErr"]


def signed_notes() -> Iterable[bool]:
    tests = published("signing/test_note.py")
    for text, key in ((tests.SPEC_NOTE, tests.SPEC_KEY), (tests.GO_NOTE, tests.GO_PUBLIC)):
        yield holds(lambda text=text, key=key: verify(Note.parse(text.encode()), [VerifierKey.parse(key)]))
    yield sign(tests.GO_TEXT, SigningKey.parse(tests.GO_PRIVATE)).encode() == tests.GO_NOTE


def cosignatures() -> Iterable[bool]:
    tests = published("signing/test_cosignature.py")
    note = Note.parse(tests.PUBLISHED.encode())
    for text in tests.WITNESSES:
        yield holds(lambda text=text: verify_cosignatures(note, [CosignerKey.parse(text)]))
    yield holds(lambda: open_checkpoint(tests.PUBLISHED.encode(), [VerifierKey.parse(tests.LOG)]))


def witness_requests() -> Iterable[bool]:
    tests = published("ledger/test_witnessing.py")
    yield parse_submission(tests.PUBLISHED).encode() == tests.PUBLISHED


def tile_names() -> Iterable[bool]:
    yield tile_path(0, 1234067, 8) == "tile/0/x001/x234/067.p/8"
    yield entries_path(1234067, 8) == "tile/entries/x001/x234/067.p/8"


def dsse() -> Iterable[bool]:
    tests = published("supplychain/test_dsse.py")
    envelope = Envelope.parse(tests.PUBLISHED.encode())
    yield pae(envelope.payload_type, envelope.payload) == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    yield not tests.test_the_published_example_is_read_and_its_signature_is_over_our_encoding()


VECTORS: dict[str, tuple[int, Check]] = {
    "RFC 6962 inclusion proofs (transparency-dev/merkle)": (98, inclusion),
    "RFC 6962 consistency proofs (transparency-dev/merkle)": (98, consistency),
    "signed notes (C2SP, golang.org/x/mod)": (3, signed_notes),
    "cosignatures on a public log's checkpoint": (5, cosignatures),
    "witness request (C2SP)": (1, witness_requests),
    "tile names (C2SP, tessera)": (2, tile_names),
    "DSSE encoding and P-256 signature (secure-systems-lab)": (2, dsse),
}


def main() -> int:
    """Run them, print the table."""
    sys.path.insert(0, str(UNIT / "supplychain"))
    wrong = total = 0
    for name, (expected, check) in VECTORS.items():
        answers = list(check())
        held = sum(answers)
        total, wrong = total + len(answers), wrong + len(answers) - held + abs(len(answers) - expected)
        print(f"{held:4} of {expected:3}  {name}")
    print(f"\n{total} vectors, {wrong} not as published")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
