"""Values everyone may use: ids, phases, reasons, errors, events, canonical bytes, clock, files.

The kernel imports nothing else of autopilot.
"""
