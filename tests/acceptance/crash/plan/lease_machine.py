"""T7: the state machine of the leases, from a seed, with a count of what it did."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import ModuleType

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from autopilot.testing.power.trials import LossError
from crash.plan.counting import Ask, Tried

_MACHINE = Path(__file__).resolve().parents[3] / "unit" / "leases" / "test_lease_machine.py"
EXAMPLES = 60


def machine() -> ModuleType:
    """The module that holds the machine."""
    known = sys.modules.get("lease_machine_of_the_plan")
    if known is not None:
        return known
    spec = importlib.util.spec_from_file_location("lease_machine_of_the_plan", _MACHINE)
    if spec is None or spec.loader is None:
        raise LossError(f"no machine at {_MACHINE}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def trials(ask: Ask) -> Iterator[Tried]:
    """Each step of each example is held against the model. Long: seed after seed."""
    for seed in count(ask.seed):
        steps = 0

        class Counted(machine().Leases):  # type: ignore[name-defined, misc]
            _hypothesis_internal_use_seed = seed

            def check_invariants(self, *words: object, **named: object) -> None:
                nonlocal steps
                steps += 1
                super().check_invariants(*words, **named)

        limits = settings(
            max_examples=EXAMPLES,
            stateful_step_count=40,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        )
        try:
            run_state_machine_as_test(Counted, settings=limits)
        except Exception as error:
            raise LossError(f"seed {seed}: {type(error).__name__} {error}") from error
        yield Tried(steps)
        if not ask.long:
            return
