"""Budgets, rows, and the table as a whole on a small plan: every path measured, none of its figures asserted."""

from __future__ import annotations

import json
import os

import pytest

from autopilot.bench.measure import Figures
from autopilot.bench.scale import alone, crowd, open_and_append, prove_line, threads, verification, write_ledger
from autopilot.bench.table import APPEND, OPEN, VERIFY, timed
from autopilot.bench.workplace import TASK, Workplace
from autopilot.cli import bench


def test_a_ratio_is_held_against_the_floor():
    met = timed("append", Figures(10, 130, 1, 1), ("floor", Figures(10, 100, 1, 1)), APPEND)
    missed = timed("append", Figures(10, 131, 1, 1), ("floor", Figures(10, 100, 1, 1)), APPEND)
    assert (met.ratio, met.met, missed.met) == (1.3, True, False)


def test_a_time_is_held_against_the_clock_even_beside_a_floor():
    assert timed("open", Figures(10, 39_000, 1, 1), ("floor", Figures(10, 1, 1, 1)), OPEN).met is True
    assert timed("open", Figures(10, 41_000, 1, 1), budget=OPEN).met is False


def test_a_path_without_a_budget_is_neither_met_nor_missed():
    row = timed("router", Figures(10, 20, 30, 40))
    assert (row.met, row.budget, row.ratio) == (None, "", None)


def test_a_rate_has_a_least():
    assert VERIFY.met_by(200_000)
    assert not VERIFY.met_by(199_999)


@pytest.mark.parametrize("entries", [1, 2, 4_096, 4_097, 8_200])
def test_a_ledger_written_for_measuring_verifies_and_is_as_long_as_asked(tmp_path, entries):
    checked = verification(write_ledger(tmp_path / "state", entries).state_dir)
    assert checked.intact
    assert checked.entries == entries


def test_what_is_done_to_a_large_ledger_is_done_in_a_process_of_its_own(tmp_path):
    folder = write_ledger(tmp_path / "state", 4_200).state_dir
    checked = alone(verification, folder)
    assert (checked.result.intact, checked.result.entries) == (True, 4_200)
    assert checked.peak_bytes > 1_000_000
    assert alone(open_and_append, folder).result == 4_200
    assert alone(prove_line, folder, 17).result == 13
    with pytest.raises(RuntimeError, match="ContractError"):
        alone(prove_line, folder, 99_999)


def test_threads_share_syncs_and_lose_nothing(tmp_path):
    figures, per_second, syncs = threads(tmp_path / "state", 64, 8)
    assert figures.count == 64
    assert per_second > 0
    assert 0 < syncs <= 64
    assert verification(tmp_path / "state").entries == 65


def test_the_crowd_leaves_one_chain(tmp_path):
    found = crowd(tmp_path / "state", 20)
    assert found.whole
    assert found.entries == 1 + 8 * 5


def test_a_move_is_the_full_one_and_can_be_repeated(tmp_path):
    place = Workplace(tmp_path / "place")
    for number in range(3):
        place.prepare(number)
        entry = place.move()
        assert [ref.name for ref in entry.artifacts] == ["strategy.md", "edge_cases.md"]
        assert entry.data["attestation"]["status"] == "attested"
        assert entry.lease is not None
        place.back()
    assert place.workspace.tasks.show(TASK).backtracks == 3
    assert place.workspace.engine.failed_observers == 0
    assert (tmp_path / "place" / "state" / "telemetry" / "traces.jsonl").stat().st_size > 0
    place.close()


def test_the_command_prints_every_path_and_leaves_nothing_behind(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--iterations", "4", "--entries", "5000", "--json"]
    assert bench.run("bench", words) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["schema_version"] == 1
    paths = [row["path"] for row in shown["rows"]]
    assert len(paths) == len(set(paths)) == (19 if (os.cpu_count() or 1) > 1 else 18)
    assert all(row["p50_us"] > 0 for row in shown["rows"])
    assert sum(row["met"] is not None for row in shown["rows"]) == 12
    assert list(tmp_path.iterdir()) == []
