"""The shared store: ledger, lease log and objects in PostgreSQL, for several machines at one repository."""
