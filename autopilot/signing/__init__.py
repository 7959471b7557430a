"""Signatures: C2SP signed notes (Ed25519), checkpoints of a ledger, a witness's cosignatures, and the owner's keys.

Knows no ledger: a checkpoint is an origin, a size and a root. Only `keys` touches files.
"""
