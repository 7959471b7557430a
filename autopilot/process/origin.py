"""The tree that a task's change is counted from.

A task opens on the working tree as it is, edits that nobody committed included. What ships with its commit is counted
from the commit it was opened on: an uncommitted edit from before is part of the change, stands in the plan, in the
diff and in the review like any other. Two files are excepted, as `autopilot init` leaves them uncommitted.
"""

from __future__ import annotations

from autopilot.kernel.configuration import SETTINGS_FILE
from autopilot.onboarding.render import with_ignored
from autopilot.process.site import Site
from autopilot.process.state import TaskState

_IGNORE_FILE = ".gitignore"


def origin_tree(site: Site, task: TaskState) -> str:
    """The commit's tree, with the files of `init` as the task found them; the base tree where there was no commit."""
    if not task.base_commit:
        return task.base_tree
    committed = site.repository.commit_tree(task.base_commit)
    if committed == task.base_tree:
        return committed
    # What autopilot.toml says counts for nothing until a person sealed it.
    kept = [SETTINGS_FILE] if site.trees.read(task.base_tree, SETTINGS_FILE) is not None else []
    if _ignores_state_alone(site, committed, task.base_tree):
        kept.append(_IGNORE_FILE)
    return site.trees.overlaid(committed, task.base_tree, tuple(kept))


def uncommitted(site: Site, task: TaskState) -> frozenset[str]:
    """The paths that were edited, and not committed, when the task opened."""
    return frozenset(change.path for change in site.trees.changes(origin_tree(site, task), task.base_tree))


def _ignores_state_alone(site: Site, committed: str, base: str) -> bool:
    """Whether the uncommitted part of `.gitignore` is the line that `init` adds, and nothing more."""
    if not site.state_dir.is_relative_to(site.root):
        return False
    before, now = site.trees.read(committed, _IGNORE_FILE), site.trees.read(base, _IGNORE_FILE)
    folder = site.state_dir.relative_to(site.root).as_posix()
    return now is not None and now == with_ignored((before or b"").decode("utf-8", "replace"), folder).encode()
