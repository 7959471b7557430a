"""Clients of a shared ledger, their connections cut at random and the server crashed: nothing acknowledged is lost.

Red without:
- the look-up of a lost commit (a line that stands is reported as not written: `denied`)
- `FOR UPDATE` on the head row (a client ends with an integrity failure)
"""

from __future__ import annotations

import os
import random

import pytest

from autopilot.testing.postgres import find_binaries
from crash.run_postgres import run

SHORT_SECONDS = 8.0
LONG_SECONDS = 60.0


def storm(seconds: float, stops: int) -> None:
    """One run; its seed and figures are printed."""
    binaries = find_binaries()
    if binaries is None:
        reason = "no PostgreSQL here: install it (Debian: apt-get install postgresql)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    figures = run(seconds, stops, random.SystemRandom().randrange(2**32), binaries)
    print(figures)
    assert figures.good, figures
    assert figures.stops == stops
    assert figures.terminated > 0
    assert figures.acknowledged > 0


def test_cut_connections_and_a_crash_lose_nothing() -> None:
    storm(SHORT_SECONDS, 1)


@pytest.mark.soak
def test_the_same_for_a_minute_with_three_crashes() -> None:
    storm(LONG_SECONDS, 3)
