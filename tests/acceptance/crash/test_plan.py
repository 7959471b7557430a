"""The short tier of the crash plan, T1 to T9; the table of its counts is at the end of the run.

Each row runs in a process of its own, because some of them fork. A failing one names its seed, the state, and the
command that repeats it. The long tier is `make soak`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crash.plan import items

SEED = os.environ.get("AUTOPILOT_SEED", "1")
RUN = Path(__file__).parent / "plan" / "run.py"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("item", items.ITEMS, ids=lambda item: item.name)
def test_nothing_acknowledged_is_lost(item: items.Item, record_property: Callable[[str, object], None]) -> None:
    missing = item.skip()
    if missing and os.environ.get("CI"):
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)
    command = [sys.executable, str(RUN), "--short", "--json", "--only", item.name, "--seed", SEED]
    done = subprocess.run(command, capture_output=True, text=True, timeout=850, check=False)
    assert done.stdout, done.stderr
    (row,) = json.loads(done.stdout)
    record_property("crash_plan", row)
    assert (row["lost"], done.returncode) == ([], 0)
    assert row["states"] > 0
