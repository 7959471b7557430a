"""The whole engine on a simulated machine: no rule is broken, every planted bug is found, and a seed repeats a run."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from os import environ
from pathlib import Path

import pytest

from autopilot.testing.simulation.__main__ import main, replay, told
from autopilot.testing.simulation.mix import MIX
from autopilot.testing.simulation.plants import PLANTS
from autopilot.testing.simulation.run import Outcome, run

# The first seed that finds the bug, and how many steps a run has for it. Other seeds are tried if it does not.
FOUND_BY = {
    "no-fence-check": (1, 60),
    "no-lock": (1, 60),
    "ack-before-sync": (1, 100),
    "grant-not-synced": (1, 100),
    "object-after-line": (1, 60),
    "object-not-synced": (1, 60),
    "torn-tail-accepted": (1, 200),
    "sequence-check-out": (1, 100),
    "stale-read-not-retried": (22, 150),
    "approval-not-consumed": (1, 150),
    "agent-approves": (1, 200),
    "held-task-moves": (1, 100),
    "lease-runs-out-early": (1, 60),
}
TRIED = 24


def run_in(folder: Path, seed: int, steps: int, plant: str = "") -> Outcome:
    """One run in a folder of its own; says the seed, and how to repeat it."""
    folder.mkdir()
    outcome = run(folder, seed=seed, steps=steps, plant=plant)
    print(told(outcome), outcome.broken, replay(outcome, steps, plant), sep="\n")
    return outcome


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_rule_is_broken(tmp_path: Path, seed: int) -> None:
    """Several processes, crashes, power losses, failing disks, cheats: the raw bytes keep every rule."""
    outcome = run_in(tmp_path / "run", seed, 200)
    assert not outcome.broken, replay(outcome, 200)
    assert outcome.moves
    assert outcome.tally["kills"]


@pytest.mark.parametrize("plant", PLANTS)
def test_every_planted_bug_is_found(tmp_path: Path, plant: str) -> None:
    """A simulation that finds nothing wrong with a broken engine says nothing of a good one."""
    first, steps = FOUND_BY[plant]
    for seed in [first, *(other for other in range(1, TRIED + 1) if other != first)]:
        if run_in(tmp_path / f"seed-{seed}", seed, steps, plant).broken:
            return
    pytest.fail(f"{plant} was put in, and {TRIED} runs of {steps} steps kept every rule")


def test_a_seed_repeats_its_run_byte_for_byte(tmp_path: Path) -> None:
    """In another folder, and in another process with other hashes of strings."""
    here = run_in(tmp_path / "here", 7, 80)
    there = run_in(tmp_path / "there", 7, 80)
    assert (here.head, here.lines, here.tally) == (there.head, there.lines, there.tally)
    ledgers = [sorted((tmp_path / place / "state" / "ledger" / "seg").iterdir()) for place in ("here", "there")]
    assert [path.read_bytes() for path in ledgers[0]] == [path.read_bytes() for path in ledgers[1]]
    ran = subprocess.run(
        [sys.executable, "-m", "autopilot.testing.simulation", "--seed", "7", "--steps", "80"],
        env={**environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert told(here) in ran.stdout


def test_a_failing_seed_says_how_to_repeat_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--seed", "1", "--steps", "60", "--plant", "no-lock"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "again: python -m autopilot.testing.simulation --seed 1 --steps 60 --plant no-lock" in said


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_many_seeds(tmp_path: Path) -> None:
    """Every operation has been done, every phase was left, and nothing was ever broken."""
    total: Counter[str] = Counter()
    for seed in range(1000, 1150):
        outcome = run_in(tmp_path / f"seed-{seed}", seed, 600)
        assert not outcome.broken, replay(outcome, 600)
        total += outcome.tally
    print(total.most_common())
    assert {operation.__name__ for operation in MIX} <= set(total)
    assert {
        f"left {phase}" for phase in ("STRATEGIZE", "PLAN", "IMPLEMENT", "VERIFY", "REVIEW", "PR", "MONITOR")
    } <= set(total)
    assert total["power losses"]
    assert total["repair"]


def test_the_page_names_every_planted_bug() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "simulation.md").read_text()
    assert all(f"| `{name}` | {plant.meaning} |" in page for name, plant in PLANTS.items())
