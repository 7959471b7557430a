"""The files of a state directory as rows: the way into a database. Nothing of it lives before `activate`.

It can be cut short and begun again at any time: what is there already is compared and completed, not doubled. The rows
of a ledger that is still arriving are refused to everyone by the head row's `moved_to`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from autopilot.kernel.canonical import loads, parse
from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.kernel.files import DiskFiles
from autopilot.kernel.framing import ZERO_HASH, unframe
from autopilot.ledger.chain import Head
from autopilot.ledger.merkle import CompactRange
from autopilot.storage.files.checkpoints import CheckpointFiles
from autopilot.storage.files.layout import SEGMENT_ENTRIES, StorePaths
from autopilot.storage.objects import ObjectStore
from autopilot.storage.postgres.address import Address
from autopilot.storage.postgres.lease_rows import LeaseRow
from autopilot.storage.postgres.rows import SELECT_HEAD, HeadRow, range_bytes
from autopilot.storage.postgres.schema import require_schema
from autopilot.storage.postgres.session import Connection, Session

ARRIVING = "nowhere yet: the copy is not complete"

_ADD_LEDGER = "INSERT INTO autopilot.ledger (id, format, created_by) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
_ADD_HEAD = (
    "INSERT INTO autopilot.head (ledger, seq, hash, range, lease_hash, moved_to) VALUES (%s, %s, %s, %s, %s, %s)"
)
_MOVE_HEAD = (
    "UPDATE autopilot.head SET seq = %s, hash = %s, range = %s, lease_first = %s, lease_seq = %s, lease_hash = %s,"
    " moved_to = %s WHERE ledger = %s"
)
_ADD_LINES = (
    "INSERT INTO autopilot.entry (ledger, seq, hash, body)"
    " SELECT %s, * FROM unnest(%s::bigint[], %s::bytea[], %s::bytea[])"
)
_ADD_RECORDS = (
    "INSERT INTO autopilot.lease_record (ledger, seq, hash, body)"
    " SELECT %s, * FROM unnest(%s::bigint[], %s::bytea[], %s::bytea[])"
)
_ADD_OBJECT = "INSERT INTO autopilot.object (ledger, sha256, bytes) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
_ADD_NOTE = (
    "INSERT INTO autopilot.checkpoint (ledger, size, note) VALUES (%s, %s, %s)"
    " ON CONFLICT (ledger, size) DO UPDATE SET note = EXCLUDED.note"
)
_ACTIVATE = "UPDATE autopilot.head SET moved_to = '' WHERE ledger = %s AND moved_to = %s"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What was brought in: the last line, and how many lines, objects and checkpoints the database has now."""

    head: Head
    entries: int
    objects: int
    notes: int


def load(source: StorePaths, address: Address, head: Head) -> Loaded:
    """Bring the verified files of `source`, whose last line is `head`, into the database; the caller has their lock.

    ContractError `ledger_exists` for one that lives there; IntegrityError `forked` for rows that are not the files'.
    """
    session = Session(address)
    try:
        require_schema(session)
        with session.translated():
            return _Loading(source, session.connection, head).run()
    finally:
        session.close()


def activate(address: Address, ledger: str) -> None:
    """Let the ledger live in the database. Its files must be closed before."""
    with contextlib.closing(Session(address)) as session, session.translated():
        session.connection.execute(_ACTIVATE, (ledger, ARRIVING))


class _Loading:
    """One run."""

    def __init__(self, source: StorePaths, connection: Connection, head: Head) -> None:
        identity = parse(source.identity.read_bytes(), where=str(source.identity))
        self._source = source
        self._connection = connection
        self._head = head
        self._ledger = str(identity["ledger"])
        self._format = int(identity["format"])
        self._created_by = str(identity["created_by"])

    def run(self) -> Loaded:
        objects = self._objects()
        with self._connection.transaction():
            there = self._there()
            range_ = self._lines(there.head if there else Head())
            notes = self._notes()
            rows = self._leases()
            ends = (rows[0].seq, rows[-1].seq, rows[-1].hash) if rows else (0, -1, ZERO_HASH)
            ends_at = (ends[0], ends[1], bytes.fromhex(ends[2]))
            digest = bytes.fromhex(self._head.hash)
            if there is None:
                values = (self._ledger, self._head.seq, digest, range_bytes(range_), bytes(32), ARRIVING)
                self._connection.execute(_ADD_HEAD, values)
            moved = (self._head.seq, digest, range_bytes(range_), *ends_at, ARRIVING, self._ledger)
            self._connection.execute(_MOVE_HEAD, moved)
        return Loaded(self._head, range_.size, objects, notes)

    def _there(self) -> HeadRow | None:
        """The head row of an earlier run, or of an earlier stay; ContractError `ledger_exists` for one that lives."""
        with self._connection.cursor(binary=True) as cursor:
            rows = cursor.execute(f"{SELECT_HEAD} FOR UPDATE", (self._ledger,)).fetchall()
        if not rows:
            return None
        row = HeadRow.of(rows[0])
        if not row.moved_to:
            raise ContractError("ledger_exists", where="--to", detail=f"ledger {self._ledger} is in that database")
        return row

    def _objects(self) -> int:
        """Each in a transaction of its own: there may be many, and they are worth nothing without a line."""
        self._connection.execute(_ADD_LEDGER, (self._ledger, self._format, self._created_by))
        store, count = ObjectStore(DiskFiles(), self._source.objects), 0
        for path in sorted(self._source.objects.glob("??/*")):
            if len(path.name) == 64:
                data = store.get(path.name)
                self._connection.execute(_ADD_OBJECT, (self._ledger, bytes.fromhex(path.name), data))
                count += 1
        return count

    def _lines(self, known: Head) -> CompactRange:
        range_ = CompactRange()
        for first in range(0, self._head.seq + 1, SEGMENT_ENTRIES):
            lines = [unframe(line) for line in _lines_of(self._source, first, self._head.seq)]
            range_ = range_.extended([bytes.fromhex(digest) for digest, _ in lines])
            if first <= known.seq < first + len(lines) and lines[known.seq - first][0] != known.hash:
                raise IntegrityError("forked", where=f"entry {known.seq}", detail="the rows are of another history")
            new = [(first + at, *line) for at, line in enumerate(lines) if first + at > known.seq]
            if new:
                values = ([one[0] for one in new], [bytes.fromhex(one[1]) for one in new], [one[2] for one in new])
                self._connection.execute(_ADD_LINES, (self._ledger, *values))
        return range_

    def _leases(self) -> list[LeaseRow]:
        rows = list(_lease_rows(self._source))
        self._connection.execute("DELETE FROM autopilot.lease_record WHERE ledger = %s", (self._ledger,))
        values = ([row.seq for row in rows], [bytes.fromhex(row.hash) for row in rows], [row.body for row in rows])
        self._connection.execute(_ADD_RECORDS, (self._ledger, *values))
        return rows

    def _notes(self) -> int:
        files = CheckpointFiles(self._source.state_dir)
        for size in files.sizes():
            self._connection.execute(_ADD_NOTE, (self._ledger, size, files.read(size)))
        return len(files.sizes())


def _lines_of(source: StorePaths, first: int, last: int) -> list[bytes]:
    return source.segment(first).read_bytes().split(b"\n")[: min(SEGMENT_ENTRIES, last - first + 1)]


def _lease_rows(source: StorePaths) -> Iterator[LeaseRow]:
    for line in source.leases.read_bytes().split(b"\n")[:-1]:
        digest, body = unframe(line)
        yield LeaseRow(int(loads(body)["seq"]), digest, body)
