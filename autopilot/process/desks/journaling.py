"""The journal desk: one entry for each move, sealed before it and projected after it.

The entry is an object that the move's ledger line names; `state/journal/<TASK>.jsonl` is a projection that can be
deleted and is made again from ledger and objects. A process that is killed behind its move's line leaves the file one
entry short; whoever opens the workspace next brings it up to date.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from autopilot.journal.entry import Anchor, JournalEntry, Output, SpanRef, entry_bytes, parse_entry, summary_of
from autopilot.journal.projection import PlacedEntry, line_of, render
from autopilot.kernel.callers import Caller
from autopilot.kernel.placing import opened_log, place_file
from autopilot.ledger.entry import LedgerEntry
from autopilot.process.engine import Engine
from autopilot.process.graph import Move
from autopilot.process.runners.values import Collected
from autopilot.process.state import TaskState

_MOVES = frozenset({"phase.transition", "task.closed"})
_USUAL_LINE_BYTES = 1 << 12
_LAST_LINE_BYTES = 1 << 18
# How far back an opening looks for moves that their journal lacks: about a segment, so that it costs the same in a
# ledger of any length.
_LATE_LINES = 4096


class JournalDesk:
    """Seals journal entries and keeps their projection."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # The object sealed last, by its digest: its projection follows at once and need not read it back.
        self._sealed: tuple[str, bytes] = "", b""

    def seal(self, task: TaskState, move: Move, caller: Caller, collected: Collected) -> str:
        """Make the entry of the move to come an object, staged; its digest."""
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
        data = entry_bytes(entry)
        digest = self._engine.store.objects.stage(data)
        self._sealed = digest, data
        return digest

    def project(self, task: TaskState, entry: LedgerEntry) -> None:
        """Add the move's entry to the task's journal file; `task` is the task before the move.

        A file that does not end with the move before (its process was killed before this, or somebody edited it) is
        made anew.
        """
        name = f"journal/{task.id}.jsonl"
        with opened_log(self._engine.state_dir, name) as file:
            follows = _ends_with(file, task.journal_seq)
            if follows:
                digest, sealed = entry.data["journal"], self._sealed
                stored = sealed[1] if sealed[0] == digest else self._engine.store.objects.get(digest)
                os.write(file, line_of(entry.seq, entry.ts, digest, stored))
        if not follows:
            place_file(self._engine.state_dir, name, self.rebuild(task))

    def mend(self) -> None:
        """Make the files anew that lack the last move of their task, of the tasks that moved lately.

        What cannot be read or written is counted like a failed observer: the journal only shows what the ledger says.
        """
        view = self._engine.store.view()
        since = max(0, view.head.seq - _LATE_LINES)
        # A tuple: to rebuild a file is to read the ledger, and tasks that others opened meanwhile come into the state.
        for task in tuple(view.state.tasks.values()):
            if task.journal_seq >= since:
                self._engine.project(partial(self._bring_up_to_date, task))

    def _bring_up_to_date(self, task: TaskState) -> None:
        name = f"journal/{task.id}.jsonl"
        if not _is_complete(self._engine.state_dir / name, task.journal_seq):
            place_file(self._engine.state_dir, name, self.rebuild(task, task.journal_seq + 1))

    def rebuild(self, task: TaskState, stop: int | None = None) -> bytes:
        """The whole projection of a task, from ledger and objects; of the lines before `stop`, where one is given."""
        entries = self._engine.store.entries(task.opened_seq, stop)
        return render(
            [self._placed(e) for e in entries if e.task == task.id and e.kind in _MOVES and e.data.get("journal")]
        )

    def _placed(self, entry: LedgerEntry) -> PlacedEntry:
        return PlacedEntry(entry.seq, entry.ts, parse_entry(self._engine.store.objects.get(entry.data["journal"])))

    def _summary(self, collected: Collected) -> str:
        """The first paragraph of the phase's main document; what the engine found where there is none."""
        for ref in collected.sealed:
            if ref.name.endswith(".md") and ref.origin == "asserted":
                return summary_of(self._engine.store.objects.get(ref.sha256).decode("utf-8", "replace"))
        return "engine evidence: " + ", ".join(ref.name for ref in collected.sealed)


def _is_complete(path: Path, seq: int) -> bool:
    """Whether the file is there and ends with the move `seq`; a look, for every opening asks it of many tasks."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return _ends_with(file, seq)
    finally:
        os.close(file)


def _ends_with(file: int, seq: int) -> bool:
    """Whether the last line of the file is whole and of the move `seq` (-1: whether it is empty yet)."""
    size = os.fstat(file).st_size
    if not size:
        return seq < 0
    for length in (_USUAL_LINE_BYTES, _LAST_LINE_BYTES):
        end = os.pread(file, length, max(0, size - length))
        if b"\n" in end[:-1]:
            break
    last = end[end.rfind(b"\n", 0, -1) + 1 :]
    return last.startswith(b'{"seq":%d,' % seq) and last.endswith(b"\n")
