"""Governed repositories for the acceptance tests: really made once, then copied.

`Stock.at(phase)` gives a copy of a real git repository whose task T-1 an honest agent took into `phase`. The copy has
its own ledger, leases, objects and marker; nothing is mocked but the clock, which stands still until a test moves it.

Where isolation is missing, the move out of PLAN waits for a person who reads the accept blocks. `Governed` plays her,
as the demo does; a test about that very wait asks the enforcer itself.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from autopilot.cli.demo.honest import AGENT, FILE_MAP, REVIEWER, HonestAgent
from autopilot.cli.demo.project import FILES, git, make_repository
from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import sha256_hex
from autopilot.kernel.errors import RefusedError
from autopilot.kernel.phases import PHASES, Phase
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.ledger.entry import LedgerEntry
from autopilot.onboarding.detect import propose
from autopilot.process.ports import Store, Transaction
from autopilot.process.state import TaskState
from autopilot.sandbox.choose import probe
from autopilot.testing.clock import FakeClock
from autopilot.wiring.full import Outside, Workspace

HUMAN = Caller("ada", "human", "tty-1")
OTHER = Caller("agent-other", "agent", "other-1")
TASK = "T-1"
BASE_CONFTEST = {"tests/conftest.py": '"""Nothing here yet."""\n'}


@dataclass
class Governed:
    """One governed repository, opened, with the honest agent that works in it."""

    root: Path
    workspace: Workspace
    clock: FakeClock
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def agent(self) -> HonestAgent:
        """The scripted honest agent of T-1."""
        return HonestAgent(self.workspace, TASK, self.root)

    @property
    def state_dir(self) -> Path:
        """Where the state lies."""
        return self.workspace.state_dir

    @property
    def task(self) -> TaskState:
        """T-1 as the ledger has it."""
        return self.workspace.tasks.show(TASK)

    @property
    def where(self) -> tuple[str, int]:
        """Stage and epoch of T-1."""
        return self.task.stage, self.task.epoch

    def caller(self) -> Caller:
        """Who works in the current phase."""
        return REVIEWER if self.task.stage == Phase.REVIEW else AGENT

    def advance(self, to: str | Phase | None = None, *, caller: Caller | None = None) -> LedgerEntry:
        """One move of T-1 as whoever works in its phase."""
        who, move = caller or self.caller(), self.workspace.enforcer.advance_phase
        try:
            return move(TASK, to, caller=who)
        except RefusedError as refusal:
            if not waits_for_isolation(refusal.verdict):
                raise
            self.approve(TASK, refusal)
        return move(TASK, to, caller=who)

    def verify(self) -> Verdict:
        """Run the checks of T-1's phase as whoever works in it; what is still unmet."""
        who, check = self.caller(), self.workspace.enforcer.verify
        found = check(TASK, caller=who).verdict
        if waits_for_isolation(found):
            self.approve(TASK, RefusedError(found))
            found = check(TASK, caller=who).verdict
        return found

    def work(self, *, until: Phase | None = None) -> None:
        """Let the honest agent go on."""
        self.agent.run(until=until, human=self.approve)

    def approve(self, task: str, refusal: RefusedError) -> None:
        """Play the human: approve all that the refusal waits for."""
        for subject in sorted({reason.subject for reason in refusal.verdict.reasons if reason.subject}):
            self.workspace.approvals.approve(task, subject, reason="looked at the diff", caller=HUMAN)

    def evidence(self, phase: Phase | str, name: str, task: str = TASK) -> Path:
        """The path of an artifact of the current epoch."""
        return self.state_dir / "evidence" / task / str(phase).lower() / name

    def object(self, sha256: str) -> Path:
        """The sealed bytes of a digest, as they lie on disk."""
        return self.state_dir / "evidence" / ".objects" / sha256[:2] / sha256

    def lines(self, kind: str = "") -> list[LedgerEntry]:
        """The ledger's lines, or those of one kind."""
        return [entry for entry in self.workspace.ledger.entries() if not kind or entry.kind == kind]

    def reopen(self, *, clock: FakeClock | None = None, **environ: str) -> None:
        """Close the workspace and open it anew, as another process would."""
        self.workspace.close()
        self.environ |= environ
        self.clock = clock or self.clock
        self.workspace = Workspace.open(self.root, outside=Outside(environ=self.environ, clock=self.clock))

    def overtake(self, call: Callable[[Workspace], object]) -> None:
        """Let `call`, of another opened workspace, come between the next decision and its line."""

        def meanwhile() -> None:
            with Workspace.open(self.root, outside=Outside(environ=self.environ, clock=self.clock)) as other:
                call(other)

        self.workspace.engine.store = Overtaken(self.workspace.ledger, meanwhile)

    def settings(self, change: Callable[[str], str]) -> None:
        """Edit autopilot.toml and open the workspace anew."""
        path = self.root / "autopilot.toml"
        path.write_text(change(path.read_text()))
        self.reopen()

    def git(self, *words: str) -> str:
        """One git command in the repository, as an agent would type it."""
        return git(self.root, *words)


def waits_for_isolation(verdict: Verdict) -> bool:
    """Whether all that is unmet is that this machine cannot isolate the accept blocks."""
    return probe().bubblewrap is None and set(verdict.codes()) == {"accept_unisolated"}


class Overtaken:
    """The store of a workspace, with one other call let in just before its next transaction.

    That is the moment between decision and line: what has to be asked again under the lock is asked too late without.
    """

    def __init__(self, store: Store, meanwhile: Callable[[], object]) -> None:
        self._store = store
        self._meanwhile: Callable[[], object] | None = meanwhile

    def transaction(self) -> AbstractContextManager[Transaction]:
        """As the store's, behind the other call."""
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return self._store.transaction()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@dataclass
class Refusal:
    """What a refused call said, and the ledger line that records it; filled when the `expect_refusal` block ends."""

    reasons: tuple[Reason, ...] = ()
    exit_code: int = 0
    line: LedgerEntry | None = None

    @property
    def subjects(self) -> tuple[str, ...]:
        """What a person could approve."""
        return tuple(sorted({reason.subject for reason in self.reasons if reason.subject}))


@contextmanager
def expect_refusal(governed: Governed, code: str | tuple[str, ...], *, task: str = TASK) -> Iterator[Refusal]:
    """The block is refused with `code` (or one of them), the task does not move, and the ledger says so."""
    wanted = {code} if isinstance(code, str) else set(code)
    refusal = Refusal()
    shown = governed.workspace.tasks.show
    before, head = (shown(task).stage, shown(task).epoch), governed.workspace.ledger.view().head.seq
    caught: RefusedError | None = None
    try:
        yield refusal
    except RefusedError as error:
        caught = error
    assert caught is not None, f"not refused: {code} was due"
    codes = set(caught.verdict.codes())
    assert codes & wanted, f"refused with {codes}, not {wanted}: {[r.detail[:200] for r in caught.reasons()]}"
    assert (shown(task).stage, shown(task).epoch) == before, f"the task moved on from {before}"
    assert all(reason.remedy for reason in caught.reasons()), "a reason without a remedy"
    assert caught.seq is not None, "the refusal names no ledger line"
    assert caught.seq > head, "the refusal was not recorded anew"
    line = next(iter(governed.workspace.ledger.entries(caught.seq, caught.seq + 1)))
    assert line.kind in _REFUSING_KINDS, f"line {line.seq} is {line.kind}"
    said = {line.data.get("code")} | {reason["code"] for reason in line.data.get("reasons", ())}
    assert said & wanted, f"line {line.seq} ({line.kind}) says {said}, not {wanted}"
    refusal.reasons, refusal.exit_code, refusal.line = caught.reasons(), caught.verdict.exit_code, line


_REFUSING_KINDS = ("violation", "gate.verdict", "lease.contended", "tool.refused")


Prepare = Callable[..., Governed]
"""`at(phase, plan=…)`: the fixture that hands out copies."""


class Stock:
    """Prepared repositories by phase and plan, made when first asked for."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._made: dict[tuple[Phase, str], Path] = {}
        self._clocks: dict[tuple[Phase, str], FakeClock] = {}
        self._copies = 0
        # What a person's shell has, without anything that steers autopilot itself.
        self.environ = {key: value for key, value in os.environ.items() if not key.startswith("AUTOPILOT_")}

    def fresh(self, target: Path, files: dict[str, str] | None = None) -> Governed:
        """A repository with a ledger and a configuration, and no task."""
        target.mkdir(parents=True)
        make_repository(target, {**FILES, **BASE_CONFTEST} if files is None else files)
        clock, environ = FakeClock(), dict(self.environ)
        workspace = Workspace.init(target, caller=HUMAN, outside=Outside(environ=environ, clock=clock))
        proposal = propose(target, ledger_id=workspace.ledger.ledger_id)
        workspace.close()
        for name, text in proposal.files.items():
            (target / name).write_text(text)
        workspace = Workspace.open(target, outside=Outside(environ=environ, clock=clock))
        return Governed(target, workspace, clock, environ)

    def at(self, phase: Phase, target: Path | None = None, *, plan: tuple[tuple[str, str], ...] = ()) -> Governed:
        """A copy of the repository with T-1 in `phase`; `plan` adds (path, change) entries to its file map."""
        key = (phase, repr(plan))
        if key not in self._made:
            self._make(phase, plan)
        return self._copy(self._made[key], self._clocks[key], target)

    def _copy(self, source: Path, clock: FakeClock, target: Path | None) -> Governed:
        self._copies += 1
        place = target or self._home / f"copy-{self._copies}"
        shutil.copytree(source, place, symlinks=True)
        own, environ = clock.copy(), dict(self.environ)
        return Governed(place, Workspace.open(place, outside=Outside(environ=environ, clock=own)), own, environ)

    def _make(self, phase: Phase, plan: tuple[tuple[str, str], ...]) -> None:
        """Take the nearest prepared repository on, keeping one at each phase on the way."""
        # Named by what it is made for: making it may first make another.
        name = f"made-{phase}-{sha256_hex(repr(plan).encode())[:8]}"
        if plan and phase.position <= Phase.PLAN.position:
            raise ValueError("a plan shows from THINK on")
        if plan:
            governed = self.at(Phase.PLAN, self._home / name)
            agent = replace(governed.agent, planned=entries(plan))
        else:
            governed = self.fresh(self._home / name)
            agent = governed.agent
            agent.open()
        for passed in PHASES[PHASES.index(Phase(governed.task.stage)) :]:
            governed.clock.advance(1)
            if not plan or passed.position > Phase.PLAN.position:
                self._keep(governed, passed, plan)
            if (plan and passed is phase) or passed is PHASES[-1]:
                break
            agent = replace(agent, workspace=governed.workspace)
            agent.prepare(passed)
            agent.advance(passed, governed.approve)
        governed.workspace.close()

    def _keep(self, governed: Governed, phase: Phase, plan: tuple[tuple[str, str], ...]) -> None:
        governed.workspace.close()
        kept = self._home / f"at-{phase}-{len(self._made)}"
        shutil.copytree(governed.root, kept, symlinks=True)
        self._made[phase, repr(plan)] = kept
        self._clocks[phase, repr(plan)] = governed.clock.copy()
        outside = Outside(environ=governed.environ, clock=governed.clock)
        governed.workspace = Workspace.open(governed.root, outside=outside)


def entries(plan: tuple[tuple[str, str], ...]) -> tuple[dict[str, str], ...]:
    """File map entries, each with a reason of its own."""
    known = {entry["path"] for entry in FILE_MAP}
    return tuple(
        {"path": path, "change": change, "why": f"the discount work needs {path} {change} as well"}
        for path, change in plan
        if path not in known
    )
