"""The journal desk: one entry for each move, sealed before it and projected after it.

The entry is an object that the move's ledger line names; `state/journal/<TASK>.jsonl` is a projection that can be
deleted and is made again from ledger and objects.
"""

from __future__ import annotations

import os
from pathlib import Path

from autopilot.journal.entry import Anchor, JournalEntry, Output, SpanRef, entry_bytes, parse_entry, summary_of
from autopilot.journal.projection import PlacedEntry, render
from autopilot.kernel.callers import Caller
from autopilot.ledger.entry import LedgerEntry
from autopilot.process.engine import Engine
from autopilot.process.graph import Move
from autopilot.process.runners.values import Collected
from autopilot.process.state import TaskState

_MOVES = frozenset({"phase.transition", "task.closed"})
_USUAL_LINE_BYTES = 1 << 12
_LAST_LINE_BYTES = 1 << 18


class JournalDesk:
    """Seals journal entries and keeps their projection."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # The entry sealed last, by its digest: its projection follows at once and need not read it back.
        self._sealed: tuple[str, JournalEntry] | None = None

    def seal(self, task: TaskState, move: Move, caller: Caller, collected: Collected) -> str:
        """Make the entry of the move to come an object; its digest."""
        prompt = task.prompts.get(task.stage)
        ids = self._engine.current_span()
        anchors = [Anchor("tree", "base", task.base_tree), Anchor("config", "settings", task.config)]
        if task.judged_tree:
            anchors.append(Anchor("tree", "judged", task.judged_tree))
        anchors += [
            Anchor("artifact", key, item.sha256) for key, item in task.evidence.items() if item.phase != task.stage
        ]
        outputs = tuple(
            Output(ref.name, f"state/evidence/{task.id}/{task.stage.lower()}/{ref.name}", ref.sha256, ref.origin)
            for ref in collected.sealed
        )
        entry = JournalEntry(
            task=task.id,
            origin=str(move.origin),
            target=str(move.target),
            epoch=task.epoch,
            caller=caller,
            anchors=tuple(anchors),
            summary=self._summary(collected),
            outputs=outputs,
            prompt=prompt.last if prompt else None,
            span=None if ids is None else SpanRef(*ids),
        )
        digest = self._engine.store.objects.put(entry_bytes(entry))
        self._sealed = digest, entry
        return digest

    def project(self, task: TaskState, entry: LedgerEntry) -> None:
        """Add the move's entry to the task's journal file; `task` is the task before the move.

        A file that does not end with the move before (its process was killed before this, or somebody edited it) is
        made anew.
        """
        path = self._engine.state_dir / "journal" / f"{task.id}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        if _ends_with(path, task.journal_seq):
            with path.open("ab") as file:
                file.write(render([self._placed(entry)]))
        else:
            fresh = path.with_suffix(f".{os.getpid()}.new")
            fresh.write_bytes(self.rebuild(task))
            fresh.replace(path)

    def rebuild(self, task: TaskState) -> bytes:
        """The whole projection of a task, from ledger and objects."""
        entries = self._engine.store.entries(task.opened_seq)
        return render(
            [self._placed(e) for e in entries if e.task == task.id and e.kind in _MOVES and e.data.get("journal")]
        )

    def _placed(self, entry: LedgerEntry) -> PlacedEntry:
        digest = entry.data["journal"]
        if self._sealed is not None and self._sealed[0] == digest:
            return PlacedEntry(entry.seq, entry.ts, self._sealed[1])
        return PlacedEntry(entry.seq, entry.ts, parse_entry(self._engine.store.objects.get(digest)))

    def _summary(self, collected: Collected) -> str:
        """The first paragraph of the phase's main document; what the engine found where there is none."""
        for ref in collected.sealed:
            if ref.name.endswith(".md") and ref.origin == "asserted":
                return summary_of(self._engine.store.objects.get(ref.sha256).decode("utf-8", "replace"))
        return "engine evidence: " + ", ".join(ref.name for ref in collected.sealed)


def _ends_with(path: Path, seq: int) -> bool:
    """Whether the last line of the file is whole and of the move `seq` (-1: whether there is no file yet)."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            for length in (_USUAL_LINE_BYTES, _LAST_LINE_BYTES):
                file.seek(max(0, size - length))
                end = file.read()
                if b"\n" in end[:-1]:
                    break
    except FileNotFoundError:
        return seq < 0
    last = end[end.rfind(b"\n", 0, -1) + 1 :]
    return last.startswith(b'{"seq":%d,' % seq) and last.endswith(b"\n")
