"""A ledger in a database as files, byte for byte, and back.

Segments, lease log, checkpoints and objects have one form. So what reads files reads a copy of the rows: the
verification, proofs, the audit, the pack for outsiders. A copy is of one moment, and holds what the rows hold, damage
included: it is the verification that judges it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autopilot.kernel.canonical import encode, loads
from autopilot.kernel.errors import AutopilotError, IntegrityError, StorageError
from autopilot.kernel.files import DiskFiles, storage_error
from autopilot.kernel.framing import frame
from autopilot.kernel.throwaway import throwaway
from autopilot.ledger.verify import VerifyReport, corrupt
from autopilot.storage.files.hint import write_hint
from autopilot.storage.files.layout import SEGMENT_ENTRIES, StorePaths
from autopilot.storage.files.verify import verify_files
from autopilot.storage.postgres.address import Address
from autopilot.storage.postgres.rows import SELECT_HEAD, HeadRow
from autopilot.storage.postgres.session import Connection, Session

Write = Callable[[Path, bytes], None]
"""Puts bytes into a new file."""

_MOMENT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_LEDGER = "SELECT format, created_by FROM autopilot.ledger WHERE id = %s"
_LAST = "SELECT max(seq) FROM autopilot.entry WHERE ledger = %s"
_LINES = "SELECT hash, body FROM autopilot.entry WHERE ledger = %s AND seq >= %s AND seq < %s ORDER BY seq"
_RECORDS = "SELECT hash, body FROM autopilot.lease_record WHERE ledger = %s ORDER BY seq"
_NOTES = "SELECT size, note FROM autopilot.checkpoint WHERE ledger = %s ORDER BY size"
_DIGESTS = "SELECT sha256 FROM autopilot.object WHERE ledger = %s ORDER BY sha256"
_OBJECT = "SELECT bytes FROM autopilot.object WHERE ledger = %s AND sha256 = %s"
_OPENINGS = "SELECT body FROM autopilot.entry WHERE ledger = %s AND seq = ANY(%s::bigint[]) ORDER BY seq"


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy holds: its lines by the head row, the rows beyond them, checkpoints, objects."""

    head: HeadRow
    rows: int
    notes: int = 0
    objects: int = 0


def plainly(path: Path, data: bytes) -> None:
    """Write a file of a copy that is thrown away."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


class Copier:
    """Writes one ledger's rows as files, all as of one moment."""

    def __init__(self, address: Address, ledger: str, target: Path, write: Write = plainly) -> None:
        self._address = address
        self._ledger = ledger
        self._paths = StorePaths(target)
        self._write = write

    def copy(self, *, objects: bool = True) -> Copied:
        """Write the copy; without `objects` only those that hold folded states. IntegrityError `ledger_missing`."""
        session = Session(self._address)
        try:
            with session.translated():
                connection = session.connection
                connection.execute(_MOMENT)
                return self._copy(connection, objects=objects)
        except OSError as error:
            raise storage_error(error, self._paths.state_dir) from error
        finally:
            session.close()

    def _copy(self, connection: Connection, *, objects: bool) -> Copied:
        paths, ledger = self._paths, self._ledger
        known, heads = _ask(connection, _LEDGER, ledger), _ask(connection, SELECT_HEAD, ledger)
        if not known or not heads:
            raise IntegrityError("ledger_missing", where=self._address.shown, detail=f"no ledger {ledger}")
        head = HeadRow.of(heads[0])
        ((last,),) = _ask(connection, _LAST, ledger)
        rows = self._segments(connection, -1 if last is None else last)
        self._write(paths.leases, b"".join(_framed(_ask(connection, _RECORDS, ledger))))
        notes = _ask(connection, _NOTES, ledger)
        for size, note in notes:
            self._write(paths.ledger / "checkpoints" / f"{size}.note", bytes(note))
        openings = list(range(SEGMENT_ENTRIES, (last or 0) + 1, SEGMENT_ENTRIES))
        count = self._objects(connection, None if objects else openings)
        self._write(paths.lock, b"")
        (format_, created_by), *_ = known
        identity = {"format": format_, "ledger": ledger, "created_by": created_by}
        # Last of all, as where a ledger is made: without it there is none.
        self._write(paths.identity, encode(identity) + b"\n")
        write_hint(DiskFiles(), paths.head, ledger, head.head)
        return Copied(head, rows, len(notes), count)

    def _segments(self, connection: Connection, last: int) -> int:
        count = 0
        for first in range(0, last + 1, SEGMENT_ENTRIES):
            lines = _framed(_ask(connection, _LINES, self._ledger, first, first + SEGMENT_ENTRIES))
            count += len(lines)
            if lines:
                self._write(self._paths.segment(first), b"".join(lines))
        return count

    def _objects(self, connection: Connection, openings: list[int] | None) -> int:
        """All objects, or with `openings` only the states that these lines name."""
        if openings is None:
            digests = [bytes(row[0]) for row in _ask(connection, _DIGESTS, self._ledger)]
        else:
            digests = list(_states(_ask(connection, _OPENINGS, self._ledger, openings)))
        self._paths.objects.mkdir(parents=True, exist_ok=True)
        for digest in digests:
            for (data,) in _ask(connection, _OBJECT, self._ledger, digest):
                self._write(self._paths.objects / digest.hex()[:2] / digest.hex(), bytes(data))
        return len(digests)


def _states(rows: list[tuple[Any, ...]]) -> Iterator[bytes]:
    for (body,) in rows:
        try:
            yield bytes.fromhex(loads(bytes(body))["data"]["state"]["sha256"])
        except (AutopilotError, KeyError, TypeError, ValueError):
            continue  # damage, for the verification to name


def verify_rows(address: Address, ledger: str, floor: int = 0) -> VerifyReport:
    """The report on a ledger in a database, as on its copy in files."""
    with copied(address, ledger, objects=False) as (place, found):
        report = verify_files(place, floor)
    return judged(report, found)


def judged(report: VerifyReport, found: Copied) -> VerifyReport:
    """The report on a copy, and the head row held against it: a line beyond it was appended by nobody of ours."""
    expected = found.head.head.seq + 1
    if report.intact and report.entries != expected:
        detail = f"{report.entries} rows, the head row says {expected}"
        return corrupt("bad_link", min(expected, report.entries), detail=detail, where="head")
    return report


@contextmanager
def copied(address: Address, ledger: str, *, objects: bool = True) -> Iterator[tuple[Path, Copied]]:
    """A copy in a folder that is thrown away."""
    with throwaway("autopilot-rows-") as place:
        yield place, Copier(address, ledger, place).copy(objects=objects)


def _ask(connection: Connection, query: str, *values: Any) -> list[tuple[Any, ...]]:
    with connection.cursor(binary=True) as cursor:
        return cursor.execute(query, values).fetchall()


def _framed(rows: list[tuple[Any, ...]]) -> list[bytes]:
    return [frame(bytes(body), bytes(digest).hex()) for digest, body in rows]


def require_complete(report: VerifyReport) -> None:
    """StorageError `storage_failed` for a copy that does not verify; the source did."""
    if not report.intact:
        detail = f"the copy does not verify: {report.reason} at line {report.seq}, {report.detail}"
        raise StorageError("storage_failed", where=report.where, detail=detail)
