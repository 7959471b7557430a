"""The demo's plot: make a repository, let the cheats try, let the honest agent work, verify the ledger."""

from __future__ import annotations

from pathlib import Path

from autopilot.cli.demo.cheats import CHEATS, Cheat, Stage, restore
from autopilot.cli.demo.honest import HonestAgent
from autopilot.cli.demo.person import ADA, Person
from autopilot.cli.demo.project import commit, git, make_repository
from autopilot.cli.demo.show import Show
from autopilot.kernel.errors import AutopilotError, ContractError, RefusedError
from autopilot.kernel.phases import PHASES, Terminal
from autopilot.onboarding.detect import propose
from autopilot.sandbox.choose import probe
from autopilot.vcs.repository import Repository
from autopilot.wiring.full import Workspace


def play(folder: Path, show: Show, *, fix: bool = True, cheats: tuple[Cheat, ...] = CHEATS) -> dict[str, object]:
    """The demo on its own repository; the figures of what happened."""
    show.scene(f"A small repository with a real bug, in {folder}")
    repository = make_repository(_made(folder / "shop"))
    govern(repository, show)
    person = Person(repository, show.say)
    with Workspace.open(repository) as workspace:
        show.scene("A cheating agent tries, each cheat on a task of its own")
        refused = sum(_try(cheat, number, workspace, person, show) for number, cheat in enumerate(cheats, 1))
        show.scene("An honest agent takes the fix through all nine phases")
        honest = _work(HonestAgent(workspace, "HONEST-1", repository, fix=fix), person, show)
        return _result(workspace, refused, len(cheats), honest)


def play_on_copy(source: Path, folder: Path, show: Show) -> dict[str, object]:
    """The honest part on a copy of the user's repository: one passing test file is added under governance."""
    from autopilot.cli.demo.visitor import VisitingAgent

    if Repository.locate(source).head_commit() is None:
        raise ContractError("unknown_revision", where=str(source), detail="no commit yet", remedy="commit once")
    show.scene(f"A copy of {source}")
    repository = folder / "copy"
    git(folder, "clone", "-q", "--no-hardlinks", str(source.absolute()), str(repository))
    govern(repository, show)
    person = Person(repository, show.say)
    with Workspace.open(repository) as workspace:
        show.scene("An honest agent adds one test file, through all nine phases")
        honest = _work(VisitingAgent(workspace, "VISIT-1", repository), person, show)
        return _result(workspace, 0, 0, honest)


def govern(repository: Path, show: Show) -> None:
    """What `autopilot init` does, answered with yes; and a commit of it, as a team would."""
    with Workspace.init(repository, caller=ADA) as workspace:
        proposal = propose(repository, ledger_id=workspace.ledger.ledger_id)
    for path, text in proposal.files.items():
        (repository / path).write_text(text)
    with Workspace.open(repository) as workspace:
        workspace.config.seal(ADA)
    commit(repository, "Governed by autopilot")
    show.say("governed: autopilot init wrote " + ", ".join(proposal.files))


def _try(cheat: Cheat, number: int, workspace: Workspace, person: Person, show: Show) -> bool:
    stage = Stage(workspace, person.repository, f"CHEAT-{number}", person)
    try:
        cheat.attempt(stage)
    except AutopilotError as error:
        codes = [reason.code for reason in error.reasons()]
        refused = cheat.expected in codes
        shown = cheat.expected if refused else ", ".join(codes) + f" (expected {cheat.expected})"
        show.act("cheat", cheat.title, f"refused: {shown}" if refused else f"HOLE: {shown}")
    else:
        refused = False
        show.act("cheat", cheat.title, f"HOLE: it was let through (expected {cheat.expected})")
    finally:
        restore(person.repository)
    return refused


def _work(agent: HonestAgent, person: Person, show: Show) -> str:
    agent.open()
    for phase in PHASES:
        agent.prepare(phase)
        try:
            entry = agent.advance(phase, person.approve)
        except RefusedError as refusal:
            show.act("honest", f"leave {phase}", "refused: " + ", ".join(dict.fromkeys(refusal.verdict.codes())))
            for reason in refusal.verdict.reasons:
                show.say(f"        {reason.code} [{reason.where}] {reason.detail}")
            return f"refused in {phase}"
        artifacts = ", ".join(ref.name for ref in entry.artifacts)
        show.act("honest", f"leave {phase} with {artifacts}", f"line {entry.seq}  {entry.hash[:12]}")
    return str(agent.workspace.tasks.show(agent.task).stage)


def _result(workspace: Workspace, refused: int, cheats: int, honest: str) -> dict[str, object]:
    report = workspace.ledger.verify()
    return {
        "passed": refused == cheats and honest == Terminal.CLOSED and report.status == "intact",
        "cheats": cheats,
        "cheats_refused": refused,
        "honest": honest,
        "ledger": report.status,
        "entries": report.entries,
        "isolation": "bwrap" if probe().bubblewrap is not None else "none",
    }


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
