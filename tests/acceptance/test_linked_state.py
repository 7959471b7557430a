"""An agent puts a link where the engine writes: nothing is written elsewhere, and nothing elsewhere is believed.

Red without: `kernel.placing` below `Engine.place_evidence`; `Engine.read_evidence`; `_handed_in` in
process/desks/evidencing.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from governed import AGENT, TASK, Governed, Prepare, expect_refusal

from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.kernel.phases import Phase


def _link_away(governed: Governed, name: str) -> Path:
    """Move a folder below the state directory out of it and leave a link behind."""
    place, away = governed.state_dir / name, governed.root.parent / f"away-of-{governed.root.name}"
    place.rename(away)
    place.symlink_to(away)
    return away


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", [f"evidence/{TASK}", f"evidence/{TASK}/strategize", "evidence"])
def test_export_writes_nothing_elsewhere(at: Prepare, name: str) -> None:
    governed = at(Phase.SPEC)
    (governed.state_dir / "evidence" / TASK / "strategize" / "strategy.md").unlink()
    away = _link_away(governed, name)
    before = _content(away)
    with pytest.raises(IntegrityError) as caught:
        governed.workspace.evidence.export(TASK)
    assert caught.value.code == "state_linked"
    assert _content(away) == before


def test_export_to_a_folder_of_ones_own_follows_no_link_below_it(at: Prepare, tmp_path: Path) -> None:
    governed = at(Phase.SPEC)
    away, out = tmp_path / "away", tmp_path / "out"
    away.mkdir()
    out.mkdir()
    (out / TASK).symlink_to(away)
    with pytest.raises(IntegrityError):
        governed.workspace.evidence.export(TASK, out)
    assert _content(away) == {}
    (out / TASK).unlink()
    assert governed.workspace.evidence.export(TASK, out)
    assert (out / TASK / "strategize" / "strategy.md").is_file()


@pytest.mark.parametrize("name", [f"evidence/{TASK}", f"evidence/{TASK}/spec", "evidence"])
def test_documents_behind_a_link_are_not_evidence(at: Prepare, name: str) -> None:
    governed = at(Phase.SPEC)
    governed.agent.prepare(Phase.SPEC)
    _link_away(governed, name)
    with expect_refusal(governed, "artifact_linked"):
        governed.advance()
    with pytest.raises(ContractError) as caught:
        governed.workspace.evidence.add(TASK, governed.state_dir / "evidence" / TASK / "spec" / "spec.md", caller=AGENT)
    assert caught.value.code == "artifact_linked"


def test_a_skeleton_is_not_written_through_a_link(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    away = governed.root.parent / "away"
    away.mkdir()
    folder = governed.state_dir / "evidence" / TASK / "spec"
    if folder.is_dir():
        folder.rename(governed.root.parent / "old")
    folder.symlink_to(away)
    # What is there and cannot be read counts as there: nothing is written, and nobody needs to be told more.
    assert governed.workspace.guidance.write_skeletons(TASK, caller=AGENT) == ()
    assert _content(away) == {}


def test_a_backtrack_moves_nothing_through_a_link_and_stands(at: Prepare) -> None:
    governed = at(Phase.PLAN)
    away = _link_away(governed, f"evidence/{TASK}")
    before = _content(away)
    governed.workspace.enforcer.backtrack(TASK, Phase.SPEC, reason="the spec misses the discount", caller=AGENT)
    assert governed.task.stage == Phase.SPEC
    assert _content(away) == before
    assert governed.workspace.engine.failed_observers


def test_the_journal_is_not_written_through_a_link(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    governed.agent.prepare(Phase.SPEC)
    journal = governed.state_dir / "journal" / f"{TASK}.jsonl"
    victim = governed.root.parent / "victim"
    victim.write_bytes(journal.read_bytes())
    before = victim.read_bytes()
    journal.unlink()
    journal.symlink_to(victim)
    governed.advance()
    assert governed.task.stage == Phase.PLAN
    assert victim.read_bytes() == before
    assert governed.workspace.engine.failed_observers
