"""One client of a shared ledger: appends until it is told to stop, and notes what it was told about each line.

    python postgres_worker.py URL LEDGER NAME OVER NOTES

It ends when the file OVER is there. A note is written after the answer and flushed: `ack N SEQ HASH`, `no N CODE`
(nothing was written), `unknown N CODE`. Each attempt has a number of its own, so that a line which was reported as not
written can be looked for.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import StorageError
from autopilot.leases import decisions
from autopilot.leases.terms import Holder, LeaseTimes, Moment, token_digest
from autopilot.ledger.entry import Draft, LeaseRef, LedgerEntry
from autopilot.storage.postgres.address import Address
from autopilot.storage.postgres.store import PostgresStore, RowParts, RowTransaction
from autopilot.testing.folds import TallyFold

LEASE_EVERY = 7
PAUSE_SECONDS = 0.05


def main(url: str, ledger: str, name: str, over: str, notes: str) -> int:
    """Append until `over` is there; 0 unless something other than a lost connection went wrong."""
    number = 0
    store: PostgresStore | None = None
    with Path(notes).open("w", buffering=1) as said:
        while not Path(over).exists():
            number += 1
            try:
                store = store or PostgresStore.open(RowParts(Address(url), ledger, TallyFold()))
                with store.transaction() as tx:
                    entry = append(store, tx, name, number)
            except StorageError as error:
                said.write(f"{'no' if error.retryable else 'unknown'} {number} {error.code}\n")
                if not error.retryable and error.code != "commit_unknown":
                    raise
                time.sleep(PAUSE_SECONDS)
            else:
                said.write(f"ack {number} {entry.seq} {entry.hash}\n")
    if store is not None:
        store.close()
    return 0


def append(store: PostgresStore, tx: RowTransaction, name: str, number: int) -> LedgerEntry:
    """One line; now and then under a new lease of the client's own task."""
    caller, task = Caller(name, "agent", name), f"T-{name}"
    lease = None
    if number % LEASE_EVERY == 0:
        now = Moment(store.clock.boot_ns(), store.clock.boot_id())
        asking = decisions.Asking(f"{task}/PLAN", Holder(caller), token_digest(name))
        for record in decisions.grant(tx.leases, asking, now, LeaseTimes()).records:
            tx.record_lease(record)
        lease = LeaseRef(f"{task}/PLAN", tx.leases.fence_high(task))
    data = {"code": "attempt", "where": f"{name}-{number}", "detail": "", "reasons": []}
    return tx.append(Draft(kind="violation", caller=caller, task=task, epoch=0, lease=lease, data=data))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
