"""Objects of a move: an agent that puts other bytes in their place before they are on the disk is put on record."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from autopilot.bench.floors import UnsyncedFiles
from autopilot.bench.workplace import TASK, Workplace
from autopilot.kernel.errors import TransitionRefusedError


def test_an_object_taken_while_it_was_staged_is_a_violation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Workplace(tmp_path, files=UnsyncedFiles())) as place:
        place.prepare(0)
        objects = place.store.objects
        stage = objects.stage

        def stage_and_take_the_place(data: bytes) -> str:
            digest: str = stage(data)
            folder = tmp_path / "state" / "evidence" / ".objects" / digest[:2]
            (folder / digest).write_bytes(b"other bytes")
            return digest

        monkeypatch.setattr(objects, "stage", stage_and_take_the_place)
        with pytest.raises(TransitionRefusedError) as caught:
            place.move()
        monkeypatch.undo()
        assert caught.value.verdict.codes() == ("evidence_edited",)
        assert place.store.view().state.tasks[TASK].stage == "STRATEGIZE"
        last = list(place.store.entries())[-1]
        assert (last.seq, last.kind, last.data["code"]) == (caught.value.seq, "violation", "evidence_edited")


def test_the_objects_of_a_move_are_there_when_its_line_is(tmp_path: Path) -> None:
    with closing(Workplace(tmp_path, files=UnsyncedFiles())) as place:
        place.prepare(0)
        entry = place.move()
        for digest in (*(ref.sha256 for ref in entry.artifacts), entry.data["journal"]):
            assert place.store.objects.has(digest)
