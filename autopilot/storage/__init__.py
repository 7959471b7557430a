"""Adapters for what must last: ledger, lease log and sealed objects, in memory and in files.

Only this package touches the files of `state/ledger`, `state/leases` and `state/evidence/.objects`.
"""
