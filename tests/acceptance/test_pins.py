"""Pins: tests of the base, runner configuration and commands change only with an approval of exactly that diff.

Red without: `_check_pins` (process/runners/phases.py); `pinned_changes` (evidence/pins.py). The forgeries that bend
tests are in `forgeries.py`; here is the honest way.
"""

from __future__ import annotations

from governed import HUMAN, TASK, Governed, Prepare, refused

from autopilot.cli.demo.honest import AGENT
from autopilot.kernel.phases import Phase

BASE_TEST = "tests/test_pricing.py"
PLAN = ((BASE_TEST, "modified"), ("tests/conftest.py", "modified"))


def refactored(at: Prepare) -> Governed:
    """In VERIFY with an honest change of a test of the base."""
    governed = at(Phase.IMPLEMENT, plan=PLAN)
    governed.agent.implement()
    test = governed.root / BASE_TEST
    test.write_text(test.read_text().replace("basket([100, 250])", "basket([250, 100])"))
    governed.advance()
    return governed


def test_nothing_runs_before_a_person_looked(at: Prepare) -> None:
    governed = refactored(at)
    with refused(governed, "tests_changed") as refusal:
        governed.advance()
    assert refusal.exit_code == 4
    assert [reason.code for reason in refusal.reasons] == ["tests_changed"]
    assert not governed.evidence(Phase.VERIFY, "test_results.json").exists()


def test_an_approved_change_runs_and_is_judged_like_any_other(at: Prepare) -> None:
    governed = refactored(at)
    with refused(governed, "tests_changed") as refusal:
        governed.advance()
    governed.workspace.approvals.approve(TASK, *refusal.subjects, reason="order does not matter", caller=HUMAN)
    line = governed.advance()
    assert line.data["approvals"] == list(refusal.subjects)
    assert governed.task.stage == Phase.REVIEW


def test_the_approval_is_of_that_diff_alone(at: Prepare) -> None:
    governed = refactored(at)
    with refused(governed, "tests_changed") as refusal:
        governed.advance()
    governed.workspace.approvals.approve(TASK, *refusal.subjects, reason="order does not matter", caller=HUMAN)
    # The diff is of the judged tree: another one needs IMPLEMENT again, and with it another epoch.
    governed.workspace.enforcer.backtrack(TASK, Phase.IMPLEMENT, reason="one more thing", caller=AGENT)
    test = governed.root / BASE_TEST
    test.write_text(test.read_text().replace("== 350", "> 0"))
    governed.advance()
    with refused(governed, "tests_changed") as again:
        governed.advance()
    assert set(again.subjects).isdisjoint(refusal.subjects)


def test_an_approved_conftest_cannot_turn_a_failure_into_a_pass_unseen(at: Prepare) -> None:
    # Even what a person approved must not contradict itself: outcomes patched in the report, not in the exit.
    governed = at(Phase.IMPLEMENT, plan=PLAN)
    governed.agent.fix = False
    (governed.root / "tests/test_discount.py").write_text(
        "from shop.pricing import discounted\n\n\ndef test_everything_off():\n    assert discounted(1000, 100) == 0\n"
    )
    (governed.root / "tests/conftest.py").write_text(
        "def pytest_sessionfinish(session, exitstatus):\n    session.exitstatus = 0\n"
    )
    (governed.root / "shop/pricing.py").write_text((governed.root / "shop/pricing.py").read_text() + "\n")
    governed.advance()
    with refused(governed, "tests_changed") as refusal:
        governed.advance()
    governed.workspace.approvals.approve(TASK, *refusal.subjects, reason="looks harmless", caller=HUMAN)
    with refused(governed, "tests_failed"):
        governed.advance()
