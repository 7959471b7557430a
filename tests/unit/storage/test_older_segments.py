"""A ledger of several segments whose older ones were tampered with: what reads them, finds it.

An opener reads the last segment only, by design; `entries` and `verify` read all, and may not pass over what is gone.
Red without: the two checks between segments in `read_entries` (storage/files/ledger.py).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import IntegrityError
from autopilot.ledger.chain import START, Head, compose, walk
from autopilot.ledger.entry import Draft, LedgerEntry
from autopilot.storage.files.layout import SEGMENT_ENTRIES
from autopilot.storage.files.store import FileStore

HUMAN = Caller("ops", "human")
Tamper = Callable[[list[bytes]], list[bytes]]


@pytest.fixture
def long(store: FileStore) -> Path:
    """The oldest segment of a closed ledger that has a second one."""
    draft = Draft(kind="decision", caller=HUMAN, data={"text": "x"})
    with store.transaction() as tx:
        for _ in range(SEGMENT_ENTRIES + 20):
            tx.append(draft, sync=False)
        tx.append(draft)
    store.close()
    return store.paths.segment(0)


@pytest.mark.parametrize(
    ("tamper", "code"),
    [
        (lambda lines: lines[:-1], "truncated"),
        (lambda lines: lines[:1], "truncated"),
        (lambda lines: [], "truncated"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "bad_link"),
        (lambda lines: [*lines[:5], lines[5].replace(b'"x"', b'"y"'), *lines[6:]], "bad_hash"),
        (lambda lines: [*lines, lines[-1]], "bad_link"),
    ],
    ids=["last line", "all but one", "all", "order", "edit", "twice"],
)
def test_what_is_read_is_whole(long: Path, opened: Callable[..., FileStore], tamper: Tamper, code: str) -> None:
    long.write_bytes(b"".join(tamper(long.read_bytes().splitlines(keepends=True))))
    store = opened()
    assert not store.verify().intact
    with pytest.raises(IntegrityError) as caught:
        list(store.entries())
    assert caught.value.code == code
    assert len(list(store.entries(SEGMENT_ENTRIES))) == store.view().head.seq + 1 - SEGMENT_ENTRIES


def test_an_older_segment_of_another_history_does_not_fit(long: Path, opened: Callable[..., FileStore]) -> None:
    """Rewritten with all hashes recomputed, up to the end of the segment: whole in itself, and not followed."""
    store = opened()
    entries: list[LedgerEntry] = []
    walk(long.read_bytes(), START, store.ledger_id, entries.append)
    lines, head = [], START
    for entry in entries:
        text = {"text": "y"} if entry.seq == 7 else entry.data
        draft = Draft(kind=entry.kind, caller=HUMAN, data=text, task=entry.task, epoch=entry.record["epoch"])
        made, line = compose(head, store.ledger_id, draft, entry.ts)
        head = Head(made.seq, made.hash)
        lines.append(line)
    long.write_bytes(b"".join(lines))
    assert not store.verify().intact
    with pytest.raises(IntegrityError) as caught:
        list(store.entries())
    assert caught.value.code == "bad_link"
