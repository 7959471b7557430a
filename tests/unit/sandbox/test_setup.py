"""Dependencies are provided once, whole or not at all, and what is in them is known by its digest."""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autopilot.kernel.errors import ContractError, MissingComponentError, StorageError
from autopilot.sandbox.interpreter import Toolbox
from autopilot.sandbox.plain import PlainRunner
from autopilot.sandbox.run import CommandResult, CommandSpec, Isolation, Runner
from autopilot.sandbox.setup import SetupRequest, index_files, provide, tree_digest

Request = Callable[..., SetupRequest]
INSTALL = ("python", "-c", "import sys; open(sys.argv[1] + '/module.py', 'w').write('x = 1')", "{deps}")


class Counting:
    """A runner that counts, and runs as the one inside."""

    def __init__(self, inner: Runner) -> None:
        self.inner = inner
        self.specs: list[CommandSpec] = []

    @property
    def name(self) -> Isolation:
        return self.inner.name

    def run(self, spec: CommandSpec) -> CommandResult:
        self.specs.append(spec)
        return self.inner.run(spec)


@pytest.fixture
def request_for(copy: Path, tmp_path: Path) -> Request:
    def make(argv: tuple[str, ...] = INSTALL, **changes: Any) -> SetupRequest:
        settings: dict[str, Any] = {
            "argv": argv,
            "env": {},
            "source": copy,
            "cache": tmp_path / "state" / "cache" / "deps",
            "inputs": {"requirements.txt": b"a==1\n"},
            "timeout_seconds": 60,
            **changes,
        }
        return SetupRequest(**settings)

    return make


def test_runs_once_and_is_found_again(runner: Runner, toolbox: Toolbox, request_for: Request) -> None:
    counting = Counting(runner)
    first = provide(request_for(), counting, toolbox)
    second = provide(request_for(), counting, toolbox)
    assert (first.path / "module.py").read_text() == "x = 1"
    assert (second.path, second.tree_sha256, second.result) == (first.path, first.tree_sha256, None)
    assert first.result is not None
    assert len(counting.specs) == 1
    assert counting.specs[0].network
    assert first.as_dict()["cached"] is False
    assert second.as_dict()["cached"] is True


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": {"requirements.txt": b"a==2\n"}},
        {"inputs": {"requirements.lock": b"a==1\n"}},
        {"env": {"A": "b"}},
        {"argv": (*INSTALL, "more")},
    ],
)
def test_anything_that_decides_makes_another_tree(
    plain: PlainRunner, toolbox: Toolbox, request_for: Request, changes: dict[str, Any]
) -> None:
    base = provide(request_for(), plain, toolbox)
    other = provide(request_for(**changes), plain, toolbox)
    assert other.key != base.key
    assert other.result is not None


def test_isolation_has_trees_of_its_own(
    bwrap: Runner, plain: PlainRunner, toolbox: Toolbox, request_for: Request
) -> None:
    assert provide(request_for(), plain, toolbox).key != provide(request_for(), bwrap, toolbox).key


@pytest.mark.parametrize("tamper", ["edit", "add", "remove", "mode", "link", "bytecode"])
def test_a_tree_that_was_touched_is_built_again(
    plain: PlainRunner, toolbox: Toolbox, request_for: Request, tamper: str
) -> None:
    first = provide(request_for(), plain, toolbox)
    module = first.path / "module.py"
    if tamper == "edit":
        module.write_text("x = 2")
    elif tamper == "add":
        (first.path / "pytest.py").write_text("")
    elif tamper == "remove":
        module.unlink()
    elif tamper == "mode":
        module.chmod(0o755)
    elif tamper == "link":
        (first.path / "link").symlink_to("/etc/passwd")
    else:
        (first.path / "__pycache__").mkdir()
        (first.path / "__pycache__" / "module.cpython-311.pyc").write_bytes(b"x")
    second = provide(request_for(), plain, toolbox)
    assert second.result is not None
    assert second.tree_sha256 == first.tree_sha256
    assert [path.name for path in first.path.iterdir()] == ["module.py"]


@pytest.mark.parametrize("marker", [None, b"", b"[]", b'{"tree_sha256":"0"}'])
def test_a_tree_without_its_marker_is_no_tree(
    plain: PlainRunner, toolbox: Toolbox, request_for: Request, marker: bytes | None
) -> None:
    first = provide(request_for(), plain, toolbox)
    place = first.path.parent / "done.json"
    place.unlink()
    if marker is not None:
        place.write_bytes(marker)
    assert provide(request_for(), plain, toolbox).result is not None


def test_a_failure_says_why_and_leaves_nothing(runner: Runner, toolbox: Toolbox, request_for: Request) -> None:
    failing = (
        "python",
        "-c",
        "open(__import__('sys').argv[1] + '/half', 'w'); raise SystemExit('no such pin')",
        "{deps}",
    )
    for _ in range(2):
        with pytest.raises(MissingComponentError) as caught:
            provide(request_for(failing), runner, toolbox)
        assert caught.value.code == "setup_failed"
        assert "no such pin" in caught.value.detail
        assert caught.value.reasons()[0].standing.exit_code == 6
    assert not list(request_for().cache.rglob("half"))


def test_running_over_its_time_is_a_failure(plain: PlainRunner, toolbox: Toolbox, request_for: Request) -> None:
    with pytest.raises(MissingComponentError, match="setup_failed"):
        provide(request_for(("sleep", "30"), timeout_seconds=1), plain, toolbox)


def test_an_unknown_placeholder_is_refused(plain: PlainRunner, toolbox: Toolbox, request_for: Request) -> None:
    with pytest.raises(ContractError):
        provide(request_for(("true", "{report}")), plain, toolbox)


def test_several_at_once_build_one_tree(
    plain: PlainRunner, toolbox: Toolbox, request_for: Request, tmp_path: Path
) -> None:
    counting = Counting(plain)
    slow = (
        "python",
        "-c",
        "import sys, time; time.sleep(0.5); open(sys.argv[1] + '/a', 'w'); open(sys.argv[2], 'a').write('x')",
        "{deps}",
        str(tmp_path / "runs"),
    )
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(provide(request_for(slow), counting, toolbox).tree_sha256))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "runs").read_text() == "x"
    assert len(found) == 6
    assert len(set(found)) == 1


def test_waiting_ends(plain: PlainRunner, toolbox: Toolbox, request_for: Request) -> None:
    import fcntl

    first = provide(request_for(), plain, toolbox)
    with (first.path.parent / "lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StorageError) as caught:
            provide(request_for(timeout_seconds=1), plain, toolbox)
    assert (caught.value.code, caught.value.retryable) == ("lock_timeout", True)


def test_the_source_and_the_rest_of_the_state_are_out_of_reach(
    bwrap: Runner, toolbox: Toolbox, request_for: Request, copy: Path, tmp_path: Path
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "ledger").write_text("secret")
    (copy / "a.py").write_text("right")
    (copy / "key.pem").write_text("secret")
    line = f"cat {tmp_path}/state/ledger key.pem > {{deps}}/stolen; echo wrong > a.py; true"
    hidden = (tmp_path / "state", copy / "key.pem")
    made = provide(request_for(("sh", "-c", line), hidden=hidden), bwrap, toolbox)
    assert (made.path / "stolen").read_bytes() == b""
    assert (copy / "a.py").read_text() == "right"


def test_a_wheel_from_a_local_folder_is_installed_by_pip(
    runner: Runner, repository: Path, copy: Path, request_for: Request, tmp_path: Path
) -> None:
    """The real pip, an index setting of the caller's, and a package that the next command imports."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "tiny_dependency-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny_dependency.py", "VALUE = 42\n")
        info = "tiny_dependency-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-dependency\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        names = ("tiny_dependency.py", f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD")
        wheel.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in names))
    (copy / "requirements.txt").write_text("tiny-dependency==1.0\n")
    toolbox = Toolbox.of(repository, sys.executable)
    pip = ("python", "-m", "pip", "install", "--quiet", "--no-compile", "--target", "{deps}", "-r", "requirements.txt")
    request = dataclasses.replace(
        request_for(pip),
        caller_env={"PIP_FIND_LINKS": str(wheels), "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull},
    )
    made = provide(request, runner, toolbox)
    program = toolbox.resolve("python", source=copy)
    result = runner.run(
        CommandSpec(
            argv=(str(program.path), "-c", "import tiny_dependency; print(tiny_dependency.VALUE)"),
            cwd=copy,
            env={"PYTHONPATH": str(made.path)},
            timeout_seconds=30,
            writable=(copy,),
            readonly=(made.path, *program.mounts),
        )
    )
    assert result.output == b"42\n"


def test_index_settings_name_the_paths_they_need(tmp_path: Path) -> None:
    home, index, wheels = tmp_path / "home", tmp_path / "index", tmp_path / "wheels"
    for folder in (home / ".config" / "pip", index, wheels):
        folder.mkdir(parents=True)
    config = home / ".config" / "pip" / "pip.conf"
    config.write_text(f"[global]\nextra-index-url = file://{index} https://example.invalid/simple\n")
    env, paths = index_files({"PIP_FIND_LINKS": f"{wheels} /not/there", "SECRET": "no"}, home)
    assert env["PIP_CONFIG_FILE"] == str(config)
    assert "SECRET" not in env
    assert {config, index, wheels} <= set(paths)
    assert home not in paths


def test_what_every_command_sees_is_not_mounted_again(tmp_path: Path) -> None:
    named = {"PIP_CONFIG_FILE": os.devnull, "PIP_CERT": "/etc/hosts", "PIP_FIND_LINKS": "/dev /dev/shm"}
    assert index_files(named, tmp_path)[1] == ()


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="there is no memory-backed /dev/shm here")
def test_a_folder_in_memory_is_a_folder_like_any_other() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as wheels:
        assert index_files({"PIP_FIND_LINKS": wheels}, Path(wheels))[1] == (Path(wheels),)


def test_the_digest_tells_names_and_contents_apart(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("bc")
    first = tree_digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "ab")
    (tmp_path / "ab").write_text("c")
    assert tree_digest(tmp_path) != first
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ContractError):
        tree_digest(tmp_path)


def test_a_local_index_is_shown_with_the_files_its_pages_link_to(tmp_path):
    index = tmp_path / "index"
    (index / "simple" / "a").mkdir(parents=True)
    (index / "files").mkdir()
    _, paths = index_files({"PIP_INDEX_URL": f"file://{index}/simple/"}, tmp_path)
    assert index in paths
