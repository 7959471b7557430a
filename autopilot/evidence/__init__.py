"""Evidence: what each artifact must be, and why one is refused.

Everything here is pure: bytes and facts in, reasons out. Nothing here opens a file, runs a command or asks the
time. `contracts.RULES` names the content rule of every artifact; `docs/reference/evidence.md` states them in words.
"""
