"""`autopilot checkpoint validate`: tests, build, unfinished code, evidence and ledger in one answer."""

from __future__ import annotations

import os

from autopilot.audit.checkpoint import CheckpointReport, Ledger, validate
from autopilot.cli import console, opened, options
from autopilot.cli.failure import show_reasons
from autopilot.cli.ledger import verify_here
from autopilot.cli.options import Call, Parser
from autopilot.kernel.configuration import SETTINGS_FILE
from autopilot.kernel.errors import IntegrityError
from autopilot.kernel.phases import Terminal
from autopilot.kernel.settings import load_settings
from autopilot.kernel.throwaway import throwaway
from autopilot.ledger.verify import VerifyReport
from autopilot.process.ports import Objects
from autopilot.process.site import Site
from autopilot.storage.memory import MemoryObjects
from autopilot.vcs.repository import Repository
from autopilot.vcs.trees import EngineTrees
from autopilot.wiring.full import state_dir


def parser() -> Parser:
    """The parser of `autopilot checkpoint`."""
    checkpoint = options.command("checkpoint", "is the claimed state really complete?")
    verbs = options.verbs_of(checkpoint)
    validating = options.verb(verbs, "validate", "tests, build, unfinished code, evidence, ledger; not 0 with reasons")
    validating.add_argument(
        "--no-state", action="store_true", help="the repository has no ledger: leave those checks out"
    )
    return checkpoint


def run(name: str, words: list[str]) -> int:
    """Validate; the exit code of the gravest reason."""
    del name
    args = parser().parse_args(words)
    call = options.read_call(args)
    console.say("validating: tests and build run, this takes as long as they take")
    report = _ungoverned(call, None) if args.no_state else _governed(call)
    if call.as_json:
        console.emit(report.as_dict())
    else:
        _show(report)
    console.next_step("autopilot status" if report.verdict.admitted else "autopilot checkpoint validate")
    return report.verdict.exit_code


def _governed(call: Call) -> CheckpointReport:
    if opened.is_served(call):
        return _served(call)
    verified, _ = verify_here(call)
    evidence = state_dir(Repository.locate(call.directory), call.environ) / "evidence"
    try:
        with opened.reading(call) as workspace:
            ledger = Ledger(report=verified, tasks=workspace.tasks.list(), evidence=evidence)
            return validate(workspace.site, workspace.engine.settings, ledger)
    except IntegrityError as error:
        # The store does not open: the other checks are made all the same.
        if verified.intact:
            verified = VerifyReport("corrupt", error.code, 0, 0, error.detail, error.where)
        return _ungoverned(call, Ledger(report=verified, tasks=None, evidence=evidence))


def _served(call: Call) -> CheckpointReport:
    """The project is looked at here; ledger and evidence are asked of the daemon."""
    with opened.reading(call) as workspace, throwaway("autopilot-evidence-") as folder:
        tasks = workspace.tasks.list()
        for task in tasks:
            if task.stage not in Terminal.__members__:
                workspace.evidence.export(task.id, folder)
        ledger = Ledger(report=workspace.ledger.verify(), tasks=tasks, evidence=folder)
        return _ungoverned(call, ledger, workspace.ledger.objects)


def _ungoverned(call: Call, ledger: Ledger | None, objects: Objects | None = None) -> CheckpointReport:
    repository = Repository.locate(call.directory)
    path = repository.main_worktree / SETTINGS_FILE
    settings = load_settings(path if path.is_file() else None, call.environ)
    with throwaway("autopilot-checkpoint-") as state:
        site = Site(
            root=repository.root,
            state_dir=state,
            repository=repository,
            trees=EngineTrees(repository, state / "git", exclude=()),
            objects=objects or MemoryObjects(),
            environ=dict(os.environ),
        )
        return validate(site, settings, ledger)


def _show(report: CheckpointReport) -> None:
    for check in report.checks:
        console.show(f"{'ok ' if check.ok else 'no '} {check.name:<11} {console.clean(check.detail)}")
        show_reasons([reason.as_dict() for reason in check.reasons])
    failed = sum(not check.ok for check in report.checks)
    console.show(f"{len(report.checks) - failed} of {len(report.checks)} checks passed")
