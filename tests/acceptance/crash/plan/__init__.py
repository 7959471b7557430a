"""The crash plan, T1 to T9: what is tried, counted in one table. `python tests/acceptance/crash/plan/run.py`."""
