"""Leases: at most one holder of a task, and a fence that tells the current one from those before.

`terms` holds the values, `records` the lease log's records (`stored` reads them back), `book` their fold,
`decisions` and `handover` the rules, `liveness` the proof that a process is dead. All but `liveness` is pure:
values in, records out.
"""
