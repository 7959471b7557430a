"""Programs are found where nobody who writes to the repository can put one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autopilot.kernel.canonical import sha256_hex
from autopilot.kernel.errors import ContractError, MissingComponentError
from autopilot.sandbox.interpreter import Toolbox, prefixes
from autopilot.sandbox.plain import PlainRunner
from autopilot.sandbox.run import CommandSpec, Runner


def program(place: Path, text: str = "#!/bin/sh\necho shim\n") -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    place.chmod(0o755)
    return place


def environment(folder: Path) -> Path:
    """A real virtual environment, without pip."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder / "bin" / "python"


def test_python_is_the_configured_one_whatever_lies_about(
    repository: Path, copy: Path, toolbox: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(copy / "python")
    monkeypatch.setenv("PATH", str(program(repository / "bin" / "python").parent))
    for name in ("python", "python3"):
        found = toolbox.resolve(name, source=copy)
        assert found.path == Path(sys.executable)
        assert found.sha256 == sha256_hex(Path(sys.executable).read_bytes())


def test_autopilots_own_interpreter_is_the_default(repository: Path) -> None:
    assert Toolbox.of(repository).interpreter == Path(sys.executable)


def test_no_directory_of_the_repository_is_on_the_path(repository: Path, copy: Path) -> None:
    python = environment(repository / ".venv")
    program(repository / ".venv" / "bin" / "only-here")
    toolbox = Toolbox.of(repository, ".venv/bin/python")
    assert toolbox.interpreter == python
    assert not any(str(folder).startswith(str(repository)) for folder in toolbox.path)
    with pytest.raises(MissingComponentError) as caught:
        toolbox.resolve("only-here", source=copy)
    assert "python -m only-here" in caught.value.remedy()


def test_not_through_a_link_either(repository: Path, tmp_path: Path, copy: Path) -> None:
    program(repository / "bin" / "tool")
    (tmp_path / "outside").symlink_to(repository / "bin")
    with pytest.raises(ContractError):
        Toolbox.of(repository, "", (str(tmp_path / "outside"),))


@pytest.mark.parametrize("folder", ["bin", "relative"])
def test_a_configured_directory_in_the_repository_is_refused(repository: Path, folder: str) -> None:
    with pytest.raises(ContractError):
        Toolbox.of(repository, "", (str(repository / "bin") if folder == "bin" else folder,))


def test_a_configured_directory_comes_before_the_systems(repository: Path, tmp_path: Path, copy: Path) -> None:
    tool = program(tmp_path / "tools" / "env")
    found = Toolbox.of(repository, "", (str(tool.parent),)).resolve("env", source=copy)
    assert found.path == tool
    assert found.mounts[-1] == tool


def test_system_programs_need_no_mount_but_the_interpreters(toolbox: Toolbox, copy: Path) -> None:
    assert toolbox.resolve("env", source=copy).mounts == toolbox.resolve("python", source=copy).mounts


def test_a_relative_program_is_the_copys(toolbox: Toolbox, repository: Path, copy: Path) -> None:
    program(repository / "build.sh", "live")
    judged = program(copy / "build.sh", "judged")
    found = toolbox.resolve("./build.sh", source=copy)
    assert (found.path, found.sha256) == (judged, sha256_hex(b"judged"))


@pytest.mark.parametrize("name", ["../evil", "./a/../../evil", "../copy2/evil"])
def test_a_relative_program_stays_in_the_copy(toolbox: Toolbox, copy: Path, name: str) -> None:
    program(copy.parent / "evil")
    program(copy.parent / "copy2" / "evil")
    with pytest.raises(ContractError) as caught:
        toolbox.resolve(name, source=copy)
    assert caught.value.code == "path_outside"


def test_nor_does_it_leave_by_a_link(toolbox: Toolbox, copy: Path) -> None:
    program(copy.parent / "evil")
    (copy / "good").symlink_to("../evil")
    with pytest.raises(ContractError) as caught:
        toolbox.resolve("./good", source=copy)
    assert caught.value.code == "path_outside"


def test_a_file_of_the_tree_brings_no_mounts_of_its_own(toolbox: Toolbox, copy: Path) -> None:
    """Else a script with the shebang `#!/home/x/.ssh/id_ed25519` would have the key shown to it."""
    key = program(copy.parent / "key")
    program(copy / "run", f"#!{key}\n")
    assert toolbox.resolve("./run", source=copy).mounts == toolbox.resolve("python", source=copy).mounts


def test_the_live_working_tree_is_no_place_for_programs(toolbox: Toolbox, repository: Path, copy: Path) -> None:
    tool = program(repository / "tool")
    with pytest.raises(ContractError, match="absolute path"):
        toolbox.resolve(str(tool), source=copy)


@pytest.mark.parametrize("name", ["no-such-program", "./no-such", "/usr/bin/no-such", ""])
def test_what_is_not_there(toolbox: Toolbox, copy: Path, name: str) -> None:
    with pytest.raises(MissingComponentError) as caught:
        toolbox.resolve(name, source=copy)
    assert caught.value.code == "tool_missing"


def test_an_interpreter_that_is_not_there(repository: Path) -> None:
    with pytest.raises(MissingComponentError):
        Toolbox.of(repository, ".venv/bin/python")


def test_an_environment_in_the_repository_runs(runner: Runner, repository: Path, copy: Path) -> None:
    environment(repository / ".venv")
    (repository / "secret").write_text("live")
    toolbox = Toolbox.of(repository, ".venv/bin/python")
    found = toolbox.resolve("python", source=copy)
    assert repository / ".venv" in found.mounts
    assert repository not in found.mounts
    code = f"import sys, os, ssl, zlib; print(sys.prefix, os.path.exists({str(repository / 'secret')!r}))"
    result = runner.run(
        CommandSpec(
            argv=(str(found.path), "-c", code),
            cwd=copy,
            timeout_seconds=20,
            writable=(copy,),
            readonly=found.mounts,
        )
    )
    seen = b"True" if runner.name == "none" else b"False"
    assert result.output == str(repository / ".venv").encode() + b" " + seen + b"\n"


def test_prefixes_are_those_python_computes(tmp_path: Path) -> None:
    for python in (environment(tmp_path / "env"), Path(sys.executable)):
        asked = subprocess.run(
            [python, "-I", "-c", "import sys; print(sys.prefix); print(sys.base_prefix)"],
            capture_output=True,
            check=True,
        )
        assert [str(path) for path in prefixes(python)] == asked.stdout.decode().split("\n")[:2]


def test_the_interpreter_is_not_run_to_learn_about_it(repository: Path, copy: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    program(repository / ".venv" / "bin" / "python", f"#!/bin/sh\ntouch {marker}\n")
    (repository / ".venv" / "pyvenv.cfg").write_text("home = /usr/bin\n")
    toolbox = Toolbox.of(repository, ".venv/bin/python")
    toolbox.resolve("python", source=copy)
    toolbox.facts()
    assert not marker.exists()


@pytest.mark.parametrize("home", ["/bin", f"{Path.home()}/bin", "/x"])
def test_a_pyvenv_that_points_at_a_home_or_the_root_is_refused(repository: Path, copy: Path, home: str) -> None:
    program(repository / ".venv" / "bin" / "python")
    (repository / ".venv" / "pyvenv.cfg").write_text(f"home = {home}\n")
    with pytest.raises(ContractError) as caught:
        Toolbox.of(repository, ".venv/bin/python").resolve("python", source=copy)
    assert caught.value.code == "bad_config"


def test_an_environment_that_is_the_repository_is_refused(repository: Path, copy: Path) -> None:
    environment(repository)
    with pytest.raises(ContractError):
        Toolbox.of(repository, "bin/python").resolve("python", source=copy)


def test_a_script_brings_its_shebangs_interpreter(runner: Runner, repository: Path, tmp_path: Path, copy: Path) -> None:
    python = environment(tmp_path / "env")
    script = program(tmp_path / "tools" / "say", f"#!{python}\nimport sys\nprint(sys.prefix)\n")
    found = Toolbox.of(repository, "", (str(script.parent),)).resolve("say", source=copy)
    result = runner.run(
        CommandSpec(argv=(str(found.path),), cwd=copy, timeout_seconds=20, writable=(copy,), readonly=found.mounts)
    )
    assert result.output.decode().strip() == str(tmp_path / "env")


def test_start_up_files_change_the_facts(repository: Path) -> None:
    environment(repository / ".venv")
    toolbox = Toolbox.of(repository, ".venv/bin/python")
    before = toolbox.facts()
    assert before.inside_repository
    packages = next((repository / ".venv" / "lib").glob("python3*/site-packages"))
    seen = {before.startup_sha256}
    for name in ("evil.pth", "sitecustomize.py", "usercustomize.py"):
        (packages / name).write_text("import os\n")
        seen.add(toolbox.facts().startup_sha256)
    assert len(seen) == 4
    assert toolbox.facts().sha256 == before.sha256
    assert before.as_dict()["prefix"] == str(repository / ".venv")


def test_links_in_a_circle_are_refused(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises((MissingComponentError, RuntimeError, OSError)):
        Toolbox.of(repository, os.fspath(tmp_path / "a"))


def test_a_plain_run_uses_the_named_program_and_not_a_shim(
    plain: PlainRunner, toolbox: Toolbox, copy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A `git` first on the caller's PATH is not what a command finds when it calls git."""
    monkeypatch.setenv("PATH", f"{program(tmp_path / 'shims' / 'env').parent}:{os.environ['PATH']}")
    result = plain.run(
        CommandSpec(argv=("/bin/sh", "-c", "env | grep -c PATH"), cwd=copy, timeout_seconds=5, path=toolbox.path)
    )
    assert b"shim" not in result.output
