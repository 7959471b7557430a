"""The guards that `scripts/check_mutations.py` takes out are where it looks for them, and their tests go red."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "check_mutations.py"


def loaded() -> Any:
    """The script as a module."""
    spec = spec_from_file_location("check_mutations", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["check_mutations"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(*names: str) -> None:
    """The mutations of these names are noticed."""
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), *names], capture_output=True, text=True, timeout=1800, check=False
    )
    print(ran.stdout)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_mutation_still_has_its_place() -> None:
    """Code that was changed takes its mutation with it, or there is one guard less that is looked after."""
    for mutation in loaded().MUTATIONS:
        assert mutation.applied() != mutation.path.read_text()


def test_a_lock_and_a_hash_that_are_taken_out_are_missed() -> None:
    check("thread lock", "check of the head hint")


def test_a_guard_that_nobody_would_miss_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    """The check can fail: a mutation that changes nothing survives."""
    module = loaded()
    harmless = module.Mutation(
        "a comment", "autopilot.storage.files.hint", (("The head hint", "A head hint"),), (module.GUARDS,)
    )
    monkeypatch.setattr(module, "MUTATIONS", (harmless,))
    monkeypatch.setattr(module, "first_red", lambda _: "")
    assert module.main([]) == 1
    assert "SURVIVED" in capsys.readouterr().out
    gone = module.Mutation("gone", "autopilot.storage.files.hint", (("no such words", ""),), (module.GUARDS,))
    monkeypatch.setattr(module, "MUTATIONS", (gone,))
    assert module.main([]) == 2


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_every_mutation_is_missed() -> None:
    check()
