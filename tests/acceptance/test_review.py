"""Review by somebody else; the commit that ships; the worktree in which the work happens.

Red without: `_reviewer` (evidence/rules/review.py); `_check_commit`, `_check_deployed` (process/runners/phases.py); the
worktree check of `RunnerDesk.start`.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from governed import HUMAN, TASK, Governed, Prepare, expect_refusal

from autopilot.cli.demo.honest import AGENT, REVIEWER
from autopilot.cli.demo.project import BUG, FIX, commit
from autopilot.kernel.callers import Caller
from autopilot.kernel.phases import Phase
from autopilot.wiring.full import Outside, Workspace


@pytest.mark.parametrize(
    "reviewer",
    [
        AGENT,
        Caller(AGENT.actor, "agent", "another-session"),
        Caller("agent-reviewer", "agent", AGENT.session),
        Caller(AGENT.actor.upper(), "agent", "another-session"),
        Caller(" agent-honest", "agent", "another-session"),
        Caller("ａgent-honest", "agent", "another-session"),
    ],
    ids=["himself", "in-another-session", "as-another-actor", "in-capitals", "with-a-space", "full-width"],
)
def test_the_implementer_does_not_review(at: Prepare, reviewer: Caller) -> None:
    governed = at(Phase.REVIEW)
    agent = replace(governed.agent, reviewer=reviewer)
    agent.prepare(Phase.REVIEW)
    with expect_refusal(governed, "reviewer_is_implementer"):
        governed.advance(caller=reviewer)


def test_a_rubric_in_another_name_is_refused(at: Prepare) -> None:
    governed = at(Phase.REVIEW)
    governed.agent.prepare(Phase.REVIEW)
    with expect_refusal(governed, ("artifact_invalid", "reviewer_is_implementer")):
        governed.advance(caller=AGENT)


def test_who_worked_before_a_backtrack_is_an_implementer_still(at: Prepare) -> None:
    governed = at(Phase.REVIEW)
    governed.workspace.enforcer.backtrack(TASK, Phase.IMPLEMENT, reason="hand it over", caller=AGENT)
    governed.workspace.leases.release(TASK, caller=AGENT)
    second = Caller("agent-second", "agent", "second-1")
    governed.advance(caller=second)
    governed.advance(caller=second)
    agent = replace(governed.agent, reviewer=AGENT)
    agent.prepare(Phase.REVIEW)
    with expect_refusal(governed, "reviewer_is_implementer"):
        governed.advance(caller=AGENT)


def test_mode_zero_is_stated_with_the_move(at: Prepare) -> None:
    governed = at(Phase.REVIEW)
    governed.agent.prepare(Phase.REVIEW)
    assert governed.advance(caller=REVIEWER).data["trust_mode"] == 0


def test_pr_is_left_only_with_the_judged_tree(at: Prepare) -> None:
    governed = at(Phase.PR)
    for name, text in (("README.md", "# shop\n\nShipped unseen.\n"), ("new.py", "NEW = 1\n")):
        place = governed.root / name
        before = place.read_bytes() if place.exists() else None
        place.write_text(text)
        governed.agent.prepare(Phase.PR)
        with expect_refusal(governed, "tree_mismatch"):
            governed.advance()
        place.unlink() if before is None else place.write_bytes(before)
        commit(governed.root, "As it was")
    governed.agent.write(Phase.PR, "pr_url.txt", f"main@{governed.git('rev-parse', 'HEAD').strip()}\n")
    governed.advance()
    assert governed.task.stage == Phase.MONITOR


def test_pr_is_not_left_with_work_that_was_not_committed(at: Prepare) -> None:
    governed = at(Phase.PR)
    before = governed.git("rev-parse", "HEAD").strip()
    governed.agent.prepare(Phase.PR)
    governed.git("reset", "-q", "--soft", before)
    governed.agent.write(Phase.PR, "pr_url.txt", f"main@{before}\n")
    with expect_refusal(governed, "tree_mismatch"):
        governed.advance()


def test_what_went_out_is_what_was_judged(at: Prepare) -> None:
    """The defect comes back in a later commit, and that commit is named as the one that went out."""
    governed = at(Phase.MONITOR)
    source = governed.root / "shop" / "pricing.py"
    source.write_text(source.read_text().replace(FIX, BUG))
    commit(governed.root, "Back again")
    governed.agent.prepare(Phase.MONITOR)
    with expect_refusal(governed, "tree_mismatch"):
        governed.advance()


def test_later_work_does_not_keep_a_task_from_its_end(at: Prepare) -> None:
    governed = at(Phase.MONITOR)
    governed.agent.prepare(Phase.MONITOR)
    (governed.root / "later.txt").write_text("the next piece of work\n")
    commit(governed.root, "Later work")
    governed.advance()
    assert governed.task.stage == "CLOSED"


@pytest.mark.parametrize("named", ["0" * 40, "deadbeef" * 5])
def test_a_commit_that_is_not_there_did_not_go_out(at: Prepare, named: str) -> None:
    governed = at(Phase.MONITOR)
    governed.agent.prepare(Phase.MONITOR)
    place = governed.evidence("monitor", "deployment_status.json")
    place.write_text(json.dumps(json.loads(place.read_text()) | {"commit": named}))
    with expect_refusal(governed, "tree_mismatch"):
        governed.advance()


def linked(governed: Governed) -> Workspace:
    """A linked worktree beside the repository, opened."""
    place = governed.root.parent / "linked"
    governed.git("worktree", "add", "-q", str(place), "-b", "elsewhere")
    return Workspace.open(place, outside=Outside(environ=governed.environ, clock=governed.clock))


def test_a_linked_worktree_has_the_same_ledger(at: Prepare) -> None:
    governed = at(Phase.SPEC)
    with linked(governed) as workspace:
        assert workspace.state_dir == governed.state_dir
        assert workspace.ledger.ledger_id == governed.workspace.ledger.ledger_id
        assert workspace.tasks.show(TASK).stage == Phase.SPEC


@pytest.mark.parametrize("phase", [Phase.SPEC, Phase.IMPLEMENT, Phase.PR])
def test_a_move_from_another_worktree_is_refused(at: Prepare, phase: Phase) -> None:
    governed = at(phase)
    with linked(governed) as workspace:
        governed.agent.prepare(phase)
        with expect_refusal(governed, "wrong_worktree") as refusal:
            workspace.enforcer.advance_phase(TASK, caller=AGENT)
    # The files there are of another piece of work: no person is asked about their diff.
    assert not refusal.subjects
    assert not governed.lines("approval.requested")


def test_who_stands_in_another_worktree_takes_no_lease(at: Prepare) -> None:
    # Red without: `astray` before `ensure` in `_collect` (process/enforcer.py).
    governed = at(Phase.SPEC)
    governed.agent.prepare(Phase.SPEC)
    governed.workspace.leases.release(TASK, caller=AGENT)
    grants = len(governed.lines("lease.granted"))
    with linked(governed) as workspace:
        for attempt in (workspace.enforcer.advance_phase, workspace.enforcer.verify):
            with expect_refusal(governed, "wrong_worktree"):
                attempt(TASK, caller=AGENT)
        assert workspace.enforcer.preview(TASK, caller=AGENT).codes() == ("wrong_worktree",)
    assert governed.workspace.leases.held(TASK) is None
    assert len(governed.lines("lease.granted")) == grants
    governed.advance(caller=REVIEWER)
    assert governed.task.stage == Phase.PLAN, "another session was not kept waiting"


def test_what_lies_in_another_worktree_is_not_looked_at(at: Prepare) -> None:
    # Red without: the early return in `RunnerDesk.start` (process/runners/__init__.py). `next` asks the runner too.
    governed = at(Phase.IMPLEMENT)
    governed.agent.implement()
    with linked(governed) as workspace:
        (workspace.root.parent / "linked" / "README.md").write_text("# Not in the plan.\n")
        steps = workspace.guidance.next_steps(TASK, caller=AGENT)
        assert not steps.approvals, "a person would be asked about the diff of other files"
        assert [missing.code for missing in steps.missing if missing.command == ""] == ["wrong_worktree"]
        # Where the gate only observes, nothing is found there either.
        governed.workspace.flags.set("evidence_gate", "observe", reason="look first", caller=HUMAN)
        moved = workspace.enforcer.advance_phase(TASK, caller=AGENT)
    assert not moved.artifacts
    assert not moved.data["judged_tree"]


def test_a_bare_repository_keeps_the_state_of_its_worktrees(at: Prepare) -> None:
    governed = at(Phase.STRATEGIZE)
    bare, tree = governed.root.parent / "bare.git", governed.root.parent / "tree"
    governed.git("clone", "-q", "--bare", str(governed.root), str(bare))
    governed.git("--git-dir", str(bare), "worktree", "add", "-q", str(tree))
    outside = Outside(environ=governed.environ, clock=governed.clock)
    with Workspace.init(tree, caller=AGENT, outside=outside) as workspace:
        assert workspace.state_dir == bare / "state"
    with Workspace.open(tree, outside=outside) as workspace:
        assert workspace.ledger.verify().status == "intact"
