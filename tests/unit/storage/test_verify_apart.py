"""Several processes look at the segments of a long ledger: they find what one finds, and say the same of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from autopilot.kernel.canonical import encode, parse
from autopilot.kernel.framing import BODY_START, body_hash, frame
from autopilot.ledger.verify import VerifyReport
from autopilot.storage.files import apart, layout, ledger, verify
from autopilot.storage.files.apart import check_apart
from autopilot.storage.files.store import FileStore
from autopilot.storage.files.verify import verify_files
from autopilot.testing.contracts.ledger import a_draft

SEED = int(os.environ.get("AUTOPILOT_SEED", "1"))
SEGMENT = 8


@pytest.fixture
def long(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger of ten segments; its state directory."""
    for module in (layout, ledger, verify):
        monkeypatch.setattr(module, "SEGMENT_ENTRIES", SEGMENT)
    monkeypatch.setattr(verify, "APART_SEGMENTS", 3)
    for number in range(65):
        with store.transaction() as tx:
            tx.append(a_draft(number))
    store.close()
    return store.paths.state_dir


@pytest.fixture
def both(long: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], VerifyReport]:
    """Verify with one process and with two; the report, which is the same."""

    def verified() -> VerifyReport:
        reports = []
        for count in (1, 2):
            monkeypatch.setattr(verify, "processors", lambda count=count: count)
            reports.append(verify_files(long))
        assert reports[0] == reports[1]
        return reports[0]

    return verified


def test_an_intact_ledger_is_looked_at_by_several_once(
    long: Path, both: Callable[[], VerifyReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    walked: list[int] = []
    check = verify._Segment.check
    monkeypatch.setattr(
        verify._Segment, "check", lambda self, *given: (walked.append(self.first), check(self, *given))[1]
    )
    assert both().intact
    assert walked.count(0) == 1, "by this process, in the first run only"
    assert walked.count(max(walked)) == 2, "the last segment is always its own"


def test_whatever_is_changed_is_found_and_said_alike(long: Path, both: Callable[[], VerifyReport]) -> None:
    random = Random(SEED)
    paths = sorted((long / "ledger" / "seg").iterdir())
    found: set[str | None] = set()
    for number in range(40):
        path = random.choice(paths)
        content = path.read_bytes()
        at = random.randrange(len(content))
        changed = random.choice(
            (
                content[:at] + bytes([content[at] ^ (1 << random.randrange(8))]) + content[at + 1 :],
                content[:at],
                content + content[: content.find(b"\n") + 1],
                b"".join(reversed(content.splitlines(keepends=True))),
            )
        )
        path.write_bytes(changed)
        report = both()
        assert not report.intact or path == paths[-1], f"seed {SEED}, change {number} of {path.name} at {at}"
        found.add(report.reason)
        path.write_bytes(content)
    assert both().intact
    assert len(found) > 2


def test_a_segment_that_is_whole_and_of_another_history_is_found(long: Path, both: Callable[[], VerifyReport]) -> None:
    """Every segment agrees with its own first line; only the one after it knows that it ended otherwise."""
    path = long / "ledger" / "seg" / f"{3 * SEGMENT:016d}.jsonl"
    lines = path.read_bytes().splitlines()
    forged, prev = [lines[0]], lines[0][6:70].decode()
    for line in lines[1:]:
        record = parse(line[BODY_START:-1])
        body = encode({**record, "prev": prev, "data": {**record["data"], "verdict": "pass"}})
        prev = body_hash(body)
        forged.append(frame(body)[:-1])
    path.write_bytes(b"\n".join(forged) + b"\n")
    report = both()
    assert (report.status, report.seq) == ("corrupt", 4 * SEGMENT)


def test_a_child_that_dies_proves_nothing() -> None:
    def dies() -> bytes:
        os._exit(0)

    def fails() -> bytes:
        raise ValueError("not as it should be")

    good = [lambda number=number: b"%d" % number * number for number in range(7)]
    assert check_apart(good, 3) == [task() for task in good]
    assert check_apart([*good, dies], 2) is None
    assert check_apart([fails, *good], 2) is None
    assert check_apart([lambda: b"x" * 300_000] * 4, 2) == [b"x" * 300_000] * 4


def test_a_process_with_threads_is_not_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart.threading, "active_count", lambda: 2)
    assert apart.processors() == 1
