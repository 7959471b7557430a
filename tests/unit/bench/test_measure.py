"""The stopwatch: percentiles by nearest rank, steps in turn, untimed steps done all the same."""

from __future__ import annotations

import pytest

from autopilot.bench.measure import Step, figures_of, measure


def test_percentiles_are_by_nearest_rank_and_in_microseconds():
    found = figures_of([number * 1_000 for number in range(1, 101)])
    assert (found.count, found.p50, found.p95, found.p99) == (100, 50.0, 95.0, 99.0)


def test_a_single_call_is_every_percentile():
    found = figures_of([7_000])
    assert (found.p50, found.p95, found.p99) == (7.0, 7.0, 7.0)


def test_nothing_measured_is_no_figure():
    with pytest.raises(ValueError, match="nothing was measured"):
        figures_of([])


def test_steps_run_in_turn_so_that_a_disturbance_meets_all_of_them():
    order: list[str] = []
    steps = [
        Step(lambda _: order.append("floor"), "floor"),
        Step(lambda _: order.append("prepare")),
        Step(lambda _: order.append("path"), "path"),
    ]
    found = measure(steps, 3, warm_up=1)
    assert order == ["floor", "prepare", "path"] * 4
    assert {name: figures.count for name, figures in found.items()} == {"floor": 3, "path": 3}


def test_each_step_may_have_a_clock_of_its_own():
    ticks = iter(range(0, 1_000_000, 5_000))
    found = measure([Step(lambda _: None, "path", lambda: next(ticks))], 10, warm_up=0)
    assert found["path"].p50 == 5.0


def test_every_round_has_its_own_number():
    numbers: list[int] = []
    measure([Step(numbers.append)], 3, warm_up=2)
    assert numbers == [0, 1, 2, 3, 4]
