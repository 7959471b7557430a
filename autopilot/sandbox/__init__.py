"""Runs the project's own commands where they can do no harm, and reads the machine reports they leave.

Project code is never trusted: it runs in a throw-away copy, with an environment made from an allowlist, within
limits, and with its whole process tree ended when the command ends. `run` holds the port, `bwrap` and `plain` the
drivers, `choose` picks one and never downgrades in silence, `reports` reads JUnit XML, coverage JSON and lint
output without running anything.
"""
