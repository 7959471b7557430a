"""`autopilot doctor`: gathers the facts of this machine and workspace; `onboarding.doctor` judges them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from autopilot.cli import console, opened, options
from autopilot.cli.ledger import verify_here
from autopilot.cli.options import Call, Parser
from autopilot.kernel.configuration import SETTINGS_FILE, Settings
from autopilot.kernel.errors import AutopilotError, ContractError, IntegrityError
from autopilot.kernel.settings import load_settings, unknown_variables
from autopilot.ledger.verify import VerifyReport
from autopilot.onboarding.doctor import Check, MachineFacts, diagnose, filesystem_type, healthy
from autopilot.onboarding.store import StoreFacts
from autopilot.sandbox.choose import probe
from autopilot.sandbox.interpreter import Toolbox
from autopilot.telemetry.setup import Report, Telemetry
from autopilot.vcs.git import run_git, scratch
from autopilot.vcs.obstacles import line_end_conversion, nested_repositories
from autopilot.vcs.repository import Repository
from autopilot.version import VERSION
from autopilot.wiring.full import state_dir
from autopilot.wiring.stores import home_of

# The exit code of a required check that fails; 1 where none is named. The gravest counts, in the order of judgement.
_EXIT_OF_CHECK = {"ledger": 3, "store": 6, "configuration": 2, "python": 6, "git": 6, "isolation": 6, "commands": 6}
_GRAVEST_FIRST = (3, 2, 6, 1)


def parser() -> Parser:
    """The parser of `autopilot doctor`."""
    return options.command("doctor", "check this machine and this repository, and state the trust mode")


def run(name: str, words: list[str]) -> int:
    """Check; 0 if everything required is ok, else what is wrong: 3 ledger, 2 configuration, 6 missing here, 1."""
    del name
    call = options.read_call(parser().parse_args(words))
    repository = Repository.locate(call.directory)
    facts, telemetry = _facts(call, repository)
    checks = diagnose(facts)
    code = _exit_code(checks)
    if call.as_json:
        console.emit(
            {
                "status": "ok" if code == 0 else "failed",
                "trust_mode": facts.trust_mode,
                "checks": [check.as_dict() for check in checks],
                "telemetry_dropped": telemetry.dropped,
            }
        )
    else:
        _show(checks, telemetry)
    console.next_step(_next(checks, facts))
    return code


def _exit_code(checks: tuple[Check, ...]) -> int:
    if healthy(checks):
        return 0
    codes = {_EXIT_OF_CHECK.get(check.name, 1) for check in checks if check.required and not check.ok}
    return next(code for code in _GRAVEST_FIRST if code in codes)


def _facts(call: Call, repository: Repository) -> tuple[MachineFacts, Report]:
    if opened.is_served(call):
        return _served_facts(call, repository)
    place = state_dir(repository, call.environ)
    settings, config_error = _settings(call, repository)
    store, store_problem = _store(call, repository)
    report = None if store_problem else _ledger(call)
    isolation = probe()
    telemetry = Telemetry(place / "telemetry", version=VERSION, environ=call.environ).report()
    exporter = f"files below {telemetry.traces.parent}, OTLP {telemetry.otlp}"
    facts = MachineFacts(
        python_version=sys.version_info[:3],
        git_version=_git_version(),
        isolation_works=isolation.bubblewrap is not None,
        isolation_error="" if isolation.bubblewrap is not None else isolation.detail,
        isolation_wanted=settings.sandbox.isolation,
        state_dir=str(place),
        state_filesystem=_filesystem(place),
        state_writable=os.access(_existing(place), os.W_OK | os.X_OK),
        otel_exporter=exporter if telemetry.recording else "",
        store=store,
        store_problem=store_problem,
        ledger_status=report.status if report else "",
        ledger_reason=(report.reason or "") if report else "",
        ledger_entries=report.entries if report else 0,
        config_error=config_error,
        commands_configured=tuple(settings.commands),
        programs_missing=_programs_missing(settings, repository),
        unknown_variables=unknown_variables(call.environ),
        nested_repositories=nested(repository, place),
        line_end_conversion=line_end_conversion(repository, call.environ),
    )
    return facts, telemetry


def _served_facts(call: Call, repository: Repository) -> tuple[MachineFacts, Report]:
    """What this user sees of an engine that is a daemon's: probed from here, not believed."""
    settings, config_error = _settings(call, repository)
    with opened.reading(call) as workspace:
        greeting, report = workspace.greeting, workspace.ledger.verify()
    place = Path(greeting.state_dir)
    # Root can read everything, and that says nothing of the agents.
    readable = os.geteuid() != 0 and os.access(place, os.R_OK | os.X_OK)
    problem = f"this user can read {place}: no split" if readable else ""
    if greeting.trust_mode == 0 and not problem:
        problem = "the daemon runs as the repository's owner, or as you"
    drafts = repository.main_worktree / "state"
    facts = MachineFacts(
        python_version=sys.version_info[:3],
        git_version=_git_version(),
        isolation_works=greeting.isolation in ("bwrap", "user"),
        isolation_error="" if greeting.isolation in ("bwrap", "user") else "the daemon has neither it nor a third user",
        isolation_by="the daemon runs project code as a third user" if greeting.isolation == "user" else "",
        isolation_wanted="bwrap" if greeting.trust_mode else settings.sandbox.isolation,
        state_dir=str(place),
        state_filesystem=_filesystem(place),
        otel_exporter=f"the daemon's, below {place}",
        ledger_status=report.status,
        ledger_reason=report.reason or "",
        ledger_entries=report.entries,
        config_error=config_error,
        commands_configured=tuple(settings.commands),
        unknown_variables=unknown_variables(call.environ),
        nested_repositories=nested(repository, drafts),
        line_end_conversion=line_end_conversion(repository, call.environ),
        trust_mode=0 if readable else greeting.trust_mode,
        trust_problem=problem or f"served by uid {greeting.engine_uid}, you are {greeting.actor}",
    )
    return facts, Report(place / "telemetry", place / "telemetry", "off", 0, ())


def nested(repository: Repository, place: Path) -> tuple[str, ...]:
    """The repositories inside the repository; none where the names cannot be read, which is refused elsewhere."""
    inside = place.relative_to(repository.root).as_posix() if place.is_relative_to(repository.root) else ""
    try:
        return nested_repositories(repository, exclude=(inside,) if inside else ())
    except AutopilotError:
        return ()


def _settings(call: Call, repository: Repository) -> tuple[Settings, str]:
    path = repository.main_worktree / SETTINGS_FILE
    try:
        return load_settings(path if path.is_file() else None, call.environ), ""
    except ContractError as error:
        return Settings(), f"{error.where}: {error.detail}"


def _ledger(call: Call) -> VerifyReport | None:
    try:
        return verify_here(call)[0]
    except ContractError:
        return None
    except IntegrityError as error:
        return VerifyReport("corrupt", error.code, 0, 0)


def _store(call: Call, repository: Repository) -> tuple[StoreFacts | None, str]:
    """The database that is the store, None for files, and why it is not to be used."""
    try:
        return home_of(repository, state_dir(repository, call.environ), call.environ).described(), ""
    except AutopilotError as error:
        return None, f"{error.code}: {error.detail or error.where}; {error.reasons()[0].remedy}"


def _git_version() -> str:
    try:
        with scratch(None, "sha1") as place:
            return run_git(place, "version").decode("utf-8", "replace").strip()
    except AutopilotError:
        return ""


def _filesystem(place: Path) -> str:
    try:
        return filesystem_type(Path("/proc/self/mountinfo").read_text("utf-8", "replace"), str(place.resolve()))
    except OSError:
        return ""


def _existing(place: Path) -> Path:
    """The folder itself, or the nearest one above it that is there and would hold it."""
    return next(folder for folder in (place, *place.parents) if folder.exists())


def _programs_missing(settings: Settings, repository: Repository) -> tuple[str, ...]:
    toolbox = Toolbox.of(repository.root, settings.python)
    missing: list[str] = []
    for name, command in settings.commands.items():
        for vector in command.vectors:
            try:
                toolbox.resolve(vector[0], source=repository.root)
            except AutopilotError:
                missing.append(f"{vector[0]} (commands.{name})")
    return tuple(dict.fromkeys(missing))


def _show(checks: tuple[Check, ...], telemetry: Report) -> None:
    met, unmet, waiting = "ok  ", "no  ", "note"
    for check in checks:
        sign = met if check.ok else unmet if check.required else waiting
        console.show(f"{sign}  {check.name:<13} {console.clean(check.detail)}")
        if check.remedy:
            console.show(f"      {'':<13} {console.clean(check.remedy)}")
    for problem in telemetry.problems:
        console.show(f"note  {'telemetry':<13} {console.clean(problem)}")


def _next(checks: tuple[Check, ...], facts: MachineFacts) -> str:
    failed = next((check for check in checks if check.required and not check.ok), None)
    if failed is not None:
        return failed.remedy
    return "autopilot status" if facts.ledger_status else "autopilot init"
