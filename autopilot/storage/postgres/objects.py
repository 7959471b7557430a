"""Sealed bytes in the database, by digest. An object is committed before a line may name it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from autopilot.kernel.canonical import sha256_hex
from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.storage.objects import STAGED_BYTES_MAX
from autopilot.storage.postgres.session import Session

_DIGEST = re.compile(r"[0-9a-f]{64}")
_PUT = (
    "INSERT INTO autopilot.object (ledger, sha256, bytes) SELECT %s, * FROM unnest(%s::bytea[], %s::bytea[])"
    " ON CONFLICT DO NOTHING"
)
Borrow = Callable[[], AbstractContextManager[Session]]
"""Lends the readers' connection for one statement."""


class _Staged(threading.local):
    """What this thread has staged: it fails with its call and with no other."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.bytes = 0


class RowObjects:
    """The objects of one ledger."""

    def __init__(self, ledger: str, borrow: Borrow) -> None:
        self._ledger = ledger
        self._borrow = borrow
        self._staged = _Staged()

    def put(self, data: bytes) -> str:
        """Keep `data` durably and return its digest."""
        digest = sha256_hex(data)
        self._store({digest: data})
        return digest

    def stage(self, data: bytes) -> str:
        """Keep `data` until this thread's next `settle`; its digest."""
        digest, staged = sha256_hex(data), self._staged
        if digest not in staged.objects:
            staged.objects[digest] = data
            staged.bytes += len(data)
            if staged.bytes > STAGED_BYTES_MAX:
                self.settle()
        return digest

    def settle(self) -> None:
        """Commit what this thread has staged, all of it at once."""
        staged, self._staged.objects, self._staged.bytes = self._staged.objects, {}, 0
        if staged:
            self._store(staged)

    def get(self, sha256: str) -> bytes:
        """The object's bytes; IntegrityError `object_missing`, or `evidence_edited` if they are not its own."""
        staged = self._staged.objects.get(sha256)
        if staged is not None:
            return staged
        with self._borrow() as session:
            found = session.rows(
                "SELECT bytes FROM autopilot.object WHERE ledger = %s AND sha256 = %s", self._ledger, _raw(sha256)
            )
        if not found:
            raise IntegrityError("object_missing", where=sha256)
        data = bytes(found[0][0])
        if sha256_hex(data) != sha256:
            raise IntegrityError("evidence_edited", where=sha256, detail="the object does not have its digest")
        return data

    def has(self, sha256: str) -> bool:
        """Whether an object of that digest is there."""
        with self._borrow() as session:
            query = "SELECT 1 FROM autopilot.object WHERE ledger = %s AND sha256 = %s"
            return bool(session.rows(query, self._ledger, _raw(sha256)))

    def digests(self) -> Iterator[str]:
        """The digests of all objects, in order."""
        with self._borrow() as session:
            query = "SELECT sha256 FROM autopilot.object WHERE ledger = %s ORDER BY sha256"
            rows = session.rows(query, self._ledger)
        return (bytes(row[0]).hex() for row in rows)

    def _store(self, objects: dict[str, bytes]) -> None:
        # Asked again after a lost connection: the same bytes twice are one object. Sorted, so that two who store the
        # same objects at once wait for one another in one order.
        wanted = sorted(objects)
        with self._borrow() as session:
            session.rows(
                f"{_PUT} RETURNING 1", self._ledger, [_raw(one) for one in wanted], [objects[one] for one in wanted]
            )


def _raw(sha256: str) -> bytes:
    if not _DIGEST.fullmatch(sha256):
        raise ContractError("object_missing", where=sha256[:80], detail="not a SHA-256 in hex")
    return bytes.fromhex(sha256)
