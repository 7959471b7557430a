"""Checkpoints in the database, by the number of lines they are over."""

from __future__ import annotations

import contextlib

from autopilot.storage.postgres.address import Address
from autopilot.storage.postgres.session import Session

_KEEP = (
    "INSERT INTO autopilot.checkpoint (ledger, size, note) VALUES (%s, %s, %s)"
    " ON CONFLICT (ledger, size) DO UPDATE SET note = EXCLUDED.note RETURNING 1"
)


def keep(address: Address, ledger: str, size: int, note: bytes) -> None:
    """Keep the note. One of the same size is replaced: only signatures can differ, the caller checked it."""
    with contextlib.closing(Session(address)) as session:
        session.rows(_KEEP, ledger, size, note)
