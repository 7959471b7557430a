"""What a witness remembers on a disk that fails: the old checkpoint or the new one, never a part, and no signature.

Red without: each of the two syncs, the name being given after the first, and the memory being kept before the answer.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from autopilot.kernel.errors import RefusedError, StorageError
from autopilot.ledger.merkle import leaf_hash
from autopilot.ledger.proofs import consistency_path, root_of
from autopilot.ledger.witnessing import Submission
from autopilot.signing.checkpoint import Checkpoint, checkpoint_of
from autopilot.signing.cosignature import cosigner_of, verify_cosignatures
from autopilot.signing.note import SigningKey, sign
from autopilot.storage.witness import WitnessStore
from autopilot.testing.files import FaultyFiles
from autopilot.wiring.witness import Trusted, Witness

LEAVES = [leaf_hash(b"%d" % number) for number in range(20)]
LEDGER = SigningKey("autopilot/a", bytes(range(32)))
OTHER = SigningKey("autopilot/b", bytes(range(2, 34)))
WITNESS = SigningKey("ci.example.org/shop", bytes(range(1, 33)))
TRUSTED = Trusted((LEDGER.verifier, OTHER.verifier))
FIRST = Trusted((LEDGER.verifier, OTHER.verifier), first=True)


def submitted(size: int, old: int | None = None, key: SigningKey = LEDGER) -> Submission:
    note = sign(Checkpoint(key.verifier.name, size, root_of(LEAVES[:size])).text(), key).encode().encode()
    return Submission(note, old, consistency_path(LEAVES[:size], old) if old else ())


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    path = tmp_path / "memory.json"
    Witness(path, WITNESS).sign(submitted(7), FIRST, seconds=1)
    return path


def size_in(memory: Path) -> int:
    return checkpoint_of(WitnessStore(memory).read()["autopilot/a"]).size


@pytest.mark.parametrize("operation", ["open", "write", "sync", "move", "sync_dir"])
@pytest.mark.parametrize("half", [False, True])
def test_a_failing_disk_gives_no_signature_and_leaves_a_whole_memory(memory: Path, operation: str, half: bool) -> None:
    files = FaultyFiles()
    files.fail, files.half = {operation: 0}, half
    with pytest.raises(StorageError):
        Witness(memory, WITNESS, files).sign(submitted(12, 7), TRUSTED, seconds=2)
    assert size_in(memory) == (12 if operation == "sync_dir" else 7)
    # Once the disk is well again the same call goes through, from wherever the memory stands.
    again = submitted(12, size_in(memory))
    assert Witness(memory, WITNESS).sign(again, TRUSTED, seconds=3).checkpoint.size == 12
    assert size_in(memory) == 12


def test_the_content_is_synced_before_it_has_its_name_and_the_name_before_the_answer(memory: Path) -> None:
    files = FaultyFiles()
    Witness(memory, WITNESS, files).sign(submitted(12, 7), TRUSTED, seconds=2)
    assert files.operations() == ["open", "write", "sync", "move", "sync_dir"]


def test_each_ledger_has_its_own_last_checkpoint(memory: Path) -> None:
    witness = Witness(memory, WITNESS)
    with pytest.raises(RefusedError, match="unknown_origin"):
        witness.sign(submitted(3, key=OTHER), TRUSTED, seconds=2)
    made = witness.sign(submitted(3, key=OTHER), FIRST, seconds=2)
    assert (made.before, made.seconds) == (None, 2)
    assert set(WitnessStore(memory).read()) == {"autopilot/a", "autopilot/b"}
    with pytest.raises(RefusedError, match="older_checkpoint"):
        witness.sign(submitted(6), TRUSTED, seconds=3)
    assert witness.sign(submitted(9, 7), TRUSTED, seconds=4).before == 7
    assert size_in(memory) == 9


def test_signing_the_same_again_keeps_what_other_witnesses_signed(memory: Path) -> None:
    elsewhere = SigningKey.generate("elsewhere.example/w")
    store = WitnessStore(memory)
    note = (
        Witness(memory.with_name("other.json"), elsewhere)
        .sign(Submission(store.read()["autopilot/a"].encode().encode()), FIRST, seconds=5)
        .note
    )
    store.replace({"autopilot/a": note})
    made = Witness(memory, WITNESS).sign(submitted(7), TRUSTED, seconds=6)
    signed = verify_cosignatures(made.note, [cosigner_of(WITNESS), cosigner_of(elsewhere)])
    assert [one.seconds for one in signed] == [6, 5]
