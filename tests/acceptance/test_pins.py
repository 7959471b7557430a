"""Pins: tests of the base, runner configuration and commands change only with an approval of exactly that diff.

Red without: `_check_pins` (process/runners/phases.py); `pinned_changes` (evidence/pins.py); `_built`
(process/runners/executed.py). The forgeries that bend
tests are in `forgeries.py`; here is the honest way.
"""

from __future__ import annotations

import pytest
from governed import HUMAN, TASK, Governed, Prepare, expect_refusal

from autopilot.cli.demo.honest import AGENT, HonestAgent
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
    with expect_refusal(governed, "tests_changed") as refusal:
        governed.advance()
    assert refusal.exit_code == 4
    assert [reason.code for reason in refusal.reasons] == ["tests_changed"]
    assert not governed.evidence(Phase.VERIFY, "test_results.json").exists()


def test_an_approved_change_runs_and_is_judged_like_any_other(at: Prepare) -> None:
    governed = refactored(at)
    with expect_refusal(governed, "tests_changed") as refusal:
        governed.advance()
    governed.workspace.approvals.approve(TASK, *refusal.subjects, reason="order does not matter", caller=HUMAN)
    line = governed.advance()
    assert line.data["approvals"] == list(refusal.subjects)
    assert governed.task.stage == Phase.REVIEW


def test_the_approval_is_of_that_diff_alone(at: Prepare) -> None:
    governed = refactored(at)
    with expect_refusal(governed, "tests_changed") as refusal:
        governed.advance()
    governed.workspace.approvals.approve(TASK, *refusal.subjects, reason="order does not matter", caller=HUMAN)
    # The diff is of the judged tree: another one needs IMPLEMENT again, and with it another epoch.
    governed.workspace.enforcer.backtrack(TASK, Phase.IMPLEMENT, reason="one more thing", caller=AGENT)
    test = governed.root / BASE_TEST
    test.write_text(test.read_text().replace("== 350", "> 0"))
    governed.advance()
    with expect_refusal(governed, "tests_changed") as again:
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
    with expect_refusal(governed, "tests_changed") as refusal:
        governed.advance()
    governed.workspace.approvals.approve(TASK, *refusal.subjects, reason="looks harmless", caller=HUMAN)
    with expect_refusal(governed, "tests_failed"):
        governed.advance()


def building(fresh: Governed, generator: str) -> HonestAgent:
    """A project whose build runs a script of its own; in IMPLEMENT, with that script in the plan."""
    (fresh.root / "tools").mkdir()
    (fresh.root / "tools/gen.py").write_text(generator)
    fresh.settings(lambda text: text.replace('"compileall", "-q", "-f", "shop"]', '"tools.gen"]'))
    fresh.workspace.config.seal(HUMAN)
    fresh.git("add", "-A")
    fresh.git("commit", "-q", "-m", "Governed")
    agent = HonestAgent(fresh.workspace, TASK, fresh.root)
    agent.planned = ({"path": "tools/gen.py", "change": "modified", "why": "the table gets another column"},)
    agent.open()
    agent.run(until=Phase.IMPLEMENT, human=fresh.approve)
    agent.implement()
    return agent


@pytest.mark.parametrize(
    "written",
    [
        "open('tests/conftest.py', 'w').write('import os\\n')",
        "open('tests/test_pricing.py', 'w').write('def test_basket_adds_up(): ...\\n')",
        "open('pytest.ini', 'w').write('[pytest]\\n')",
        "open('json.py', 'w').write('x = 1\\n')",
        "open('conftest.pyc', 'w').write('x')",
        "import os; os.unlink('tests/conftest.py')",
        "import os; os.unlink('tests/conftest.py'); os.symlink('/dev/null', 'tests/conftest.py')",
    ],
)
def test_a_build_does_not_write_what_the_tests_are_held_to(fresh: Governed, written: str) -> None:
    building(fresh, "print('nothing to do')\n")
    (fresh.root / "tools/gen.py").write_text(written + "\n")
    fresh.advance()
    with expect_refusal(fresh, "build_changed_pins"):
        fresh.advance()
    assert not fresh.evidence(Phase.VERIFY, "test_results.json").exists()


def test_what_the_build_of_the_base_wrote_as_well_is_no_finding(fresh: Governed) -> None:
    generator = "open('tests/conftest.py', 'w').write('GENERATED = 1\\n')\n"
    building(fresh, generator)
    (fresh.root / "tools/gen.py").write_text(generator + "open('shop/table.py', 'w').write('TABLE = 1\\n')\n")
    fresh.advance()
    fresh.advance()
    assert fresh.task.stage == Phase.REVIEW


def test_what_a_build_compiles_is_not_what_the_tests_run(fresh: Governed) -> None:
    building(fresh, "print('nothing to do')\n")
    (fresh.root / "tools/gen.py").write_text(
        "import importlib.util, os, py_compile\n"
        "open('other.py', 'w').write('def discounted(total, percent): return 0\\n')\n"
        "py_compile.compile('other.py', importlib.util.cache_from_source('shop/pricing.py'),\n"
        "    invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)\n"
        "os.unlink('other.py')\n"
    )
    fresh.advance()
    # The tests ran the source, which is right: with the compiled file none of them could be collected.
    fresh.advance()
    assert fresh.task.stage == Phase.REVIEW
