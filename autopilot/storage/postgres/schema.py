"""The tables of the store and their versions.

Migrations are numbered SQL files, applied in order in one transaction under an advisory lock, each recorded with its
digest. The role that applies them owns the tables; the role that autopilot works as is only granted what appending
needs, so that it can neither change nor remove what was appended. Head row and lease log it can damage: readers refuse.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from importlib import resources
from typing import Any

import psycopg
from psycopg import sql

from autopilot.kernel.canonical import sha256_hex
from autopilot.kernel.errors import ContractError, StorageError
from autopilot.storage.postgres.address import Address
from autopilot.storage.postgres.session import Session

_FILE = re.compile(r"([0-9]{4})_([a-z_]+)\.sql")
_LOCK = 0x6175_746F_7069_6C6F  # any number, the same for all who migrate
_BEGIN = """
CREATE SCHEMA IF NOT EXISTS autopilot;
CREATE TABLE IF NOT EXISTS autopilot.migration (
    version integer PRIMARY KEY, name text NOT NULL, digest text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
_GRANTS = (
    "REVOKE ALL ON SCHEMA autopilot FROM PUBLIC",
    "GRANT USAGE ON SCHEMA autopilot TO {role}",
    "GRANT SELECT ON autopilot.migration TO {role}",
    "GRANT SELECT, INSERT ON autopilot.ledger, autopilot.entry, autopilot.object TO {role}",
    "GRANT SELECT, INSERT ON autopilot.head, autopilot.checkpoint TO {role}",
    # An earlier version granted all columns.
    "REVOKE UPDATE ON autopilot.head, autopilot.checkpoint FROM {role}",
    "GRANT UPDATE (seq, hash, range, lease_first, lease_seq, lease_hash, moved_to) ON autopilot.head TO {role}",
    "GRANT UPDATE (note) ON autopilot.checkpoint TO {role}",
    "GRANT SELECT, INSERT, DELETE ON autopilot.lease_record TO {role}",
)


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema."""

    version: int
    name: str
    text: str

    @property
    def digest(self) -> str:
        """The SHA-256 of its text."""
        return sha256_hex(self.text.encode())


def migrations() -> tuple[Migration, ...]:
    """The steps that this version knows, in order."""
    found: list[Migration] = []
    for file in (resources.files(__package__) / "migrations").iterdir():
        match = _FILE.fullmatch(file.name)
        if match:
            found.append(Migration(int(match[1]), match[2], file.read_text("utf-8")))
    return tuple(sorted(found, key=lambda one: one.version))


def set_up(address: Address, *, grant_to: tuple[str, ...] = ()) -> tuple[Migration, ...]:
    """Apply what is missing, as the owner, and grant `grant_to` what appending needs; what was applied.

    StorageError `store_schema` where the database is newer than this version or a step is not as it was applied;
    ContractError `bad_usage` for a role that there is not.
    """
    session = Session(address)
    try:
        with session.translated():
            return _set_up(session.connection, address, grant_to)
    finally:
        session.close()


def pending(address: Address) -> tuple[Migration, ...]:
    """What `set_up` would apply; StorageError as it."""
    with contextlib.closing(Session(address)) as session:
        try:
            applied = dict(session.rows("SELECT version, digest FROM autopilot.migration"))
        except StorageError as error:
            if error.code != "store_schema":
                raise
            applied = {}
        fault = _fault(applied)
        if fault:
            raise StorageError("store_schema", where=address.shown, detail=fault)
        return tuple(one for one in migrations() if one.version not in applied)


def _set_up(connection: psycopg.Connection[Any], address: Address, roles: tuple[str, ...]) -> tuple[Migration, ...]:
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        known = connection.execute("SELECT to_regclass('autopilot.migration') IS NOT NULL").fetchone()
        if known != (True,):
            connection.execute(_BEGIN)
        applied = dict(connection.execute("SELECT version, digest FROM autopilot.migration").fetchall())
        fault = _fault(applied)
        if fault:
            raise StorageError("store_schema", where=address.shown, detail=fault)
        missing = tuple(one for one in migrations() if one.version not in applied)
        for step in missing:
            connection.execute(step.text.encode())
            connection.execute(
                "INSERT INTO autopilot.migration (version, name, digest) VALUES (%s, %s, %s)",
                (step.version, step.name, step.digest),
            )
        for role in roles:
            _grant(connection, role)
    return missing


def _grant(connection: psycopg.Connection[Any], role: str) -> None:
    if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
        raise ContractError("bad_usage", where="--grant", detail=f"no role {role!r}", remedy="create it first")
    for text in _GRANTS:
        connection.execute(sql.SQL(text).format(role=sql.Identifier(role)))


def require_schema(session: Session) -> None:
    """StorageError `store_schema` unless the tables are those of this version, neither older nor newer."""
    try:
        applied = dict(session.rows("SELECT version, digest FROM autopilot.migration"))
    except StorageError as error:
        if error.code != "store_schema":
            raise
        applied = {}
    fault = "the store was never set up here" if not applied else _fault(applied)
    behind = [one.version for one in migrations() if one.version not in applied]
    if not fault and behind:
        fault = f"migration {behind[0]} is not applied"
    if fault:
        raise StorageError("store_schema", where=session.address.shown, detail=fault)


def _fault(applied: dict[int, str]) -> str:
    """Why what was applied is not what this version would apply; empty if it is."""
    known = {one.version: one.digest for one in migrations()}
    for version, digest in sorted(applied.items()):
        if version not in known:
            return f"the tables are at version {version}, this autopilot knows {max(known)}"
        if known[version] != digest:
            return f"migration {version} was applied with another text"
    return ""
