"""The runner of trust mode 1: never a plain one, and nothing is mounted that could become the state."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autopilot.kernel import ownership
from autopilot.kernel.errors import MissingComponentError
from autopilot.kernel.ownership import Folder, look_through
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
    assert Confinement(forbidden=(tmp_path,)).name(wish) == "missing"


def test_a_third_user_stands_in_but_for_a_demand(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who demands bubblewrap gets bubblewrap or nothing."""
    third = Confinement(forbidden=(tmp_path,), run_as=(61003, 61003))
    monkeypatch.setattr(confined, "probe", lambda: NOTHING)
    assert third.runner("none").name == "user"
    assert third.runner("auto").name == "user"
    assert (third.name("auto"), third.name("bwrap")) == ("user", "missing")
    with pytest.raises(MissingComponentError):
        third.runner("bwrap")


def test_bubblewrap_runs_what_wished_for_none(tmp_path: Path) -> None:
    """`none` in the configuration is no way to run as the engine's user."""
    if probe().bubblewrap is None:
        pytest.skip("bubblewrap does not work here")
    assert Confinement(forbidden=(tmp_path,)).runner("none").name == "bwrap"
    # Where there is a third user as well, what is said is what runs.
    both = Confinement(forbidden=(tmp_path,), run_as=(61003, 61003))
    for wish, name in (("none", "user"), ("auto", "bwrap"), ("bwrap", "bwrap")):
        assert (both.name(wish), both.runner(wish).name) == (name, name)


@pytest.mark.parametrize(("wish", "run_as"), [("auto", None), ("none", (61003, 61003))])
def test_what_would_show_the_state_is_not_mounted(tmp_path: Path, wish: str, run_as: tuple[int, int] | None) -> None:
    """The folder itself, one in it, one above it, and a link to it; but for the provided dependencies."""
    if run_as is None and probe().bubblewrap is None:
        pytest.skip("bubblewrap does not work here")
    state, work = tmp_path / "state", tmp_path / "work"
    (state / "cache" / "deps" / "k").mkdir(parents=True)
    (state / "keys").mkdir()
    work.mkdir()
    (tmp_path / "link").symlink_to(state)
    runner = Confinement(forbidden=(state,), shown=(state / "cache" / "deps",), run_as=run_as).runner(wish)

    def spec(readonly: Path) -> CommandSpec:
        return CommandSpec(
            argv=("/usr/bin/true",), cwd=work, timeout_seconds=30, writable=(work,), readonly=(readonly,)
        )

    for path in (state, state / "keys", tmp_path, tmp_path / "link", tmp_path / "gone"):
        with pytest.raises(MissingComponentError) as caught:
            runner.run(spec(path))
        assert (caught.value.code, caught.value.where) == ("mount_unsafe", str(path))
    if run_as is None:
        assert runner.run(spec(state / "cache" / "deps" / "k")).succeeded


def test_every_link_on_the_way_is_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A link of root's that leads through a link of the agent's: where that leads next is the agent's to say."""
    mine = tmp_path / "agent"
    mine.mkdir()
    (mine / "python").symlink_to("/usr/lib")
    (tmp_path / "python").symlink_to(mine / "python")
    (tmp_path / "safe").symlink_to("/usr/lib")
    (tmp_path / "round").symlink_to(tmp_path / "round")
    confinement = Confinement(forbidden=(Path("/nowhere"),))
    assert confinement.check(tmp_path / "python") == confinement.check(tmp_path / "safe") == ""
    of_another(monkeypatch, mine / "python")
    assert "belongs to uid 61001" in confinement.check(tmp_path / "python")
    assert "belongs to uid 61001" in confinement.check(tmp_path / "agent" / ".." / "agent" / "python")
    assert confinement.check(tmp_path / "safe") == ""
    with pytest.raises(OSError, match="symbolic links"):
        look_through(tmp_path / "round")


def of_another(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Let `path` look as if the agent's user owned it: no other user can be had without root."""
    real = ownership.look

    def look(place: Path) -> Folder:
        found = real(place)
        return replace(found, uid=61001) if place == path else found

    monkeypatch.setattr(ownership, "look", look)
