"""What an agent prepares before it opens its task, and what it does outside of the tree, gains it nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from governed import AGENT, HUMAN, TASK, Governed, refused

from autopilot.cli.demo.honest import HonestAgent
from autopilot.kernel.errors import RefusedError
from autopilot.kernel.phases import Phase


def test_a_test_weakened_in_the_working_tree_before_opening_is_refused_in_verify(fresh: Governed) -> None:
    """Red without the comparison with the commit in `process/runners/phases.py::_check_pins`."""
    weak = fresh.root / "tests" / "test_pricing.py"
    weak.write_text(weak.read_text().replace("== 350", "> 0"))
    agent = HonestAgent(fresh.workspace, TASK, fresh.root)
    agent.open()
    agent.run(until=Phase.VERIFY, human=fresh.approve)
    with refused(fresh, "tests_changed") as refusal:
        fresh.advance()
    assert "tests/test_pricing.py" in refusal.reasons[0].detail


def test_commands_changed_before_opening_are_inert_until_a_person_seals_them(fresh: Governed) -> None:
    """Red without `ConfigDesk.governing` in `process/tasks.py`."""
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


def test_a_runner_patched_in_the_interpreters_packages_waits_for_a_person(fresh: Governed, tmp_path: Path) -> None:
    """Red without the comparison of `startup_sha256` in `process/runners/config.py`."""
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
    agent = HonestAgent(fresh.workspace, TASK, fresh.root)
    agent.open()
    agent.run(until=Phase.PLAN, human=fresh.approve)
    (site / "sitecustomize.py").write_text("# an agent with pip could put anything here\n")
    agent.prepare(Phase.PLAN)
    with refused(fresh, "environment_changed") as refusal:
        fresh.advance()
    assert refusal.exit_code == 4


def _rest(text: str) -> str:
    """The file with its top-level keys moved in front of the first section, where TOML wants them."""
    lines = text.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(("python =", "ledger_id")))
