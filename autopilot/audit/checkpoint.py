"""Is the claimed state really complete? Five checks, each with its reasons, all of them made however the others end.

- tests: `make test` where the Makefile has such a target, else `commands.test` on a clean checkout
- build: `make build`, else `commands.build`
- unfinished: no comment in production code says that something is still to be done
- evidence: the sealed objects of every open task are there with their digests, and the files beside them are equal
- ledger: it verifies

The last two need a ledger and are left out where there is none by intention. A target of the Makefile is judged by
its exit code alone, and says so; a configured test command must leave a report that lists tests.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from autopilot.kernel.canonical import sha256_hex
from autopilot.kernel.configuration import Settings
from autopilot.kernel.errors import AutopilotError, ContractError
from autopilot.kernel.files import read_regular
from autopilot.kernel.phases import Terminal
from autopilot.kernel.reasons import Reason, Verdict, refused
from autopilot.ledger.verify import VerifyReport
from autopilot.process.execution import Ran, Workshop
from autopilot.process.site import Site
from autopilot.process.state import TaskState
from autopilot.sandbox.environment import index_environment
from autopilot.sandbox.plain import PlainRunner
from autopilot.sandbox.reports.junit import Outcome, parse_junit
from autopilot.sandbox.run import MIB, CommandSpec

_MAKE_SECONDS = 3600
_TAIL_CHARS = 2000
_FILE_CAP_BYTES = 64 * MIB
_SHOWN = 20
# What a target may learn of its caller beside the package index: whether this is CI, and where its test data is.
_PASSED_ON = ("CI", "AUTOPILOT_TEST_DATA")
# In two parts, or this file would be its own first finding.
_MARKS = "|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"))
_MARK = re.compile(rf"\b(?:{_MARKS})\b")
_COMMENT = re.compile(r"(?:#|//|/\*|^\s*\*|<!--|--\s|;;|%%)(?P<text>.*)")
_NOT_PRODUCTION = frozenset({"tests", "test", "testing", "docs", "doc", "examples"})
_CODE = frozenset(
    {
        *(".py", ".pyi", ".sh", ".js", ".mjs", ".ts", ".tsx", ".jsx", ".go", ".rs", ".java", ".kt", ".c", ".h", ".cc"),
        *(".cpp", ".hpp", ".rb", ".php", ".sql", ".lua", ".swift", ".toml", ".cfg", ".ini", ".yml", ".yaml", ".mk"),
    }
)


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its name, what was looked at, and why it failed (nothing where it passed)."""

    name: str
    detail: str
    reasons: tuple[Reason, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.reasons

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        reasons = [reason.as_dict() for reason in self.reasons]
        return {"name": self.name, "ok": self.ok, "detail": self.detail, "reasons": reasons}


@dataclass(frozen=True, slots=True)
class CheckpointReport:
    """All checks."""

    checks: tuple[Check, ...]

    @property
    def verdict(self) -> Verdict:
        """Every reason of every check, the gravest first."""
        return refused(reason for check in self.checks for reason in check.reasons)

    def as_dict(self) -> dict[str, Any]:
        """The object that `checkpoint validate --json` prints."""
        status = "passed" if self.verdict.admitted else "failed"
        return {"status": status, "checks": [check.as_dict() for check in self.checks]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The governed side: the verification's report, all tasks (None: the store does not open), the evidence folder."""

    report: VerifyReport
    tasks: tuple[TaskState, ...] | None
    evidence: Path


def validate(site: Site, settings: Settings, ledger: Ledger | None) -> CheckpointReport:
    """All checks of the repository as it lies there; `ledger` is None where there is none by intention."""
    tree = site.trees.snapshot(base_tree=None).tree
    checks = [
        _guarded("tests", lambda: _tests(site, settings, tree)),
        _guarded("build", lambda: _build(site, settings, tree)),
        _guarded("unfinished", lambda: _unfinished(site, tree)),
    ]
    if ledger is not None:
        checks.append(_guarded("evidence", lambda: _evidence(site, ledger)))
        checks.append(_ledger(ledger.report))
    return CheckpointReport(tuple(checks))


def _guarded(name: str, check: Any) -> Check:
    """The check, or the error that kept it from being made: what could not be looked at has not passed."""
    try:
        made: Check = check()
    except AutopilotError as error:
        return Check(name, "could not be made", error.reasons())
    return made


def _tests(site: Site, settings: Settings, tree: str) -> Check:
    if _has_target(site.root, "test"):
        return _make(site, "tests", "test", "tests_failed")
    if settings.command("test") is None:
        return _not_configured("tests", "test")
    with Workshop(site, settings, tree) as shop:
        shop.build()
        ran = shop.run("test")
    return Check("tests", "commands.test on a clean checkout", tuple(_test_reasons(ran)))


def _test_reasons(ran: Ran | None) -> Iterator[Reason]:
    if ran is None or ran.report is None:
        detail = _tail(ran.output) if ran else ""
        yield Reason("report_missing", where="commands.test", detail=detail)
        return
    cases = parse_junit(ran.report).cases
    bad = [case.id for case in cases if case.outcome in (Outcome.FAILED, Outcome.ERROR)]
    if not cases:
        yield Reason("tests_none_collected", where="commands.test")
    elif bad:
        yield Reason("tests_failed", where="commands.test", detail=f"{len(bad)} of {len(cases)}: {', '.join(bad[:5])}")
    elif not ran.succeeded:
        yield Reason("report_contradicts_exit", where="commands.test", detail=f"exit {ran.exit_code}, no test failed")


def _build(site: Site, settings: Settings, tree: str) -> Check:
    if _has_target(site.root, "build"):
        return _make(site, "build", "build", "command_failed")
    if settings.command("build") is None:
        return _not_configured("build", "build")
    with Workshop(site, settings, tree) as shop:
        ran = shop.build()
    failed = ran is None or not ran.succeeded
    reason = Reason("command_failed", where="commands.build", detail=_tail(ran.output) if ran else "")
    return Check("build", "commands.build on a clean checkout", (reason,) if failed else ())


def _has_target(root: Path, target: str) -> bool:
    try:
        text = (root / "Makefile").read_text("utf-8", "replace")
    except OSError:
        return False
    return re.search(rf"^{target}\s*:(?!=)", text, re.MULTILINE) is not None


def _make(site: Site, name: str, target: str, code: str) -> Check:
    """Run a target of the Makefile where the Makefile is: making it is what the repository itself calls its check."""
    make = site.toolbox("").resolve("make", source=site.root).path
    result = PlainRunner().run(
        CommandSpec(
            argv=(str(make), target),
            cwd=site.root,
            env=_make_environment(site.environ),
            path=site.toolbox("").path,
            timeout_seconds=_MAKE_SECONDS,
            network=True,
        )
    )
    detail = f"`make {target}`, judged by its exit code"
    if result.succeeded:
        return Check(name, detail)
    said = f"{result.failure or f'exit {result.exit_code}'}: {_tail(result.output)}"
    return Check(name, detail, (Reason(code, where=f"make {target}", detail=said),))


def _make_environment(environ: Mapping[str, str]) -> dict[str, str]:
    passed = {key: environ[key] for key in _PASSED_ON if key in environ}
    # The engine's import rule is for commands that judge a change; a Makefile was not written under it.
    return {**index_environment(environ), **passed, "PYTHONSAFEPATH": ""}


def _not_configured(name: str, command: str) -> Check:
    reason = Reason(
        "not_configured", where=f"commands.{command}", detail=f"no Makefile target and no commands.{command}"
    )
    return Check(name, "nothing to run", (reason,))


def _unfinished(site: Site, tree: str) -> Check:
    paths = [path for path in site.trees.paths(tree) if is_production(path)]
    found: list[str] = []
    for path in paths:
        data = site.trees.read(tree, path)
        if data is not None and len(data) <= _FILE_CAP_BYTES and b"\0" not in data:
            found += [f"{path}:{line}" for line in marked_lines(path, data.decode("utf-8", "replace"))]
    reasons = tuple(Reason("unfinished_code", where=place) for place in found[:_SHOWN])
    return Check("unfinished", f"{len(paths)} files of production code", reasons)


def is_production(path: str) -> bool:
    """Whether a path is production code: a source file outside of tests and documents."""
    pure = PurePosixPath(path)
    if pure.suffix not in _CODE and pure.name not in ("Makefile", "Dockerfile"):
        return False
    name = pure.name
    return _NOT_PRODUCTION.isdisjoint(pure.parts[:-1]) and not (name.startswith("test_") or name == "conftest.py")


def marked_lines(path: str, text: str) -> tuple[int, ...]:
    """The lines whose comment says that something is still to be done. Text in string literals is no comment."""
    if path.endswith((".py", ".pyi")):
        try:
            tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
            return tuple(t.start[0] for t in tokens if t.type == tokenize.COMMENT and _MARK.search(t.string))
        except (tokenize.TokenError, SyntaxError, IndentationError):
            pass  # not this Python's syntax: read as any other text
    found = ((number, _COMMENT.search(line)) for number, line in enumerate(text.splitlines(), start=1))
    return tuple(number for number, comment in found if comment and _MARK.search(comment["text"]))


def _evidence(site: Site, ledger: Ledger) -> Check:
    if ledger.tasks is None:
        reason = Reason(
            "object_missing", where=str(ledger.evidence), detail="the ledger does not open", remedy="see ledger"
        )
        return Check("evidence", "could not be read", (reason,))
    open_tasks = [task for task in ledger.tasks if task.stage not in Terminal.__members__]
    reasons = [reason for task in open_tasks for reason in _stale(site, ledger.evidence, task)]
    count = sum(len(task.evidence) for task in open_tasks)
    return Check("evidence", f"{count} sealed artifacts of {len(open_tasks)} open tasks", tuple(reasons))


def _stale(site: Site, folder: Path, task: TaskState) -> Iterator[Reason]:
    for item in task.evidence.values():
        place = f"{task.id}/{item.phase.lower()}/{item.name}"
        try:
            site.objects.get(item.sha256)
        except AutopilotError as error:
            yield from error.reasons()
            continue
        try:
            data = read_regular(folder, place, cap=_FILE_CAP_BYTES)
        except ContractError as error:
            remedy = f"restore it with `autopilot evidence export {task.id}`"
            yield Reason(error.code, where=place, detail=error.detail or "the exported file", remedy=remedy)
            continue
        if sha256_hex(data) != item.sha256:
            yield Reason("sealed_edited", where=place, detail="the file is not what was sealed")


def _ledger(report: VerifyReport) -> Check:
    if report.intact:
        return Check("ledger", f"intact, {report.entries} entries")
    return Check("ledger", f"corrupt: {report.reason} at line {report.seq}", report.error().reasons())


def _tail(output: bytes) -> str:
    text = output.decode("utf-8", "replace").strip()
    return text if len(text) <= _TAIL_CHARS else f"… {text[-_TAIL_CHARS:]}"
