"""Executed evidence: the engine runs the sealed commands on trees it built, and writes down what it saw.

Every function first looks for live evidence of an earlier run with the same tree and inputs; failing that it runs,
or, when nothing may be run (`next`), says that the evidence is not there yet. What is written is the record; whether
it is good enough is the content rule's to say, from the sealed bytes.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from string import ascii_lowercase

from autopilot.evidence.control import Control, control_folder
from autopilot.evidence.spec import AcceptBlock, Spec
from autopilot.evidence.values.accept import AcceptBase, AcceptResults, AcceptRun
from autopilot.evidence.values.build_log import BuildHeader
from autopilot.evidence.values.coverage import CoverageReport
from autopilot.evidence.values.quality import CodeQualityScore
from autopilot.evidence.values.runs import CiResults, SmokeTestResults
from autopilot.evidence.values.tests import BaseInventory, TestResults
from autopilot.kernel.canonical import digest_of
from autopilot.kernel.configuration import Command
from autopilot.kernel.reasons import Reason
from autopilot.process.execution import Ran, Workshop, inputs_of
from autopilot.process.runners.bench import Bench
from autopilot.process.runners.building import built, workshop_of
from autopilot.process.runners.records import (
    record_of_build,
    record_of_command,
    record_of_coverage,
    record_of_lint,
    record_of_tests,
    run_record,
)
from autopilot.sandbox.choose import probe


def base_inventory(bench: Bench) -> None:
    """base_inventory.json: the test command on the base tree."""
    name, tree = BaseInventory.artifact, bench.task.base_tree
    inputs = inputs_of(bench.ticket.settings, ("test",), {})
    if not bench.wants(name, tree=tree, inputs=inputs):
        return
    with workshop_of(bench, tree) as shop:
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
    with workshop_of(bench, tree) as shop:
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
            lambda shop: record_of_build(bench, tree, shop.build()),
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
            lambda shop: record_of_coverage(bench, tree, shop.run("coverage")),
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
        with workshop_of(bench, tree) as shop:
            if not built(bench, shop):
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
    _one(bench, CiResults.artifact, "ci", lambda ran: record_of_command(CiResults, bench, bench.task.judged_tree, ran))


def smoke(bench: Bench) -> None:
    """smoke_test_results.json: the configured smoke test on the judged tree."""
    _one(
        bench,
        SmokeTestResults.artifact,
        "smoke",
        lambda ran: record_of_command(SmokeTestResults, bench, bench.task.judged_tree, ran),
    )


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
    with workshop_of(bench, tree) as shop:
        if not built(bench, shop):
            bench.defer(name)
            return
        bench.produce(name, make(shop.run(command)), tree=tree, inputs=inputs, isolation=shop.isolation)


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
            run=run_record(bench, shop.run_argv(f"accept {block.id}", block.argv, block.timeout_seconds)),
        )
        for block in blocks
    )
