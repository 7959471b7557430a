"""What tests of autopilot, and of programs built on it, may use: a clock they own, a small fold, contract suites.

Nothing in the engine imports it.
"""
