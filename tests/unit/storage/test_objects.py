"""Staged objects: durable together, and always before a line can name them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from autopilot.kernel.canonical import sha256_hex
from autopilot.kernel.errors import IntegrityError, StorageError
from autopilot.kernel.files import DiskFiles
from autopilot.storage import objects as objects_module
from autopilot.storage.files.store import FileStore
from autopilot.storage.objects import ObjectStore
from autopilot.testing.contracts.ledger import a_draft
from autopilot.testing.files import FaultyFiles

Opener = Callable[..., FileStore]
CONTENTS = (b"strategy", b"edge cases", b"journal entry")
SEGMENT = "0000000000000000.jsonl"


@pytest.fixture
def faulty(store: FileStore, opened: Opener) -> tuple[FileStore, FaultyFiles]:
    store.close()
    files = FaultyFiles()
    again = opened(files)
    files.calls.clear()
    return again, files


def test_staged_objects_are_durable_before_the_line(faulty: tuple[FileStore, FaultyFiles]) -> None:
    """Each is synced before it has its name, its folder after; then the lock, the line, the line's sync."""
    store, files = faulty
    digests = [store.objects.stage(data) for data in CONTENTS]
    assert files.calls == []
    with store.transaction() as tx:
        assert files.operations().count("sync") == files.operations().count("sync_dir") == len(CONTENTS)
        assert [store.objects.get(digest) for digest in digests] == list(CONTENTS)
        files.calls.clear()
        tx.append(a_draft())
    assert [call for call in files.calls if call[1] == SEGMENT] == [("write", SEGMENT), ("sync", SEGMENT)]


def test_what_is_staged_inside_a_transaction_is_durable_before_its_line(
    faulty: tuple[FileStore, FaultyFiles],
) -> None:
    store, files = faulty
    with store.transaction() as tx:
        tx.append(a_draft())
    files.calls.clear()
    with store.transaction() as tx:
        digest = store.objects.stage(b"late")
        tx.append(a_draft())
    assert files.operations() == ["open", "write", "sync", "move", "sync_dir", "write", "sync"]
    assert files.calls[3] == ("move", digest)


def test_no_folder_is_synced_before_all_have_their_names(faulty: tuple[FileStore, FaultyFiles]) -> None:
    """All syncs of one kind are asked for together: that is what makes them quick."""
    store, files = faulty
    for data in CONTENTS:
        store.objects.stage(data)
    store.objects.settle()
    count = len(CONTENTS)
    assert files.operations() == ["open", "write"] * count + ["sync"] * count + ["move"] * count + ["sync_dir"] * count


@pytest.mark.parametrize("operation", ["open", "write", "sync", "move", "sync_dir"])
@pytest.mark.parametrize("good", range(len(CONTENTS)))
def test_a_transaction_does_not_begin_on_objects_that_failed(
    faulty: tuple[FileStore, FaultyFiles], operation: str, good: int
) -> None:
    """No line is written; whichever objects are there are whole, and nothing lies about under another name.

    After a failed sync nobody goes on: the names may not last, and the next sync would not tell.
    """
    store, files = faulty
    before = store.view().head
    digests = [store.objects.stage(data) for data in CONTENTS]
    files.fail = {operation: good}
    with pytest.raises(StorageError), store.transaction() as tx:
        tx.append(a_draft())
    files.fail = {}
    if operation in ("sync", "sync_dir"):
        with pytest.raises(IntegrityError) as caught:
            store.view()
        assert caught.value.code == "poisoned"
        store.paths.poisoned.unlink()
    assert store.view().head == before
    for digest, data in zip(digests, CONTENTS, strict=True):
        if store.objects.has(digest):
            assert store.objects.get(digest) == data
    if operation != "move":
        assert [path for path in store.paths.objects.rglob(".*") if path.is_file()] == []
    with store.transaction() as tx:
        tx.append(a_draft())
    assert store.view().head.seq == before.seq + 1


def test_what_one_thread_staged_is_not_anothers(store: FileStore) -> None:
    """A call that failed takes only its own objects with it; a renewal in the background waits for none."""
    digest = store.objects.stage(b"mine")
    seen: list[bool] = []

    def other() -> None:
        with store.transaction() as tx:
            tx.append(a_draft())
        seen.append(store.objects.has(digest))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [False]
    store.objects.settle()
    assert store.objects.has(digest)


def test_staging_finds_an_edited_object_at_once(store: FileStore) -> None:
    digest = sha256_hex(b"evidence")
    (store.paths.objects / digest[:2] / digest).write_bytes(b"edited")
    with pytest.raises(IntegrityError) as caught:
        store.objects.stage(b"evidence")
    assert caught.value.code == "evidence_edited"


def test_an_object_edited_after_staging_is_found_before_the_line(store: FileStore) -> None:
    digest = store.objects.stage(b"evidence")
    (store.paths.objects / digest[:2] / digest).write_bytes(b"edited")
    with pytest.raises(IntegrityError) as caught, store.transaction() as tx:
        tx.append(a_draft())
    assert caught.value.code == "evidence_edited"


def test_a_staged_object_whose_folder_is_gone_is_kept_all_the_same(store: FileStore) -> None:
    digest = store.objects.stage(b"evidence")
    (store.paths.objects / digest[:2]).rmdir()
    other = store.objects.stage(b"more")
    store.objects.settle()
    assert store.objects.has(digest)
    assert store.objects.has(other)


def test_much_staged_is_settled_at_once(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects_module, "STAGED_BYTES_MAX", 10)
    small = store.objects.stage(b"0123456789")
    assert not store.objects.has(small)
    large = store.objects.stage(b"a")
    assert store.objects.has(small)
    assert store.objects.has(large)


def test_syncs_of_staged_objects_wait_together(tmp_path: Path) -> None:
    """Three that meet at a barrier cannot have been asked for one after the other."""
    meeting = threading.Barrier(3)

    class Meeting(DiskFiles):
        def sync(self, descriptor: int) -> None:
            meeting.wait(timeout=20)

        def sync_dir(self, path: Path) -> None:
            """Not here."""

    objects = ObjectStore(Meeting(), tmp_path / "objects")
    objects.prepare()
    digests = [objects.stage(data) for data in CONTENTS]
    objects.settle()
    assert all(objects.has(digest) for digest in digests)
