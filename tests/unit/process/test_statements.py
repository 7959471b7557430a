"""Which moves stand, what each rested on, and that the sealed bytes are looked at before anything is said."""

from __future__ import annotations

from typing import Any

import pytest

from autopilot.evidence.values.runs import CommandRun
from autopilot.evidence.values.tests import TestCase, TestResults
from autopilot.kernel.canonical import dumps
from autopilot.kernel.errors import ContractError, IntegrityError
from autopilot.kernel.phases import Phase
from autopilot.ledger.entry import ArtifactRef, LedgerEntry
from autopilot.process.statements import PhaseStatements, StatementDesk
from autopilot.supplychain.predicates import TEST_RESULT

ORIGIN = "autopilot/x"


def told(lab: Any, task: str = "T-1", stop: int | None = None) -> dict[str, PhaseStatements]:
    """The statements by phase."""
    stop = lab.engine.store.view().head.seq + 1 if stop is None else stop
    return {one.move.origin: one for one in StatementDesk(lab.engine).of_task(task, ledger_origin=ORIGIN, stop=stop)}


def leave(lab: Any, phase: Phase, *names: str, task: str = "T-1", **data: Any) -> LedgerEntry:
    """Leave the phase with sealed artifacts."""
    contents = {name: data.pop(name, f"{name} of {phase}".encode()) for name in names}
    refs = tuple(
        ArtifactRef(name, lab.engine.store.objects.put(content), len(content), "text/plain", "asserted")
        for name, content in contents.items()
    )
    given = {
        "bindings": {},
        "gate": {"verdict": "pass", "observed": []},
        "approvals": [],
        "attestation": {"status": "unattested"},
        "judged_tree": "",
        "config": "",
        "trust_mode": 0,
        "journal": "",
        "handover": None,
        **data,
    }
    target = phase.following
    kind = "task.closed" if target == "CLOSED" else "phase.transition"
    given |= {"outcome": "CLOSED"} if kind == "task.closed" else {}
    moved = (str(phase), str(target))
    entry: LedgerEntry = lab.append(
        kind, task=task, phase=moved, epoch=lab.task(task).epoch, artifacts=refs, data=given
    )
    return entry


def go_back(lab: Any, to: Phase) -> None:
    """Backtrack, and with it retire the target and all later phases."""
    task = lab.task()
    retired = [str(phase) for phase in Phase if phase.position >= to.position]
    data = {"reason": "again", "retired": retired, "observed": [], "handover": None}
    lab.append("phase.backtrack", phase=(task.stage, str(to)), epoch=task.epoch + 1, data=data)


def results(*outcomes: tuple[str, Any], configured: bool = True) -> bytes:
    """A sealed test run."""
    run = CommandRun(
        argv=("pytest",),
        exit_code=0,
        duration_ms=1,
        isolation="none",
        executable_sha256="11" * 32,
        output_sha256="22" * 32,
        output_bytes=0,
    )
    return TestResults(
        format=1,
        task="T-1",
        epoch=0,
        tree="b" * 40,
        configured=configured,
        run=run if configured else None,
        report="read" if configured else "missing",
        cases=tuple(TestCase(id=name, outcome=outcome) for name, outcome in outcomes),
    ).to_json()


def test_a_task_that_left_no_phase_has_nothing_to_state(lab: Any) -> None:
    lab.open()
    with pytest.raises(ContractError, match="nothing_to_state"):
        told(lab)
    with pytest.raises(ContractError, match="unknown_task"):
        told(lab, "T-9")


def test_each_phase_that_was_left_is_told_with_its_line(lab: Any) -> None:
    lab.open()
    lines = [leave(lab, Phase.STRATEGIZE, "strategy.md"), leave(lab, Phase.SPEC, "spec.md")]
    said = told(lab)
    assert [(one.move.origin, one.move.target) for one in said.values()] == [("STRATEGIZE", "SPEC"), ("SPEC", "PLAN")]
    assert [one.move.line.seq for one in said.values()] == [line.seq for line in lines]
    assert [one.move.line.leaf for one in said.values()] == [line.hash for line in lines]
    assert said["SPEC"].move.started == lines[0].ts
    assert told(lab, stop=lines[1].seq).keys() == {"STRATEGIZE"}


def test_a_backtrack_takes_the_retired_phases_out_until_they_are_left_again(lab: Any) -> None:
    lab.open()
    leave(lab, Phase.STRATEGIZE, "strategy.md")
    leave(lab, Phase.SPEC, "spec.md")
    leave(lab, Phase.PLAN, "plan.md")
    go_back(lab, Phase.SPEC)
    assert told(lab).keys() == {"STRATEGIZE"}
    leave(lab, Phase.SPEC, "spec.md", **{"spec.md": b"another"})
    said = told(lab)
    assert said.keys() == {"STRATEGIZE", "SPEC"}
    assert (said["SPEC"].move.epoch, said["STRATEGIZE"].move.epoch) == (1, 0)


def test_the_judged_tree_goes_on_to_later_phases_and_ends_with_a_backtrack(lab: Any) -> None:
    lab.open(at=Phase.STRATEGIZE)
    for phase in (Phase.STRATEGIZE, Phase.SPEC, Phase.PLAN, Phase.THINK):
        leave(lab, phase, "a.md")
    leave(lab, Phase.IMPLEMENT, "git_diff.patch", judged_tree="c" * 40)
    leave(lab, Phase.VERIFY, "build_output.log")
    assert [one.move.judged_tree for one in told(lab).values()] == ["", "", "", "", "c" * 40, "c" * 40]
    go_back(lab, Phase.THINK)
    leave(lab, Phase.THINK, "a.md")
    assert told(lab)["THINK"].move.judged_tree == ""


def test_a_newly_approved_configuration_counts_from_its_move_on(lab: Any) -> None:
    lab.open()
    opened = lab.task().config
    later = lab.engine.store.objects.put(dumps({"another": 1}))
    leave(lab, Phase.STRATEGIZE, "a.md")
    leave(lab, Phase.SPEC, "a.md", config=later)
    leave(lab, Phase.PLAN, "a.md")
    assert [one.move.config for one in told(lab).values()] == [opened, later, later]


def test_a_closed_task_is_told_to_its_end_and_another_task_is_left_out(lab: Any) -> None:
    lab.open()
    for phase in Phase:
        if phase is Phase.SPEC:
            lab.open("T-2")
            leave(lab, Phase.STRATEGIZE, "theirs.md", task="T-2")
        leave(lab, phase, "a.md", judged_tree="c" * 40 if phase is Phase.IMPLEMENT else "")
    said = told(lab)
    assert list(said) == [str(phase) for phase in Phase]
    assert said["MONITOR"].move.target == "CLOSED"
    assert {(one.move.task, *(a.name for a in one.move.artifacts)) for one in said.values()} == {("T-1", "a.md")}
    assert told(lab, "T-2").keys() == {"STRATEGIZE"}


@pytest.mark.parametrize(
    ("data", "told_of"),
    [
        (results(("a", "passed"), ("b", "skipped"), ("c", "failed")), (("a",), ("b",), ("c",))),
        (results(configured=False), None),
    ],
)
def test_the_test_run_of_verify_is_told_where_there_was_one(lab: Any, data: bytes, told_of: Any) -> None:
    lab.open(at=Phase.STRATEGIZE)
    for phase in (Phase.STRATEGIZE, Phase.SPEC, Phase.PLAN, Phase.THINK):
        leave(lab, phase, "a.md")
    leave(lab, Phase.IMPLEMENT, "git_diff.patch", judged_tree="c" * 40)
    leave(lab, Phase.VERIFY, "test_results.json", **{"test_results.json": data})
    runs = [s.predicate for s in told(lab)["VERIFY"].statements if s.predicate_type == TEST_RESULT]
    lists = [tuple(tuple(run[f"{kind}Tests"]) for kind in ("passed", "warned", "failed")) for run in runs]
    assert lists == ([] if told_of is None else [told_of, told_of])


@pytest.mark.parametrize("what", ["artifact", "configuration", "journal"])
def test_nothing_is_said_of_bytes_that_are_gone(lab: Any, what: str) -> None:
    lab.open()
    journal = lab.engine.store.objects.put(b"the journal entry")
    entry = leave(lab, Phase.STRATEGIZE, "strategy.md", journal=journal)
    assert told(lab)
    digest = {"artifact": entry.artifacts[0].sha256, "configuration": lab.task().config, "journal": journal}[what]
    del lab.engine.store.objects._objects[digest]
    with pytest.raises(IntegrityError, match="object_missing") as caught:
        told(lab)
    name = "STRATEGIZE/strategy.md" if what == "artifact" else what
    assert caught.value.where == f"line {entry.seq} {name}"
    assert digest in caught.value.detail


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"gate": None}, "bad_ledger_json"),
        ({"attestation": {}}, "bad_ledger_json"),
        ({"journal": None, "trust_mode": None, "gate": {}}, "bad_ledger_json"),
        ({"judged_tree": "../../etc"}, "malformed_digest"),
        ({"config": "no digest"}, "object_missing"),
        ({"journal": "no digest"}, "object_missing"),
    ],
)
def test_a_line_that_the_engine_would_not_write_is_no_basis(lab: Any, data: dict[str, Any], code: str) -> None:
    lab.open()
    entry = leave(lab, Phase.STRATEGIZE, "strategy.md", **data)
    with pytest.raises(IntegrityError, match=code) as caught:
        told(lab)
    assert caught.value.where.startswith(f"line {entry.seq}")
