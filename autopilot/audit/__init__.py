"""Checks over a whole repository and its ledger, on top of the engine."""
