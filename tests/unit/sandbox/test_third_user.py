"""What a third user is handed of the engine's files: what was made for it, and nothing else.

Red without: `Handover._root` (the engine's own folders are given to the third user's group); `_refuse_hidden` (so is
the state); `_readable` and `own_copy` (dependencies are written by whom they are given to read); `take_back` (a later
command writes where an earlier one could); the mask in `plain_copy` (a program that runs as the engine).
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from autopilot.kernel.errors import MissingComponentError
from autopilot.kernel.throwaway import throwaway
from autopilot.sandbox.interpreter import Toolbox
from autopilot.sandbox.run import CommandResult, CommandSpec
from autopilot.sandbox.setup import SetupRequest, provide
from autopilot.sandbox.third_user import ThirdUser, ThirdUserRunner
from autopilot.sandbox.third_user_files import own_copy, plain_copy

THIRD = 61003


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that every user can enter, with the throw-away folders in it."""
    if os.geteuid() != 0:
        if os.environ.get("CI"):
            pytest.fail("needs root to run as another user")
        pytest.skip("needs root to run as another user")
    folder = Path(tempfile.mkdtemp(prefix="third-", dir="/tmp"))
    folder.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def cache(base: Path) -> Path:
    """The engine's dependency cache with the folder of one tree in it."""
    place = base / "cache"
    (place / "deps" / "key" / "deps").mkdir(parents=True)
    place.chmod(0o750)
    return place


def shell(
    line: str,
    source: Path,
    cache: Path,
    *,
    writable: tuple[Path, ...] = (),
    readonly: tuple[Path, ...] = (),
    **more: object,
) -> CommandResult:
    """A shell line as the third user, in a copy that it may write."""
    runner = ThirdUserRunner(ThirdUser(THIRD, THIRD), cache)
    spec = CommandSpec(
        argv=("/bin/sh", "-c", line),
        cwd=source,
        timeout_seconds=30,
        writable=(source, *writable),
        readonly=readonly,
        **more,  # type: ignore[arg-type]
    )
    return runner.run(spec)


def modes(root: Path) -> dict[str, tuple[int, int, int]]:
    """Owner, group and mode of everything below a folder."""
    places = (root, *sorted(root.rglob("*")))
    return {str(place): (found.st_uid, found.st_gid, found.st_mode) for place in places if (found := place.lstat())}


def test_dependencies_are_read_and_never_written(base: Path, cache: Path) -> None:
    """Not by what made them either: the files are the engine's before they are used."""
    deps = cache / "deps" / "key" / "deps"
    hostile = (
        f"echo evil > {deps}/mod.py; touch {deps}/new.py {deps}/sub/new.py; chmod -R 777 {deps}; rm -rf {deps}/*; true"
    )
    with throwaway("autopilot-") as folder:
        source = folder / "tree"
        source.mkdir()
        made = shell(
            f"echo good > {deps}/mod.py; mkdir {deps}/sub; ln -s mod.py {deps}/link", source, cache, writable=(deps,)
        )
        assert made.succeeded, made.output
        # As the third user left them, they are shown to no command.
        with pytest.raises(MissingComponentError) as caught:
            shell("true", source, cache, readonly=(deps,))
        assert caught.value.code == "mount_unsafe"
        own_copy(deps)
        assert shell(f"cat {deps}/link", source, cache, readonly=(deps,)).output == b"good\n"
        shell(hostile, source, cache, readonly=(deps,))
        shell(hostile, source, cache)
    assert sorted(path.name for path in deps.iterdir()) == ["link", "mod.py", "sub"]
    assert (deps / "mod.py").read_text() == "good\n"
    assert not list((deps / "sub").iterdir())
    assert {path.lstat().st_uid for path in deps.rglob("*")} == {0}


def test_a_folder_of_the_engines_own_is_not_handed_over(base: Path, cache: Path) -> None:
    """Whatever the configuration or an interpreter's home names: its modes stay, and its files are not read."""
    state = base / "state"
    (state / "keys").mkdir(parents=True)
    (state / "keys" / "a.key").write_text("PRIVATE")
    (state / "keys" / "a.key").chmod(0o600)
    state.chmod(0o700)
    before = modes(state)
    with throwaway("autopilot-") as folder:
        source = folder / "tree"
        source.mkdir()
        read = shell(f"cat {state}/keys/a.key", source, cache, readonly=(state,))
        assert b"PRIVATE" not in read.output
        for writable in ((state,), (state / "keys",)):
            with pytest.raises(MissingComponentError) as caught:
                shell("true", source, cache, writable=writable)
            assert caught.value.code == "mount_unsafe"
    assert modes(state) == before


def test_what_is_to_be_hidden_is_refused_where_nothing_can_be_covered(base: Path, cache: Path) -> None:
    """Itself, what lies in it, what holds it, and a link to it."""
    state = base / "state"
    (state / "keys").mkdir(parents=True)
    (base / "link").symlink_to(state)
    with throwaway("autopilot-") as folder:
        source = folder / "tree"
        source.mkdir()
        for path in (state, state / "keys", base, base / "link", base / "link" / "keys"):
            with pytest.raises(MissingComponentError) as caught:
                shell("true", source, cache, readonly=(path,), hidden=(state,))
            assert caught.value.code == "mount_unsafe"


def test_a_link_in_a_tree_does_not_lead_the_engine_out(base: Path, cache: Path) -> None:
    """A project's link to a key: the key's mode stays, and so does that of a second name of one."""
    key = base / "a.key"
    key.write_text("PRIVATE")
    key.chmod(0o600)
    with throwaway("autopilot-") as folder:
        source = folder / "tree"
        source.mkdir()
        (source / "link").symlink_to(key)
        (source / "folder").symlink_to(base)
        (source / "second").hardlink_to(key)
        assert b"PRIVATE" not in shell("cat link second folder/a.key", source, cache).output
    assert (key.stat().st_gid, stat.S_IMODE(key.stat().st_mode)) == (0, 0o600)


def test_a_later_command_does_not_write_where_an_earlier_one_could(base: Path, cache: Path) -> None:
    """The tree that the build wrote is what the other commands' copies are made of."""
    with throwaway("autopilot-") as folder:
        built, source = folder / "built", folder / "tree"
        built.mkdir()
        source.mkdir()
        assert shell("echo good > made.py", built, cache).succeeded
        assert not shell(f"echo evil > {built}/made.py", source, cache).succeeded
        assert (built / "made.py").read_text() == "good\n"
        assert shell("echo more >> made.py", built, cache).succeeded


def test_no_program_that_runs_as_the_engine_is_made_of_one_of_the_third_users(base: Path, cache: Path) -> None:
    """A set-user-id file of its own, copied with all its bits by the engine, would be the engine's."""
    with throwaway("autopilot-") as folder:
        built = folder / "built"
        built.mkdir()
        # No bit of it survives the end of the command; and one that did is not copied.
        assert shell("cp /bin/sh sh; chmod 6755 sh", built, cache).succeeded
        assert not (built / "sh").stat().st_mode & 0o6000
        (built / "sh").chmod(0o6755)
        shutil.copytree(built, folder / "tree", symlinks=True, copy_function=plain_copy)
        copied = (folder / "tree" / "sh").stat()
        assert (copied.st_uid, stat.S_IMODE(copied.st_mode)) == (0, 0o755)
        own_copy(built)
        assert not (built / "sh").stat().st_mode & 0o6000
        (built / "sh").chmod(0o6755)
        shell("true", built, cache)
        assert not (built / "sh").stat().st_mode & 0o6000


def test_what_setup_made_is_the_engines_before_it_is_used(base: Path, cache: Path) -> None:
    """Provided by a third user, its files are the engine's own, and stay as they are recorded."""
    with throwaway("autopilot-") as folder:
        source = folder / "tree"
        source.mkdir()
        request = SetupRequest(
            argv=("sh", "-c", "echo good > {deps}/mod.py"),
            env={},
            source=source,
            cache=cache / "deps",
            inputs={},
            timeout_seconds=30,
        )
        runner, toolbox = ThirdUserRunner(ThirdUser(THIRD, THIRD), cache), Toolbox.of(source, "/usr/bin/python3")
        made = provide(request, runner, toolbox)
        assert {path.lstat().st_uid for path in (made.path, *made.path.rglob("*"))} == {0}
        shell(f"echo evil > {made.path}/mod.py", source, cache, readonly=(made.path,))
        again = provide(request, runner, toolbox)
        assert (again.result, again.tree_sha256) == (None, made.tree_sha256)
