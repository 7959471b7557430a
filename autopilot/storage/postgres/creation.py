"""Making a ledger in a database: its row, its first line and its head, in one transaction."""

from __future__ import annotations

from autopilot.kernel.ids import new_ledger_id
from autopilot.kernel.stamps import stamp
from autopilot.ledger.chain import START, compose
from autopilot.ledger.merkle import CompactRange
from autopilot.ledger.store import Fold
from autopilot.storage.files.creation import Genesis, genesis_draft
from autopilot.storage.files.store import FORMAT
from autopilot.storage.postgres.address import Address
from autopilot.storage.postgres.clock import NOW_US, moment_of
from autopilot.storage.postgres.rows import range_bytes
from autopilot.storage.postgres.schema import require_schema
from autopilot.storage.postgres.session import Session
from autopilot.storage.postgres.store import PostgresStore, RowParts

_ADD_LEDGER = "INSERT INTO autopilot.ledger (id, format, created_by) VALUES (%s, %s, %s)"
_ADD_ENTRY = "INSERT INTO autopilot.entry (ledger, seq, hash, body) VALUES (%s, %s, %s, %s)"
_ADD_HEAD = "INSERT INTO autopilot.head (ledger, seq, hash, range, lease_hash) VALUES (%s, %s, %s, %s, %s)"


def create_store(address: Address, fold: Fold, genesis: Genesis) -> PostgresStore:
    """Make a new ledger in the database and open it; StorageError as `PostgresStore.open`.

    A run that was cut short before its id was noted leaves a ledger of one line that nobody names.
    """
    ledger, session = new_ledger_id(), Session(address)
    try:
        require_schema(session)
        with session.translated():
            connection = session.connection
            with connection.transaction():
                (us,) = connection.execute(NOW_US).fetchone() or (0,)
                entry, _ = compose(START, ledger, genesis_draft(ledger, genesis), stamp(moment_of(int(us))))
                digest = bytes.fromhex(entry.hash)
                range_ = range_bytes(CompactRange().extended([digest]))
                connection.execute(_ADD_LEDGER, (ledger, FORMAT, genesis.created_by))
                connection.execute(_ADD_ENTRY, (ledger, 0, digest, entry.body))
                connection.execute(_ADD_HEAD, (ledger, 0, digest, range_, bytes(32)))
    finally:
        session.close()
    return PostgresStore.open(RowParts(address, ledger, fold))
