"""What a content rule may know beside the bytes: the task, the repository at its base, what earlier phases sealed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from autopilot.evidence.citations import Known
from autopilot.evidence.grounding import Subject
from autopilot.evidence.spec import Spec
from autopilot.evidence.values.tests import BaseInventory
from autopilot.kernel.phases import Phase
from autopilot.kernel.reasons import Reason


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Least figures, all in hundredths of a percent or points from 0 to 100, as their names say."""

    coverage_hundredths: int = 8_000
    quality_hundredths: int = 8_000
    rubric_points: int = 70


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleContext:
    """The facts a rule is given. A fact that is None or empty is one the engine does not have: see each field."""

    task_id: str
    title: str
    phase: Phase
    epoch: int = 0
    paths: frozenset[str] = frozenset()
    """Repository paths at the base of the task."""
    symbols: frozenset[str] = frozenset()
    """Names the repository defines at the base."""
    planned: frozenset[str] = frozenset()
    """Paths that file_map.json adds."""
    uncommitted: frozenset[str] = frozenset()
    """Paths that were edited and not committed when the task opened: counted from the commit, they change with it."""
    spec: Spec | None = None
    """The sealed spec.md; a rule that needs it refuses without it."""
    thresholds: Thresholds = field(default_factory=Thresholds)
    actor: str = ""
    session: str = ""
    implementers: frozenset[tuple[str, str]] = frozenset()
    """(actor, session) of everyone who worked in IMPLEMENT."""
    separate_reviewer: bool = True
    may_be_empty: bool = False
    """The profile lets this artifact's command be not configured."""
    tree: str | None = None
    """The tree that engine-made evidence must be of; None where the caller holds that itself."""
    base_inventory: BaseInventory | None = None
    """The tests of the base; None where the profile takes none."""
    changed_paths: frozenset[str] | None = None
    """Paths the sealed modified_files.json names; None where there is none yet."""
    changed_tests: tuple[str, ...] = ()
    """Test files that the task added or changed, and that hold tests."""
    commit: str | None = None
    """The commit PR is left with; None before there is one."""
    evidence_excerpt: str | None = None
    """What the engine writes into pr_template_filled.md."""
    state_dir: str = "state"
    """The folder of the engine's own state, relative to the repository root."""

    @property
    def subject(self) -> Subject:
        """The title and what may be cited."""
        return Subject(self.title, Known(self.paths | self.planned, self.symbols))


Rule = Callable[[bytes, RuleContext], tuple[Reason, ...]]
