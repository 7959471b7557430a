"""What an agent prepares before it opens its task, and what it does outside of the tree, gains it nothing."""

from __future__ import annotations

import importlib.util
import py_compile
import sys
from pathlib import Path

import pytest
from governed import AGENT, HUMAN, TASK, Governed, expect_refusal

from autopilot.cli.demo.honest import HonestAgent
from autopilot.evidence.values.changes import ModifiedFiles
from autopilot.evidence.values.runs import SmokeTestResults
from autopilot.kernel.errors import RefusedError
from autopilot.kernel.phases import Phase


def test_a_test_weakened_in_the_working_tree_before_opening_is_refused_in_verify(fresh: Governed) -> None:
    """Red without the comparison with the commit in `process/runners/phases.py::_check_pins`."""
    weak = fresh.root / "tests" / "test_pricing.py"
    weak.write_text(weak.read_text().replace("== 350", "> 0"))
    agent = HonestAgent(fresh.workspace, TASK, fresh.root)
    agent.open()
    agent.run(until=Phase.VERIFY, human=fresh.approve)
    with expect_refusal(fresh, "tests_changed") as refusal:
        fresh.advance()
    assert "tests/test_pricing.py" in refusal.reasons[0].detail


def test_commands_changed_before_opening_are_inert_until_a_person_seals_them(fresh: Governed) -> None:
    """Red without `ConfigDesk.governing` in `process/desks/tasks.py`."""
    fresh.workspace.config.seal(HUMAN)
    fresh.settings(lambda text: text.replace('"-m", "pytest"', '"-c", "pass"'))
    sealed = fresh.workspace.config.sealed(fresh.workspace.ledger.view().state)
    assert sealed is not None
    agent = HonestAgent(fresh.workspace, TASK, fresh.root)
    agent.open()
    ran = fresh.workspace.engine.sealed_settings(fresh.task).command("test")
    assert ran == sealed.command("test")
    inert = fresh.workspace.config.inert(fresh.workspace.ledger.view().state)
    assert inert is not None
    assert "commands.test" in inert.changed
    with pytest.raises(RefusedError) as raised:
        fresh.workspace.config.seal(AGENT)
    assert raised.value.code == "human_only"
    fresh.workspace.config.seal(HUMAN)
    assert fresh.workspace.config.inert(fresh.workspace.ledger.view().state) is None


@pytest.mark.parametrize("name", ["sitecustomize.py", "pytest_timeout.py", "deep/er/module.py", "sourceless.pyc"])
def test_an_interpreters_package_patched_waits_for_a_person(fresh: Governed, tmp_path: Path, name: str) -> None:
    """Red without the comparison of `startup_sha256` in `process/runners/config.py`."""
    site = own_environment(fresh, tmp_path)
    agent = HonestAgent(fresh.workspace, TASK, fresh.root)
    agent.open()
    agent.run(until=Phase.PLAN, human=fresh.approve)
    (site / name).parent.mkdir(parents=True, exist_ok=True)
    (site / name).write_text("# an agent with pip could put anything here\n")
    agent.prepare(Phase.PLAN)
    with expect_refusal(fresh, "environment_changed") as refusal:
        fresh.advance()
    assert refusal.exit_code == 4


def test_a_package_compiled_otherwise_than_its_source_is_not_run(fresh: Governed, tmp_path: Path) -> None:
    """Red without `PYTHONPYCACHEPREFIX` in `process/execution.py`."""
    site = own_environment(fresh, tmp_path)
    module = site / "shoptools.py"
    module.write_text("LOADED = 'source'\n")
    commands = fresh.root / "autopilot.toml"
    commands.write_text(
        commands.read_text().replace("import shop; ", "import shop, shoptools; print(shoptools.LOADED); ")
    )
    fresh.reopen()
    fresh.workspace.config.seal(HUMAN)
    agent = HonestAgent(fresh.workspace, TASK, fresh.root)
    agent.open()
    agent.run(until=Phase.MONITOR, human=fresh.approve)
    # Marked so that no check of the source is made, as `py_compile` can.
    (site / "other.py").write_text("LOADED = 'compiled'\n")
    cached = Path(importlib.util.cache_from_source(str(module)))
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    py_compile.compile(str(site / "other.py"), cfile=str(cached), invalidation_mode=mode)
    (site / "other.py").unlink()
    agent.prepare(Phase.MONITOR)
    fresh.advance()
    run = SmokeTestResults.from_json(fresh.evidence(Phase.MONITOR, "smoke_test_results.json").read_bytes()).run
    assert run is not None
    assert run.tail.startswith("source ")


def own_environment(fresh: Governed, tmp_path: Path) -> Path:
    """Let the tasks run in an environment of their own that shows this one's packages; its package folder."""
    venv = tmp_path / "venv"
    site = venv / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    (venv / "bin").mkdir(parents=True)
    site.mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    (venv / "pyvenv.cfg").write_text(f"home = {Path(sys.base_prefix) / 'bin'}\n")
    own = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    (site / "inherited.pth").write_text(f"{own}\n")
    fresh.settings(
        lambda text: f'python = "{venv / "bin" / "python"}"\n[sandbox]\nreadonly = ["{own}"]\n' + _rest(text)
    )
    fresh.workspace.config.seal(HUMAN)
    return site


def committed(fresh: Governed) -> None:
    fresh.git("add", "-A")
    fresh.git("commit", "-q", "-m", "Governed")


def loose_file(fresh: Governed, planned: str) -> HonestAgent:
    """A file that lies there uncommitted when the task opens, and stands in the plan; in IMPLEMENT."""
    committed(fresh)
    (fresh.root / "shop/voucher.py").write_text("LIMIT = 1\n")
    agent = HonestAgent(fresh.workspace, TASK, fresh.root)
    agent.planned = ({"path": "shop/voucher.py", "change": planned, "why": "the limit of vouchers lies there"},)
    agent.open()
    agent.run(until=Phase.IMPLEMENT, human=fresh.approve)
    agent.implement()
    return agent


@pytest.mark.parametrize("planned", ["added", "modified"])
def test_what_was_uncommitted_when_the_task_opened_is_planned_and_shown(fresh: Governed, planned: str) -> None:
    """Red without `process/origin.py`."""
    loose_file(fresh, planned)
    fresh.advance()
    evidence = fresh.task.evidence
    patch = fresh.workspace.ledger.objects.get(evidence["IMPLEMENT/git_diff.patch"].sha256).decode()
    assert "+LIMIT = 1" in patch
    listed = ModifiedFiles.from_json(
        fresh.workspace.ledger.objects.get(evidence["IMPLEMENT/modified_files.json"].sha256)
    )
    assert ("shop/voucher.py", "added") in listed.changes()
    # What `init` left uncommitted is no change of the task; here it is committed, and elsewhere it is not.
    assert {path for path, _ in listed.changes()} == {"shop/pricing.py", "shop/voucher.py", "tests/test_discount.py"}


def test_the_files_of_init_may_stay_uncommitted(fresh: Governed) -> None:
    agent = HonestAgent(fresh.workspace, TASK, fresh.root)
    agent.open()
    agent.run(until=Phase.VERIFY, human=fresh.approve)
    data = fresh.workspace.ledger.objects.get(fresh.task.evidence["IMPLEMENT/modified_files.json"].sha256)
    assert {path for path, _ in ModifiedFiles.from_json(data).changes()} == {
        "shop/pricing.py",
        "tests/test_discount.py",
    }


def test_before_the_first_commit_the_working_tree_is_the_base(fresh: Governed) -> None:
    fresh.git("update-ref", "-d", "HEAD")
    agent = HonestAgent(fresh.workspace, TASK, fresh.root)
    agent.open()
    agent.run(until=Phase.VERIFY, human=fresh.approve)
    assert fresh.task.base_commit == ""


def test_a_task_that_only_found_edits_did_nothing(fresh: Governed) -> None:
    agent = loose_file(fresh, "added")
    fresh.git("checkout", "-q", "shop/pricing.py")
    (fresh.root / "tests/test_discount.py").unlink()
    assert agent.workspace is fresh.workspace
    with expect_refusal(fresh, "nothing_changed"):
        fresh.advance()


def _rest(text: str) -> str:
    """The file with its top-level keys moved in front of the first section, where TOML wants them."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(("python =", "ledger_id")))
