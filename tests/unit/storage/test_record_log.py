"""The log under the lease log: numbering, chain, catching up, tails, compaction."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.kernel.files import DiskFiles
from autopilot.kernel.framing import body_hash, frame
from autopilot.storage.files.record_log import LogPlace, RecordLog

LEDGER = "ab" * 16


@pytest.fixture
def place(tmp_path: Path) -> LogPlace:
    made = LogPlace(tmp_path / "x.wal", tmp_path / "quarantine", LEDGER)
    RecordLog.create(DiskFiles(), made)
    return made


def a_log(place: LogPlace) -> RecordLog:
    return RecordLog(DiskFiles(), place)


def read(place: LogPlace) -> list[dict[str, object]]:
    log = a_log(place)
    try:
        return [record.record for record in log.catch_up().records]
    finally:
        log.close()


def test_records_come_back_in_order_and_once(place: LogPlace) -> None:
    log, other = a_log(place), a_log(place)
    log.catch_up()
    for number in range(3):
        log.append({"n": number}, sync=False)
    assert [record.record for record in other.catch_up().records] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert other.catch_up().records == []
    assert (log.seq, log.hash) == (other.seq, other.hash)
    other.append({"n": 3}, sync=True)
    assert [record.seq for record in log.catch_up().records] == [3]
    assert log.catch_up().records == []
    log.close()
    other.close()


def test_the_line_is_framed_and_chained(place: LogPlace) -> None:
    log = a_log(place)
    log.catch_up()
    first = log.append({"n": 0}, sync=True)
    log.append({"n": 1}, sync=True)
    log.close()
    lines = place.path.read_bytes().splitlines()
    body = orjson.loads(lines[1])["r"]
    assert list(body) == ["v", "ledger", "seq", "prev", "record"]
    assert (body["seq"], body["prev"], body["ledger"]) == (1, first.hash, LEDGER)
    assert lines[1][6:70].decode() == body_hash(lines[1][76:-1])


@pytest.mark.parametrize("step", ["delete", "swap", "repeat", "edit", "other ledger", "insert"])
def test_changes_are_refused(place: LogPlace, step: str) -> None:
    log = a_log(place)
    log.catch_up()
    for number in range(4):
        log.append({"n": number}, sync=False)
    log.close()
    lines = place.path.read_bytes().splitlines(keepends=True)
    other = orjson.loads(lines[1])["r"] | {"ledger": "cd" * 16}
    changed = {
        "delete": [lines[0], *lines[2:]],
        "swap": [lines[0], lines[2], lines[1], lines[3]],
        "repeat": [lines[0], lines[0], *lines[1:]],
        "edit": [lines[0], lines[1].replace(b'"n":1', b'"n":7'), *lines[2:]],
        "other ledger": [lines[0], frame(orjson.dumps(other))],
        "insert": [*lines, lines[3]],
    }[step]
    place.path.write_bytes(b"".join(changed))
    with pytest.raises(IntegrityError) as caught:
        read(place)
    assert caught.value.code == "lease_log_corrupt"


def test_a_tail_cut_anywhere_is_left_by_readers_and_cut_by_writers(place: LogPlace) -> None:
    log = a_log(place)
    log.catch_up()
    log.append({"n": 0}, sync=True)
    good = place.path.read_bytes()
    log.append({"n": 1}, sync=True)
    log.close()
    whole = place.path.read_bytes()
    for end in range(len(good) + 1, len(whole)):
        place.path.write_bytes(whole[:end])
        assert read(place) == [{"n": 0}]
        assert place.path.read_bytes() == whole[:end]
    log = a_log(place)
    torn = log.catch_up(7).torn
    assert torn is not None
    assert torn.name.startswith("0000000000000007-x-")
    assert (place.quarantine / torn.name).read_bytes() == whole[len(good) : -1]
    assert place.path.read_bytes() == good
    assert log.append({"n": 9}, sync=True).seq == 1
    log.close()
    assert read(place) == [{"n": 0}, {"n": 9}]


def test_compaction_goes_on_numbering_and_is_followed_by_others(place: LogPlace) -> None:
    log, other = a_log(place), a_log(place)
    log.catch_up()
    for number in range(5):
        log.append({"n": number}, sync=False)
    other.catch_up()
    log.compact([{"sum": 1}, {"sum": 2}])
    assert log.append({"n": 5}, sync=False).seq == 7
    news = other.catch_up()
    assert news.renewed
    assert [(record.seq, record.record) for record in news.records] == [(5, {"sum": 1}), (6, {"sum": 2}), (7, {"n": 5})]
    assert other.append({"n": 6}, sync=False).seq == 8
    assert len(log.catch_up().records) == 1
    assert place.path.with_suffix(".previous").exists()
    log.close()
    other.close()


def test_what_cannot_be_held_is_refused(place: LogPlace) -> None:
    log = a_log(place)
    log.catch_up()
    for record, code in (({"n": 0.5}, "not_plain_data"), ({"t": "x" * 70_000}, "entry_too_large")):
        with pytest.raises(ContractError) as caught:
            log.append(record, sync=False)
        assert caught.value.code == code
    assert log.append({"n": 1}, sync=False).seq == 0
    log.close()
