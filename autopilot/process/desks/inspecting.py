"""The inspection desk: what a person is shown before an answer, from the engine's trees. Nothing is recorded."""

from __future__ import annotations

from dataclasses import dataclass

from autopilot.process.engine import Engine
from autopilot.process.origin import origin_tree, uncommitted
from autopilot.process.site import Site
from autopilot.vcs.diff import FileChange


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs from the task's base: the judged tree where there is one, else the working tree as it is now."""

    tree: str
    changes: tuple[FileChange, ...]


class InspectionDesk:
    """Reads what concerns a task from the trees."""

    def __init__(self, engine: Engine, site: Site) -> None:
        self._engine = engine
        self._site = site

    def changes(self, task_id: str) -> Changes:
        """The task's change so far; ContractError `unknown_task`, and what a tree that cannot be read raises."""
        task, trees = self._engine.task(self._engine.store.view().state, task_id), self._site.trees
        tree = task.judged_tree or trees.snapshot(base_tree=task.base_tree).tree
        return Changes(tree, tuple(trees.changes(origin_tree(self._site, task), tree)))

    def uncommitted(self, task_id: str) -> tuple[str, ...]:
        """The paths that were edited, and not committed, when the task opened."""
        task = self._engine.task(self._engine.store.view().state, task_id)
        return tuple(sorted(uncommitted(self._site, task)))
