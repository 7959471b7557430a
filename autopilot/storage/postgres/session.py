"""One connection to the database, set up as the store needs it, and every error of the driver as one of ours.

What a session may not differ in is set on each new connection and then read back: commits wait for the disk
(`synchronous_commit`), names are looked up in the system catalogue only (`search_path`), and nobody keeps the head row:
a client that is stopped inside a transaction loses its connection after `IDLE_SECONDS`.

Connections are opened when they are first needed, and thrown away on any error: the next call begins with a new one.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import errors, pq
from psycopg.conninfo import conninfo_to_dict

from autopilot.kernel.errors import AutopilotError, IntegrityError, StorageError
from autopilot.storage.postgres.address import Address

# What goes wrong is told by our errors; the driver would print it a second time, on its own.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

Connection = psycopg.Connection[tuple[Any, ...]]

IDLE_SECONDS = 10
LOCK_SECONDS = 30
STATEMENT_SECONDS = 120
CONNECT_SECONDS = 10

DURABLE = frozenset({"on", "remote_apply"})
"""Values of synchronous_commit with which a commit is on the disk before it is answered."""

_DEFAULTS: dict[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "application_name": "autopilot",
    # A standby answers reads with an older ledger.
    "target_session_attrs": "read-write",
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
_SET_UP = f"""
SELECT set_config('search_path', 'pg_catalog, pg_temp', false),
       set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') = 'remote_apply'
                  THEN 'remote_apply' ELSE 'on' END, false),
       set_config('default_transaction_isolation', 'read committed', false),
       set_config('idle_in_transaction_session_timeout', '{IDLE_SECONDS}s', false),
       set_config('lock_timeout', '{LOCK_SECONDS}s', false),
       set_config('statement_timeout', '{STATEMENT_SECONDS}s', false),
       set_config('bytea_output', 'hex', false)
"""
_LOOK = "SELECT current_setting('synchronous_commit'), current_setting('search_path'), pg_is_in_recovery()"
UNREADABLE = "the driver cannot read the address"
UNRESOLVED = "the host's name cannot be resolved"
WITHHELD = "what the driver says is not shown: it has a password of the address in it"
_AGAIN = (errors.LockNotAvailable, errors.QueryCanceled, errors.DeadlockDetected, errors.SerializationFailure)


def connect(address: Address) -> Connection:
    """A connection in autocommit mode, set up and checked. StorageError `store_unreachable`."""
    try:
        wanted = _DEFAULTS | {k: v for k, v in conninfo_to_dict(address.url).items() if v is not None}
    except psycopg.Error:
        raise StorageError("store_unreachable", where=address.shown, detail=UNREADABLE) from None
    try:
        connection = psycopg.connect(**wanted, autocommit=True)
    except psycopg.Error as error:
        detail = _told(error, address)
        # The cause could show the URL.
        raise StorageError("store_unreachable", where=address.shown, detail=detail, retryable=True) from None
    try:
        connection.execute(_SET_UP)
        commit, path, standby = connection.execute(_LOOK).fetchone() or ("", "", True)
    except psycopg.Error as error:
        connection.close()
        raise storage_error_of(error, address, connection) from None
    if commit not in DURABLE or path != "pg_catalog, pg_temp" or standby:
        connection.close()
        detail = f"synchronous_commit {commit}, search_path {path!r}, {'a standby' if standby else 'the primary'}"
        raise StorageError("store_unreachable", where=address.shown, detail=detail)
    return connection


class Session:
    """A connection that comes back after it was lost. Not for two threads at once."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._connection: Connection | None = None
        self._process = 0
        self._inherited: list[object] = []

    @property
    def connection(self) -> Connection:
        """The connection, opened if there is none."""
        if self._connection is not None and self._process != os.getpid():
            # After a fork the socket is the parent's. Not even closed: that would end the parent's session.
            self._inherited.append(self._connection)
            self._connection = None
        if self._connection is None:
            self._connection, self._process = connect(self.address), os.getpid()
        return self._connection

    @property
    def lives(self) -> bool:
        """Whether there is a connection that is not known to be broken."""
        return self._connection is not None and not self._connection.closed

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query that may be asked twice: a connection lost since the last call is made anew once."""
        again = self._connection is not None
        try:
            with self.translated():
                return self._ask(query, values)
        except StorageError as error:
            if not (again and error.code == "store_lost"):
                raise
        with self.translated():
            return self._ask(query, values)

    def _ask(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self.connection.cursor(binary=True) as cursor:
            return cursor.execute(query, values).fetchall()

    def rows_on(self, connection: Connection, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query inside a transaction of `connection`: never asked again, never on another."""
        with self.translated(), connection.cursor(binary=True) as cursor:
            return cursor.execute(query, values).fetchall()

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Raise the driver's errors as ours, and throw the connection away on any error."""
        try:
            yield
        except psycopg.Error as error:
            connection = self._connection
            found = storage_error_of(error, self.address, connection)
            self.close()
            raise found from None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the connection back; the next use opens another."""
        connection, self._connection = self._connection, None
        if connection is not None and self._process == os.getpid():
            with contextlib.suppress(psycopg.Error):
                connection.close()


def storage_error_of(
    error: psycopg.Error, address: Address, connection: psycopg.Connection[Any] | None
) -> AutopilotError:
    """What the driver's error means here. Its text goes along, its statement and values do not."""
    where, detail = address.shown, _told(error, address)
    lost = connection is None or connection.closed or connection.pgconn.status != pq.ConnStatus.OK
    if isinstance(error, _AGAIN):
        return StorageError("lock_timeout", where=where, detail=detail, retryable=True)
    if isinstance(error, (errors.UndefinedTable, errors.InvalidSchemaName, errors.UndefinedColumn)):
        return StorageError("store_schema", where=where, detail=detail)
    if isinstance(error, errors.DiskFull):
        return StorageError("disk_full", where=where, detail=detail)
    if isinstance(error, (errors.UniqueViolation, errors.CheckViolation)):
        return IntegrityError("bad_link", where=where, detail=detail)
    if isinstance(error, (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction)):
        return StorageError("store_unreachable", where=where, detail=detail)
    if lost or isinstance(error, psycopg.OperationalError):
        return StorageError("store_lost", where=where, detail=detail, retryable=True)
    return StorageError("storage_failed", where=where, detail=detail)


def _told(error: psycopg.Error, address: Address) -> str:
    """What may be shown of the error: a constant where the driver repeats what it was given."""
    said = _plain(error)
    if said.startswith("failed to resolve host"):
        return UNRESOLVED
    if any(secret in str(error) or secret in said for secret in address.secrets):
        return WITHHELD
    return said


def _plain(error: psycopg.Error) -> str:
    """The first line of what the server or the driver said."""
    said = error.diag.message_primary or str(error) or type(error).__name__
    return said.strip().splitlines()[0][:300] if said.strip() else type(error).__name__
