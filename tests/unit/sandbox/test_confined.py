"""The runner of trust mode 1: never a plain one, and nothing is mounted that could become the state."""

from __future__ import annotations

from pathlib import Path

import pytest

from autopilot.kernel.errors import MissingComponentError
from autopilot.sandbox import confined
from autopilot.sandbox.choose import Probe, probe
from autopilot.sandbox.confined import Confinement
from autopilot.sandbox.run import CommandSpec

NOTHING = Probe(None, "bwrap is not installed")


@pytest.mark.parametrize("wish", ["none", "auto", "bwrap"])
def test_without_isolation_there_is_no_runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wish: str) -> None:
    """Whatever the configuration wishes."""
    monkeypatch.setattr(confined, "probe", lambda: NOTHING)
    with pytest.raises(MissingComponentError) as caught:
        Confinement(forbidden=(tmp_path,)).runner(wish)
    assert caught.value.code == "isolation_missing"
    assert Confinement(forbidden=(tmp_path,)).name == "missing"


def test_a_third_user_stands_in_but_for_a_demand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who demands bubblewrap gets bubblewrap or nothing."""
    third = Confinement(forbidden=(tmp_path,), run_as=(61003, 61003))
    monkeypatch.setattr(confined, "probe", lambda: NOTHING)
    assert third.runner("none").name == "user"
    assert third.runner("auto").name == "user"
    with pytest.raises(MissingComponentError):
        third.runner("bwrap")


def test_bubblewrap_runs_what_wished_for_none(tmp_path: Path) -> None:
    """`none` in the configuration is no way to run as the engine's user."""
    if probe().bubblewrap is None:
        pytest.skip("bubblewrap does not work here")
    assert Confinement(forbidden=(tmp_path,)).runner("none").name == "bwrap"


def test_what_would_show_the_state_is_not_mounted(tmp_path: Path) -> None:
    """The folder itself, one in it, one above it, and a link to it; but for the provided dependencies."""
    if probe().bubblewrap is None:
        pytest.skip("bubblewrap does not work here")
    state, work = tmp_path / "state", tmp_path / "work"
    (state / "cache" / "deps" / "k").mkdir(parents=True)
    (state / "keys").mkdir()
    work.mkdir()
    (tmp_path / "link").symlink_to(state)
    runner = Confinement(forbidden=(state,), shown=(state / "cache" / "deps",)).runner("auto")

    def spec(readonly: Path) -> CommandSpec:
        return CommandSpec(
            argv=("/usr/bin/true",), cwd=work, timeout_seconds=30, writable=(work,), readonly=(readonly,)
        )

    for path in (state, state / "keys", tmp_path, tmp_path / "link", tmp_path / "gone"):
        with pytest.raises(MissingComponentError) as caught:
            runner.run(spec(path))
        assert caught.value.code == "mount_unsafe"
    assert runner.run(spec(state / "cache" / "deps" / "k")).succeeded
