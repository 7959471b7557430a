"""Guards that no other test misses when they are taken out; `scripts/check_mutations.py` takes them out."""

from __future__ import annotations

import threading

import pytest

from autopilot.kernel.errors import IntegrityError
from autopilot.ledger.chain import Head
from autopilot.storage.files.hint import read_hint, write_hint
from autopilot.storage.files.store import FileStore, StoreParts
from autopilot.testing.contracts.ledger import a_draft


def test_one_thread_at_a_time_is_in_a_transaction(store: FileStore) -> None:
    """The lock file does not keep threads apart: they have one descriptor of it."""
    entered, tries = threading.Event(), threading.Event()

    def other() -> None:
        tries.set()
        with store.transaction() as tx:
            entered.set()
            tx.append(a_draft(2))

    thread = threading.Thread(target=other)
    with store.transaction() as tx:
        thread.start()
        tries.wait(30)
        # However long it takes: nobody comes in before this block is left.
        assert not entered.wait(0.2)
        tx.append(a_draft(1))
    thread.join(30)
    assert entered.is_set()
    assert [entry.seq for entry in store.entries(1)] == [1, 2]


def test_an_object_that_was_edited_is_not_handed_out(store: FileStore) -> None:
    digest = store.objects.put(b"as sealed")
    path = store.paths.objects / digest[:2] / digest
    path.write_bytes(b"as edited")
    with pytest.raises(IntegrityError, match="evidence_edited"):
        store.objects.get(digest)


def test_a_head_hint_that_does_not_have_its_check_counts_as_absent(store: FileStore, parts: StoreParts) -> None:
    """It is overwritten in place: one of which a part is of another time must not name a line that never was."""
    path = store.paths.head
    write_hint(parts.files, path, store.ledger_id, Head(7, "a" * 64))
    assert read_hint(path, store.ledger_id) == Head(7, "a" * 64)
    path.write_bytes(path.read_bytes().replace(b'"seq":7', b'"seq":8'))
    assert read_hint(path, store.ledger_id) is None
