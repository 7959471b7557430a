"""The fold: what each line makes true, that a dump comes back whole, and that unknown lines change nothing."""

from __future__ import annotations

import random
from typing import Any

import pytest

from autopilot.kernel.callers import Caller
from autopilot.kernel.phases import PHASES, Phase
from autopilot.ledger.entry import ArtifactRef, LeaseRef
from autopilot.process.desks.leasing import LeaseDesk
from autopilot.process.fold import ProcessFold, evidence_at_end
from autopilot.process.state import TaskState

OTHER = Caller("agent-8", "agent", "s-8")
SHA = "e" * 64


def ref(name: str, origin: str = "asserted", sha256: str = SHA) -> ArtifactRef:
    return ArtifactRef(name, sha256, 3, "text/plain", origin)


def add(lab: Any, phase: Phase, artifact: ArtifactRef, *, fence: int = 0, caller: Caller = OTHER) -> None:
    lab.append(
        "evidence.added",
        caller=caller,
        epoch=lab.task().epoch,
        lease=LeaseRef(f"T-1/{phase}", fence) if fence else None,
        artifacts=(artifact,),
        data={"phase": str(phase), "bindings": {artifact.name: {"tree": "t" * 40, "isolation": "bwrap"}}},
    )


def back(lab: Any, origin: Phase, target: Phase) -> None:
    data = {"reason": "anew", "retired": [], "handover": None}
    lab.append("phase.backtrack", phase=(str(origin), str(target)), epoch=lab.task().epoch + 1, data=data)


def test_a_move_seals_and_enters(lab: Any) -> None:
    lab.open(at=Phase.IMPLEMENT)
    lab.move(Phase.IMPLEMENT, judged_tree="j" * 40)
    task = lab.task()
    assert (task.stage, task.judged_tree) == ("VERIFY", "j" * 40)
    assert task.implementers == (("agent-7", "s-7"),)
    assert lab.counters["phase_transitions"] == 5


def test_evidence_is_of_its_phase_epoch_and_fence(lab: Any) -> None:
    lab.open(at=Phase.VERIFY)
    fence = LeaseDesk(lab.engine).acquire("T-1", caller=OTHER).lease.fence
    add(lab, Phase.VERIFY, ref("test_results.json", "executed"), fence=fence)
    found = lab.task().evidence["VERIFY/test_results.json"]
    assert (found.epoch, found.fence, found.tree, found.isolation) == (0, 1, "t" * 40, "bwrap")
    assert lab.task().shown == {"VERIFY/test_results.json": (SHA,)}


@pytest.mark.parametrize("target", PHASES[: Phase.VERIFY.position])
def test_a_backtrack_retires_the_target_and_all_after_it(lab: Any, target: Phase) -> None:
    lab.open(at=Phase.VERIFY)
    for phase in PHASES[: Phase.VERIFY.position + 1]:
        add(lab, phase, ref("any.json", "executed"))
    back(lab, Phase.VERIFY, target)
    task = lab.task()
    kept = [str(phase) for phase in PHASES[: target.position]]
    assert sorted(item.phase for item in task.evidence.values()) == sorted(kept)
    assert sorted(key.partition("/")[0] for key in task.shown) == sorted(kept)
    assert set(task.entered_epoch) == {*kept, str(target)}
    assert task.entered_epoch[target] == task.epoch == 1
    assert len(task.retired) == Phase.VERIFY.position + 1 - target.position
    assert task.implementers, "who worked stays an implementer"


def test_shown_is_bounded(lab: Any) -> None:
    lab.open(at=Phase.VERIFY)
    for number in range(40):
        add(lab, Phase.VERIFY, ref("test_results.json", "executed", f"{number:064x}"))
    assert lab.task().shown["VERIFY/test_results.json"] == tuple(f"{n:064x}" for n in range(24, 40))


def test_a_failed_gate_seals_nothing_and_shows_what_was_made(lab: Any) -> None:
    lab.open(at=Phase.VERIFY)
    lab.append(
        "gate.verdict",
        phase=("VERIFY", "REVIEW"),
        epoch=0,
        artifacts=(ref("test_results.json", "executed"), ref("notes.md")),
        data={"verdict": "fail", "reasons": []},
    )
    assert not lab.task().evidence
    assert set(lab.task().shown) == {"VERIFY/test_results.json"}
    assert lab.counters["evidence_gate_failed"] == 1


APPROVAL = {"subject": SHA, "kind": "outside_plan", "move": "IMPLEMENT->VERIFY", "digest": "d", "why": "w"}
GRANT = {
    "subject_sha256": SHA,
    "reason": "fine",
    "granted_at": "2026-01-01T00:00:00Z",
    "expires_at": "2026-01-02T00:00:00Z",
    "nonce": "n",
    "advisory": True,
}


def approved(lab: Any) -> TaskState:
    lab.open(at=Phase.IMPLEMENT)
    lab.append("approval.requested", epoch=0, data={"requests": [APPROVAL]})
    lab.append("approval.granted", caller=Caller("ada", "human", "tty"), epoch=0, data=GRANT)
    return lab.task()


def test_a_grant_is_consumed_by_the_move_that_names_it(lab: Any) -> None:
    assert set(approved(lab).grants) == {SHA}
    lab.move(Phase.IMPLEMENT, approvals=[SHA])
    assert not lab.task().grants
    assert not lab.task().requests


@pytest.mark.parametrize("end", ["reject", "backtrack"])
def test_a_grant_ends(lab: Any, end: str) -> None:
    approved(lab)
    if end == "reject":
        lab.append("approval.refused", epoch=0, data={"subject_sha256": SHA, "reason": "no"})
    else:
        back(lab, Phase.IMPLEMENT, Phase.PLAN)
    assert not lab.task().grants
    assert not lab.task().requests


def test_a_closed_task_keeps_its_outline_only(lab: Any) -> None:
    lab.open(at=Phase.MONITOR)
    add(lab, Phase.MONITOR, ref("smoke_test_results.json", "executed"))
    lab.move(Phase.MONITOR)
    task = lab.task()
    assert (task.stage, task.evidence, task.base_tree, task.config) == ("CLOSED", {}, "", "")
    assert lab.engine.store.view().state.folded_ids == {"t-1": "T-1"}
    assert lab.counters["tasks_closed"] == 1


def test_lines_of_bystanders_do_not_make_a_move_lose_its_race(lab: Any) -> None:
    lab.open()
    before = lab.task().last_seq
    contention = {"resource": "T-1/STRATEGIZE", "code": "lease_held", "detail": ""}
    lab.append("lease.contended", caller=OTHER, epoch=0, data=contention)
    lab.append(
        "violation", caller=OTHER, epoch=0, data={"code": "stale_fence", "where": "", "detail": "", "reasons": []}
    )
    assert lab.task().last_seq == before
    add(lab, Phase.STRATEGIZE, ref("strategy.md"))
    assert lab.task().last_seq > before


def test_a_dump_comes_back_whole_at_every_line(lab: Any) -> None:
    approved(lab)
    add(lab, Phase.IMPLEMENT, ref("git_diff.patch", "observed"))
    back(lab, Phase.IMPLEMENT, Phase.SPEC)
    lab.append("prompt.attested", epoch=1, prompt=SHA, data={"phase": "SPEC", "baseline": None, "severity": "warn"})
    lab.open("T-2", at=Phase.REVIEW)
    fold, state = ProcessFold(), ProcessFold().initial()
    for entry in lab.engine.store.entries():
        state = fold.apply(state, entry)
        data = fold.dump(state)
        state = fold.load(data)
        assert fold.dump(state) == data
    assert fold.dump(state) == fold.dump(lab.engine.store.view().state)


def test_no_walk_leaves_evidence_of_another_epoch(lab: Any) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    lab.open()
    for _ in range(400):
        phase = Phase(lab.task().stage)
        if phase is Phase.MONITOR or (phase is not Phase.STRATEGIZE and chance.random() < 0.3):
            back(lab, phase, chance.choice(PHASES[: phase.position]))
        else:
            add(lab, phase, ref("any.json", "executed", f"{chance.getrandbits(256):064x}"))
            lab.move(phase)
        task = lab.task()
        for item in task.evidence.values():
            assert item.epoch >= task.entered_epoch[item.phase], (seed, item)
            assert Phase(item.phase).position <= Phase(task.stage).position, (seed, item)


def ended(lab: Any, task: str = "T-1") -> dict[str, str]:
    """What the task had sealed when it ended, by phase and name, with its digest."""
    return {key: item.sha256 for key, item in evidence_at_end(lab.engine.store.entries(), task).items()}


def test_an_ended_task_still_tells_what_it_sealed(lab: Any) -> None:
    # Red without: the closing line's own artifacts; the backtrack; the look at the task's id (process/fold.py).
    lab.open(at=Phase.PLAN)
    lab.open("T-2", at=Phase.SPEC)
    add(lab, Phase.PLAN, ref("plan.md", sha256="1" * 64))
    lab.append(
        "evidence.added", task="T-2", epoch=0, artifacts=(ref("spec.md", sha256="9" * 64),), data={"phase": "SPEC"}
    )
    back(lab, Phase.PLAN, Phase.SPEC)
    add(lab, Phase.SPEC, ref("spec.md", sha256="2" * 64))
    for phase in PHASES[1:8]:
        lab.move(phase)
    assert ended(lab) == {}, "an open task's evidence is in the state"
    data = {"outcome": "CLOSED", "handover": None, "approvals": [], "judged_tree": "", "config": ""}
    lab.append(
        "task.closed",
        phase=("MONITOR", "CLOSED"),
        epoch=1,
        artifacts=(ref("smoke_test_results.json", "executed", "3" * 64),),
        data=data,
    )
    assert not lab.task().evidence, "the state keeps the outline only"
    assert ended(lab) == {"SPEC/spec.md": "2" * 64, "MONITOR/smoke_test_results.json": "3" * 64}
    assert ended(lab, "T-9") == {}


def test_an_abandoned_task_tells_what_it_had_sealed_by_then(lab: Any) -> None:
    lab.open(at=Phase.SPEC)
    add(lab, Phase.SPEC, ref("spec.md", sha256="2" * 64))
    data = {"outcome": "ABANDONED", "reason": "no use"}
    lab.append("task.closed", phase=("SPEC", "ABANDONED"), epoch=0, artifacts=(ref("note.md"),), data=data)
    assert ended(lab) == {"SPEC/spec.md": "2" * 64}
