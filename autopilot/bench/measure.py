"""The stopwatch: steps run in turn, A B A B, so that what disturbs the machine disturbs a path and its floor alike.

Figures are percentiles of single calls, in microseconds. A ratio is taken between the medians of one run.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

NS_PER_US = 1_000
Clock = Callable[[], int]


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a round. A step without a name is done, but not timed."""

    call: Callable[[int], object]
    name: str = ""
    clock: Clock = time.perf_counter_ns


@dataclass(frozen=True, slots=True)
class Figures:
    """Percentiles of one step, in microseconds."""

    count: int
    p50: float
    p95: float
    p99: float


def figures_of(durations_ns: Sequence[int]) -> Figures:
    """The percentiles of `durations_ns` by nearest rank; ValueError if there are none."""
    ordered = sorted(durations_ns)
    if not ordered:
        raise ValueError("nothing was measured")

    def rank(percent: int) -> float:
        return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] / NS_PER_US

    return Figures(len(ordered), rank(50), rank(95), rank(99))


def measure(steps: Sequence[Step], rounds: int, *, warm_up: int = 20) -> dict[str, Figures]:
    """Run all steps in turn, `rounds` times after a warm-up, and return the figures of those that have a name."""
    for number in range(warm_up):
        for step in steps:
            step.call(number)
    taken: dict[str, list[int]] = {step.name: [] for step in steps if step.name}
    gc.collect()
    for number in range(warm_up, warm_up + rounds):
        for step in steps:
            begin = step.clock()
            step.call(number)
            end = step.clock()
            if step.name:
                taken[step.name].append(end - begin)
    return {name: figures_of(durations) for name, durations in taken.items()}
