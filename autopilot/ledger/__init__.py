"""The ledger: a hash-chained log of lines, each of which commits one fact.

Pure: entries, chain, Merkle range, kinds, and the rules of verification. `storage` keeps the bytes.
"""
