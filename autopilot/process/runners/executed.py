"""Executed evidence: the engine runs the sealed commands on trees it built, and writes down what it saw.

Every function first looks for live evidence of an earlier run with the same tree and inputs; failing that it runs,
or, when nothing may be run (`next`), says that the evidence is not there yet. What is written is the record; whether
it is good enough is the content rule's to say, from the sealed bytes.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from string import ascii_lowercase
from typing import Any, Literal

from autopilot.evidence.control import Control, Kept, control_folder
from autopilot.evidence.pins import Runs, pinned_changes
from autopilot.evidence.spec import AcceptBlock, Spec
from autopilot.evidence.values.accept import AcceptBase, AcceptResults, AcceptRun
from autopilot.evidence.values.build_log import BuildHeader, BuildLog
from autopilot.evidence.values.coverage import CoverageReport, FileCoverage
from autopilot.evidence.values.quality import CodeQualityScore, RuleCount, quality_hundredths
from autopilot.evidence.values.runs import CiResults, CommandRun, SmokeTestResults, tail_of
from autopilot.evidence.values.tests import BaseInventory, TestCase, TestResults
from autopilot.kernel.canonical import digest_of
from autopilot.kernel.configuration import Command
from autopilot.kernel.errors import ContractError
from autopilot.kernel.reasons import Reason
from autopilot.process.execution import Ran, Workshop, inputs_of
from autopilot.process.runners.bench import Bench
from autopilot.sandbox.choose import probe
from autopilot.sandbox.reports.coverage import parse_coverage
from autopilot.sandbox.reports.junit import parse_junit
from autopilot.sandbox.reports.lint import LintFormat, parse_lint
from autopilot.vcs.diff import FileChange

_OUTPUT_KEPT_BYTES = 512 * 1024
_SHOWN = 5
_SOURCE_SUFFIXES = (".py", ".pyi", ".js", ".ts", ".go", ".rs", ".java", ".c", ".h", ".cc", ".cpp", ".rb", ".sh")


def base_inventory(bench: Bench) -> None:
    """base_inventory.json: the test command on the base tree."""
    name, tree = BaseInventory.artifact, bench.task.base_tree
    inputs = inputs_of(bench.ticket.settings, ("test",), {})
    if not bench.wants(name, tree=tree, inputs=inputs):
        return
    with _workshop(bench, tree) as shop:
        shop.build()
        data = _inventory(bench, shop, drawn_control(bench.ticket.settings.command("test"), bench.known_paths()))
        bench.produce(name, data, tree=tree, inputs=inputs, isolation=shop.isolation)


def accept_base(bench: Bench) -> None:
    """accept_base.json: every accept block on the base tree; without isolation only once a person approved the set."""
    name, tree, spec = AcceptBase.artifact, bench.task.base_tree, bench.spec()
    blocks = spec.accepts if spec else ()
    inputs = _accept_inputs(bench, spec)
    if blocks and not _isolated(bench):
        shown = "; ".join(" ".join(block.argv)[:120] for block in blocks[:5])
        granted = bench.need(
            Reason("accept_unisolated", where="spec.md", detail=shown),
            kind="accept_unisolated",
            digest=digest_of([[b.id, list(b.argv), b.base, b.timeout_seconds] for b in blocks]),
            why=f"run the accept blocks without isolation: {shown}",
        )
        if not granted:
            # They would run with this user's rights: nothing of them runs before a person has seen them.
            if bench.enforces("evidence_gate"):
                bench.defer(name)
            else:
                bench.absent(name)
            return
    if not bench.wants(name, tree=tree, inputs=inputs):
        return
    with _workshop(bench, tree) as shop:
        shop.build()
        runs = _accept_runs(bench, shop, blocks)
        data = AcceptBase(task=bench.task.id, epoch=bench.task.epoch, tree=tree, blocks=runs).to_json()
        bench.produce(name, data, tree=tree, inputs=inputs, isolation=shop.isolation)


def defer_verify(bench: Bench) -> None:
    """Nothing runs while changed pins or commands wait for a person: what they would show counts for nothing."""
    for name in (BuildHeader.artifact, TestResults.artifact, CoverageReport.artifact, AcceptResults.artifact):
        bench.defer(name)


def verify(bench: Bench) -> None:
    """test_results.json, build_output.log, coverage_report.json, accept_results.json: all on the judged tree."""
    settings, tree, spec = bench.ticket.settings, bench.task.judged_tree, bench.spec()
    makers: dict[str, tuple[str, Callable[[Workshop], bytes]]] = {
        BuildHeader.artifact: (
            inputs_of(settings, ("build",), {}),
            lambda shop: _build_log(bench, tree, shop.build()),
        ),
        TestResults.artifact: (
            inputs_of(
                settings,
                ("test",),
                {"spec": _sealed(bench, "SPEC/spec.md"), "base": _sealed(bench, "PLAN/base_inventory.json")},
            ),
            lambda shop: _tests(bench, tree, shop),
        ),
        CoverageReport.artifact: (
            inputs_of(settings, ("coverage",), {}),
            lambda shop: _coverage(bench, tree, shop.run("coverage")),
        ),
        AcceptResults.artifact: (
            _accept_inputs(bench, spec),
            lambda shop: AcceptResults(
                task=bench.task.id,
                epoch=bench.task.epoch,
                tree=tree,
                blocks=_accept_runs(bench, shop, spec.accepts if spec else ()),
            ).to_json(),
        ),
    }
    missing = {name: entry for name, entry in makers.items() if not bench.reuse(name, tree=tree, inputs=entry[0])}
    if not bench.execute:
        for name in missing:
            bench.absent(name)
        return
    if missing:
        with _workshop(bench, tree) as shop:
            if not _built(bench, shop):
                for name in missing:
                    bench.defer(name)
                return
            for name, (inputs, make) in missing.items():
                bench.produce(name, make(shop), tree=tree, inputs=inputs, isolation=shop.isolation)


def quality(bench: Bench) -> None:
    """code_quality_score.json: the configured linter on the judged tree."""
    _one(bench, CodeQualityScore.artifact, "lint", lambda ran: record_of_lint(bench, bench.task.judged_tree, ran))


def ci(bench: Bench) -> None:
    """ci_results.json: the configured CI command on the judged tree, which is the commit's."""
    _one(bench, CiResults.artifact, "ci", lambda ran: _command(CiResults, bench, bench.task.judged_tree, ran))


def smoke(bench: Bench) -> None:
    """smoke_test_results.json: the configured smoke test on the judged tree."""
    _one(
        bench,
        SmokeTestResults.artifact,
        "smoke",
        lambda ran: _command(SmokeTestResults, bench, bench.task.judged_tree, ran),
    )


def generated(bench: Bench, tree: str, changes: tuple[FileChange, ...]) -> None:
    """Hold each generated file against what its command writes, byte for byte."""
    file_map = bench.file_map()
    if file_map is None:
        return
    by_command: dict[tuple[str, ...], list[str]] = {}
    for change in changes:
        argv = file_map.generated_by(change.path) if change.change != "deleted" else ()
        if argv and not any(e.path == change.path and e.change != "generated" for e in file_map.entries):
            by_command.setdefault(argv, []).append(change.path)
    if not by_command or not bench.execute:
        return
    _regenerated(bench, tree, by_command, "")
    # A file that was there before is generated only if its command made it then as well.
    base = bench.task.base_tree
    there = {
        argv: [path for path in paths if bench.site.trees.read(base, path) is not None]
        for argv, paths in by_command.items()
    }
    _regenerated(bench, base, {argv: paths for argv, paths in there.items() if paths}, "on the base, ")


def _regenerated(bench: Bench, tree: str, by_command: Mapping[tuple[str, ...], list[str]], where: str) -> None:
    """Run each command on the tree without its files, and refuse what it does not write as the tree has it."""
    if not by_command:
        return
    with _workshop(bench, tree) as shop:
        shop.build()
        for argv, paths in by_command.items():
            ran, written = shop.regenerate(argv, tuple(paths))
            if not ran.succeeded:
                bench.fail(
                    Reason(
                        "command_failed",
                        where=paths[0],
                        detail=f"{where}{' '.join(argv)}: exit {ran.exit_code}: {tail_of(ran.output)}",
                    )
                )
                continue
            for path in paths:
                if written[path] != bench.site.trees.read(tree, path):
                    detail = f"{where}{path} is not what `{' '.join(argv)}` writes"
                    bench.fail(Reason("generated_differs", where=path, detail=detail))


def drawn_control(command: Command | None, paths: Iterable[str]) -> Control | None:
    """Control tests under names of chance for a run of the test command; None where they have no place."""
    folder = control_folder(command, paths)
    if folder is None:
        return None
    stem, passes, fails = ("".join(secrets.choice(ascii_lowercase) for _ in range(10)) for _ in range(3))
    return Control(folder, stem, passes, fails, 2 + secrets.randbelow(1000))


# --- inside ----------------------------------------------------------------------------------------------------


def _inventory(bench: Bench, shop: Workshop, control: Control | None) -> bytes:
    """The record of the base's tests; taken without the control tests where they do not work for this project."""
    tree = bench.task.base_tree
    data = record_of_tests(BaseInventory, bench, tree, _tested(shop, control), control)
    if control is None or BaseInventory.from_json(data).control == "kept":
        return data
    return record_of_tests(BaseInventory, bench, tree, _tested(shop, None))


def _tests(bench: Bench, tree: str, shop: Workshop) -> bytes:
    base = bench.base_inventory()
    kept = base is not None and base.control == "kept"
    command = bench.ticket.settings.command("test")
    control = drawn_control(command, bench.known_paths()) if kept else None
    return record_of_tests(TestResults, bench, tree, _tested(shop, control), control)


def _tested(shop: Workshop, control: Control | None) -> Ran | None:
    return shop.run("test", control.files() if control else {})


def _one(bench: Bench, name: str, command: str, make: Callable[[Ran | None], bytes]) -> None:
    settings, tree = bench.ticket.settings, bench.task.judged_tree
    inputs = inputs_of(settings, (command,), {})
    if not bench.wants(name, tree=tree, inputs=inputs):
        return
    if settings.command(command) is None:
        bench.produce(name, make(None), tree=tree, inputs=inputs, isolation="none")
        return
    with _workshop(bench, tree) as shop:
        if not _built(bench, shop):
            bench.defer(name)
            return
        bench.produce(name, make(shop.run(command)), tree=tree, inputs=inputs, isolation=shop.isolation)


def _built(bench: Bench, shop: Workshop) -> bool:
    """Build the judged tree. False if that wrote pinned files which the build of the base does not write alike."""
    shop.build()
    found = _pins_touched(bench, bench.task.judged_tree, shop)
    if not found:
        return True
    with _workshop(bench, bench.task.base_tree) as base:
        base.build()
        known = _pins_touched(bench, bench.task.base_tree, base)
    bad = [path for path, (data, _) in found.items() if path not in known or known[path][0] != data]
    if not bad:
        return True
    shown = "; ".join(f"{path} ({found[path][1]})" for path in bad[:_SHOWN])
    bench.fail(Reason("build_changed_pins", where=bad[0], detail=shown))
    return not bench.enforces("test_pins")


def _pins_touched(bench: Bench, tree: str, shop: Workshop) -> dict[str, tuple[bytes | None, str]]:
    """The pinned files that setup and build wrote or took away: what is there now, and why they are pinned."""
    touched = shop.touched()
    before = {path: bench.site.trees.read(tree, path) for path in touched}
    there = frozenset(bench.site.trees.paths(tree)) if touched else frozenset()
    kinds = [
        (path, "modified" if path in there and data is not None else "deleted" if path in there else "added")
        for path, data in touched.items()
        if data is None or data != before[path]
    ]
    pinned = pinned_changes(
        kinds,
        lambda path: (before[path], touched[path]),
        runs=Runs.of(bench.ticket.settings.commands),
        extra=bench.ticket.settings.pins.extra,
        product=False,
    )
    return {pin.path: (touched[pin.path], pin.why) for pin in pinned}


def _workshop(bench: Bench, tree: str) -> Workshop:
    contract = bench.ticket.profile.contract(bench.ticket.phase)
    floor: Literal["none", "bwrap"] = "bwrap" if any(a.isolation == "bwrap" for a in contract.artifacts) else "none"
    return Workshop(bench.site, bench.ticket.settings, tree, floor=floor, compiled=bench.task.compiled)


def _isolated(bench: Bench) -> bool:
    wish = bench.ticket.settings.sandbox.isolation
    # With `bwrap` demanded the workshop refuses by itself where it is not to be had.
    return wish == "bwrap" or (wish == "auto" and probe().bubblewrap is not None)


def _sealed(bench: Bench, key: str) -> str:
    known = bench.task.evidence.get(key)
    return known.sha256 if known else ""


def _accept_inputs(bench: Bench, spec: Spec | None) -> str:
    blocks = spec.accepts if spec else ()
    return inputs_of(
        bench.ticket.settings,
        ("test",),
        {"accept": [[b.id, list(b.argv), b.base, b.timeout_seconds] for b in blocks]},
    )


def _accept_runs(bench: Bench, shop: Workshop, blocks: tuple[AcceptBlock, ...]) -> tuple[AcceptRun, ...]:
    return tuple(
        AcceptRun(
            criterion=block.id,
            argv=block.argv,
            base=block.base,
            timeout_seconds=block.timeout_seconds,
            run=_run(bench, shop.run_argv(f"accept {block.id}", block.argv, block.timeout_seconds)),
        )
        for block in blocks
    )


def _run(bench: Bench, ran: Ran) -> CommandRun:
    """The record of a run; its output (the end of it, if long) becomes an object of its own."""
    last = ran.last
    output = ran.output[-_OUTPUT_KEPT_BYTES:]
    deps = ran.environment.get("dependencies") or {}
    return CommandRun(
        argv=last.argv,
        exit_code=last.exit_code,
        signal=last.signal,
        timed_out=last.timed_out,
        truncated=any(result.truncated for result in ran.results),
        duration_ms=sum(result.duration_ns for result in ran.results) // 1_000_000,
        isolation=last.isolation,
        executable_sha256=ran.environment.get("program_sha256"),
        deps_sha256=deps.get("tree_sha256"),
        output_sha256=bench.engine.store.objects.put(output),
        output_bytes=len(output),
        tail=tail_of(output),
    )


def record_of_tests(
    kind: type[TestResults] | type[BaseInventory],
    bench: Bench,
    tree: str,
    ran: Ran | None,
    control: Control | None = None,
) -> bytes:
    """The bytes of test_results.json or base_inventory.json for a run of the test command; None: not configured.

    `control`: the control tests that lay in the copy; they are held against the report and left out of the record.
    """
    common: dict[str, Any] = {"task": bench.task.id, "epoch": bench.task.epoch, "tree": tree}
    if ran is None:
        return kind(**common, configured=False, report="missing").to_json()
    read: Literal["read", "missing", "unreadable"] = "missing"
    cases: tuple[TestCase, ...] = ()
    if ran.report is not None:
        try:
            report = parse_junit(ran.report)
            cases = tuple(
                TestCase(id=case.id, outcome=case.outcome.value, collection=case.collection) for case in report.cases
            )
            read = "read"
        except ContractError:
            read = "unreadable"
    kept: Kept = "none"
    if control is not None:
        cases, kept = control.parted(cases)
    return kind(**common, run=_run(bench, ran), report=read, control=kept, cases=cases).to_json()


def _build_log(bench: Bench, tree: str, ran: Ran | None) -> bytes:
    common: dict[str, Any] = {"task": bench.task.id, "epoch": bench.task.epoch, "tree": tree}
    if ran is None:
        return BuildLog(BuildHeader(**common, configured=False), b"").to_bytes()
    return BuildLog(BuildHeader(**common, run=_run(bench, ran)), ran.output[-_OUTPUT_KEPT_BYTES:]).to_bytes()


def _coverage(bench: Bench, tree: str, ran: Ran | None) -> bytes:
    common: dict[str, Any] = {"task": bench.task.id, "epoch": bench.task.epoch, "tree": tree}
    if ran is None:
        return CoverageReport(**common, configured=False, report="missing").to_json()
    if ran.report is None:
        return CoverageReport(**common, run=_run(bench, ran), report="missing").to_json()
    try:
        report = parse_coverage(ran.report)
    except ContractError:
        return CoverageReport(**common, run=_run(bench, ran), report="unreadable").to_json()
    files = tuple(
        FileCoverage(path=path, statements=len(f.executed) + len(f.missing), covered=len(f.executed))
        for path, f in sorted(report.files.items())
    )
    return CoverageReport(
        **common, run=_run(bench, ran), report="read", percent_hundredths=report.percent_hundredths, files=files
    ).to_json()


def record_of_lint(bench: Bench, tree: str, ran: Ran | None) -> bytes:
    """The bytes of code_quality_score.json for a run of the linter; None: not configured."""
    common: dict[str, Any] = {"task": bench.task.id, "epoch": bench.task.epoch, "tree": tree}
    if ran is None:
        return CodeQualityScore(**common, configured=False, report="missing").to_json()
    command = bench.ticket.settings.command("lint")
    form: LintFormat = "lines"
    if command is not None and command.report in ("ruff-json", "flake8"):
        form = command.report  # type: ignore[assignment]
    if ran.report is None and (form == "ruff-json" or (command is not None and command.uses("report"))):
        # Its output is no stand-in for the file it was to write: a linter that died early prints nothing.
        return CodeQualityScore(**common, run=_run(bench, ran), report="missing").to_json()
    data = ran.report if ran.report is not None else ran.output
    try:
        report = parse_lint(data, form)
    except ContractError:
        return CodeQualityScore(**common, run=_run(bench, ran), report="unreadable").to_json()
    lines = _source_lines(bench, tree)
    return CodeQualityScore(
        **common,
        run=_run(bench, ran),
        report="read",
        lines=lines,
        findings=report.findings,
        by_rule=tuple(RuleCount(rule=rule, findings=count) for rule, count in sorted(report.by_rule.items())),
        score_hundredths=quality_hundredths(report.findings, lines),
    ).to_json()


def _command(kind: type[CiResults] | type[SmokeTestResults], bench: Bench, tree: str, ran: Ran | None) -> bytes:
    common: dict[str, Any] = {"task": bench.task.id, "epoch": bench.task.epoch, "tree": tree}
    return (kind(**common, configured=False) if ran is None else kind(**common, run=_run(bench, ran))).to_json()


def _source_lines(bench: Bench, tree: str) -> int:
    """Lines of source code in the tree: what a linter had to look at."""
    trees = bench.site.trees
    sources = [path for path in trees.paths(tree) if path.endswith(_SOURCE_SUFFIXES)]
    return sum((data.count(b"\n") for path in sources if (data := trees.read(tree, path)) is not None), start=0)
