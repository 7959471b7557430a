"""Evidence for others to verify: in-toto Statements v1 in DSSE envelopes.

    envelope = sealed(statement.payload(), key)
    opened(envelope.encode(), [key.verifier])

Values and pure functions; knows neither ledger nor files. `process.statements` says what a task's lines amount to,
`wiring.statements` brings the key.
"""
