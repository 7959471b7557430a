"""The plan lock: IMPLEMENT touches what file_map.json says, and generated files are what their command writes.

Red without: `_check_plan_lock`, `_check_size` (process/runners/phases.py); `executed.generated`.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from governed import TASK, Governed, Prepare, expect_refusal

from autopilot.cli.demo.honest import AGENT, FILE_MAP, HonestAgent
from autopilot.cli.demo.project import FIX
from autopilot.kernel.phases import Phase

GENERATE = ["python", "-c", "open('shop/table.py', 'w').write('TABLE = [' + ', '.join(map(str, range(9))) + ']\\n')"]
GENERATED = "TABLE = [0, 1, 2, 3, 4, 5, 6, 7, 8]\n"


def touch_new(governed: Governed) -> None:
    (governed.root / "shop/extra.py").write_text("EXTRA = 1\n")


def touch_old(governed: Governed) -> None:
    (governed.root / "README.md").write_text("# shop\n")


def delete(governed: Governed) -> None:
    (governed.root / "README.md").unlink()


def delete_planned(governed: Governed) -> None:
    # The plan has it `modified`: deleting it is another change.
    (governed.root / "shop/pricing.py").unlink()


def make_executable(governed: Governed) -> None:
    (governed.root / "README.md").chmod(0o755)


def link(governed: Governed) -> None:
    (governed.root / "shop/link.py").symlink_to("/etc/passwd")


def rename(governed: Governed) -> None:
    (governed.root / "README.md").rename(governed.root / "READ.md")


def stage_only(governed: Governed) -> None:
    # In the index and not on disk: what ships is what lies in the working tree.
    (governed.root / "shop/staged.py").write_text("STAGED = 1\n")
    governed.git("add", "-f", "shop/staged.py")


@pytest.mark.parametrize(
    "stray", [touch_new, touch_old, delete, delete_planned, make_executable, link, rename, stage_only]
)
def test_a_change_outside_of_the_plan_waits_for_a_person(at: Prepare, stray: Callable[[Governed], None]) -> None:
    governed = at(Phase.IMPLEMENT)
    governed.agent.implement()
    stray(governed)
    with expect_refusal(governed, "outside_plan") as refusal:
        governed.advance()
    assert refusal.exit_code == 4
    assert [reason.code for reason in refusal.reasons] == ["outside_plan"]


def test_ignored_files_are_no_change(at: Prepare) -> None:
    governed = at(Phase.IMPLEMENT)
    governed.agent.implement()
    (governed.root / "shop/__pycache__").mkdir(exist_ok=True)
    (governed.root / "shop/__pycache__/x.pyc").write_bytes(b"\0")
    governed.advance()


def test_no_change_is_no_work(at: Prepare) -> None:
    governed = at(Phase.IMPLEMENT)
    with expect_refusal(governed, "nothing_changed"):
        governed.advance()


def test_amending_the_plan_is_the_other_way(at: Prepare) -> None:
    governed = at(Phase.IMPLEMENT)
    governed.agent.implement()
    touch_old(governed)
    with expect_refusal(governed, "outside_plan"):
        governed.advance()
    governed.workspace.enforcer.backtrack(TASK, Phase.PLAN, reason="README.md belongs to it", caller=AGENT)
    agent = governed.agent
    agent.planned = ({"path": "README.md", "change": "modified", "why": "says how the discount is rounded"},)
    agent.prepare(Phase.PLAN)
    governed.advance()
    agent.prepare(Phase.THINK)
    governed.advance()
    governed.advance()
    assert governed.task.stage == Phase.VERIFY


def generating(at: Prepare) -> Governed:
    """In IMPLEMENT with a plan that has shop/table.py generated."""
    governed = at(Phase.PLAN)
    governed.agent.prepare(Phase.PLAN)
    entry = {"path": "shop/table.py", "change": "generated", "why": "a table that its command writes", "by": GENERATE}
    governed.agent.write(Phase.PLAN, "file_map.json", json.dumps([*FILE_MAP, entry]))
    governed.advance()
    governed.agent.prepare(Phase.THINK)
    governed.advance()
    governed.agent.implement()
    return governed


def test_a_generated_file_is_what_its_command_writes(at: Prepare) -> None:
    governed = generating(at)
    table = governed.root / "shop/table.py"
    for forged in (GENERATED.replace("8", "9"), GENERATED + "\n", GENERATED.rstrip("\n")):
        table.write_text(forged)
        with expect_refusal(governed, "generated_differs"):
            governed.advance()
    table.write_text(GENERATED)
    governed.advance()


def test_a_change_too_large_for_its_profile_is_refused(fresh: Governed) -> None:
    agent = HonestAgent(fresh.workspace, TASK, fresh.root)
    fresh.workspace.tasks.open(
        TASK, title="Take the discount off once in shop pricing", profile="small-change", caller=AGENT
    )
    agent.run(until=Phase.IMPLEMENT, human=fresh.approve)
    agent.implement()
    source = fresh.root / "shop/pricing.py"
    source.write_text(source.read_text() + "# a long remark\n" * 101)
    with expect_refusal(fresh, "profile_too_light"):
        fresh.advance()
    source.write_text(source.read_text().replace("# a long remark\n", ""))
    assert FIX in source.read_text()
    fresh.advance()
