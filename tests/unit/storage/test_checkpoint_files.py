"""The second look at lines over several segments, a part of a long ledger, and the folder of notes."""

from __future__ import annotations

from pathlib import Path

import pytest

from autopilot.kernel.callers import ENGINE
from autopilot.kernel.errors import IntegrityError
from autopilot.kernel.framing import body_hash
from autopilot.ledger.entry import Draft
from autopilot.ledger.proofs import inclusion_path, root_of, verify_inclusion
from autopilot.storage.files.checkpoints import CheckpointFiles, read_line, scan
from autopilot.storage.files.layout import SEGMENT_ENTRIES
from autopilot.storage.files.store import FileStore, StoreParts
from autopilot.storage.files.verify import verify_files
from autopilot.testing.contracts.ledger import a_draft

ENTRIES = 2 * SEGMENT_ENTRIES + 10
KEY = {"from": "", "to": "0123abcd", "vkey": "a+0123abcd+AAAA", "reason": "x"}
ALIKE = {"subject": "s", "outcome": "o", "reason": {"kind": "key.rotated"}}


@pytest.fixture
def long(store: FileStore, parts: StoreParts) -> Path:
    """The state directory of a ledger over three segments, with one line that names a key and one that looks so."""
    with store.transaction() as tx:
        tx.append(Draft(kind="key.rotated", caller=ENGINE, data=KEY), sync=False)
        tx.append(Draft(kind="decision", caller=ENGINE, data=ALIKE), sync=False)
    while store.view().head.seq + 1 < ENTRIES:
        with store.transaction() as tx:
            for number in range(min(500, ENTRIES - store._ledger.head.seq - 2)):
                tx.append(a_draft(number), sync=False)
            tx.append(a_draft(0))
    store.close()
    return parts.state_dir


def test_the_root_over_several_segments_is_the_ranges(long: Path, store: FileStore) -> None:
    entries = verify_files(long).entries
    found = scan(long, entries)
    assert root_of(found.leaves) == store.compact_range().root()
    assert found.keys == (("0123abcd", "a+0123abcd+AAAA"),)
    assert body_hash(found.last) == store.view().head.hash
    for seq in (0, SEGMENT_ENTRIES - 1, SEGMENT_ENTRIES, entries - 1):
        assert body_hash(read_line(long, seq)) == found.leaves[seq].hex()
    path = inclusion_path(found.leaves, SEGMENT_ENTRIES)
    verify_inclusion(
        found.leaves[SEGMENT_ENTRIES], index=SEGMENT_ENTRIES, size=entries, path=path, root=root_of(found.leaves)
    )
    with pytest.raises(IntegrityError, match="truncated"):
        scan(long, entries + 1)


def test_a_part_is_checked_from_its_segment_on(long: Path, store: FileStore) -> None:
    entries = verify_files(long).entries
    for since in (0, 5, SEGMENT_ENTRIES, 2 * SEGMENT_ENTRIES + 3, 2**62):
        report = verify_files(long, since=since)
        assert (report.status, report.entries) == ("intact", entries)
    middle = store.paths.segment(SEGMENT_ENTRIES)
    middle.write_bytes(middle.read_bytes().replace(b'"reason"', b'"raeson"', 1).replace(b'"kind"', b'"kjnd"', 1))
    assert verify_files(long, since=2**62).intact  # it was not looked at
    for since in (0, SEGMENT_ENTRIES, SEGMENT_ENTRIES + 1):
        report = verify_files(long, since=since)
        assert (report.status, report.seq) == ("corrupt", SEGMENT_ENTRIES)
    first = store.paths.segment(0)
    first.unlink()
    assert verify_files(long, since=2**62).reason == "missing"


def test_notes_are_kept_by_size_and_retired_by_size(tmp_path: Path) -> None:
    files = CheckpointFiles(tmp_path / "state")
    assert files.sizes() == ()
    for size in (0, 7, 100):
        files.keep(size, b"note %d" % size)
    files.keep(7, b"signed twice")
    (files.folder / "007.note").write_text("x")
    (files.folder / "notes.txt").write_text("x")
    assert files.sizes() == (0, 7, 100)
    assert files.read(7) == b"signed twice"
    assert files.retire(7, tmp_path / "quarantine") == ("100.note",)
    assert files.sizes() == (0, 7)
    assert (tmp_path / "quarantine" / "100.note").read_bytes() == b"note 100"


def test_a_note_that_is_a_link_is_no_note(tmp_path: Path) -> None:
    files = CheckpointFiles(tmp_path / "state")
    files.keep(1, b"x")
    files.path(2).symlink_to(files.path(1))
    with pytest.raises(IntegrityError, match="unsigned"):
        files.read(2)
