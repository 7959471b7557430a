"""What isolation means: each test tries to get out, and each has a control that shows the attempt itself works."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from autopilot.kernel.errors import ContractError, MissingComponentError
from autopilot.sandbox.bwrap import Bubblewrap, BwrapRunner
from autopilot.sandbox.plain import PlainRunner
from autopilot.sandbox.run import CommandResult, CommandSpec, Limits

Run = Callable[..., CommandResult]

CONNECT = (
    "import socket, sys\n"
    "try: socket.create_connection(('127.0.0.1', int(sys.argv[1])), 2).close()\n"
    "except OSError as error: print(error); sys.exit(9)\n"
    "print('connected')\n"
)


@pytest.fixture
def port() -> Iterator[int]:
    """A port of this machine that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_the_network_is_out_of_reach(bwrap: BwrapRunner, plain: PlainRunner, python: Run, port: int) -> None:
    assert python(plain, "-c", CONNECT, str(port)).output == b"connected\n"
    result = python(bwrap, "-c", CONNECT, str(port))
    assert (result.exit_code, b"refused" in result.output) == (9, True)


def test_the_only_interface_is_its_own_loopback(bwrap: BwrapRunner, python: Run) -> None:
    result = python(bwrap, "-c", "import socket; print([name for _, name in socket.if_nameindex()])")
    assert result.output == b"['lo']\n"


def test_abstract_sockets_of_the_machine_are_out_of_reach(bwrap: BwrapRunner, plain: PlainRunner, python: Run) -> None:
    name = f"autopilot-test-{os.getpid()}"
    code = f"import socket; socket.socket(socket.AF_UNIX).connect('\\0{name}'); print('connected')"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"\0{name}")
        server.listen()
        assert python(plain, "-c", code).succeeded
        assert not python(bwrap, "-c", code).succeeded


def test_network_is_there_for_setup(bwrap: BwrapRunner, python: Run, port: int) -> None:
    assert python(bwrap, "-c", CONNECT, str(port), network=True).output == b"connected\n"


def test_the_source_is_read_only(bwrap: BwrapRunner, plain: PlainRunner, shell: Run, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.py").write_text("right")
    line = f"cat {source}/a.py; echo wrong > {source}/a.py; echo new > {source}/b.py; rm -f {source}/a.py"
    result = shell(bwrap, line, readonly=(source,))
    assert result.output.startswith(b"right")
    assert result.output.count(b"Read-only file system") == 3
    assert [path.name for path in source.iterdir()] == ["a.py"]
    assert (source / "a.py").read_text() == "right"
    shell(plain, line, readonly=(source,))
    assert not (source / "a.py").exists()


def test_what_is_not_declared_is_not_there(bwrap: BwrapRunner, shell: Run, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("key")
    assert not shell(bwrap, f"cat {secret}").succeeded
    result = shell(bwrap, f"ls -A / /etc {Path.home()}; ls /home /root /var /run /opt")
    names = result.output.decode().split()
    assert {"shadow", "ssh", "var", "run", "home", "root", "sys"}.isdisjoint(names)


@pytest.mark.parametrize("place", ["/usr/x", "/etc/x", "/x", "/dev/x/y", "/proc/x"])
def test_the_system_is_read_only(bwrap: BwrapRunner, shell: Run, place: str) -> None:
    assert not shell(bwrap, f"echo x > {place}").succeeded


def test_other_processes_are_out_of_sight(bwrap: BwrapRunner, plain: PlainRunner, shell: Run) -> None:
    line = f"kill -0 {os.getpid()} && echo there"
    assert shell(plain, line).output == b"there\n"
    assert not shell(bwrap, line).succeeded


def test_no_capability_is_left(bwrap: BwrapRunner, shell: Run) -> None:
    lines = shell(bwrap, "grep -E '^Cap(Prm|Eff|Bnd)' /proc/self/status").output.split()
    assert set(lines[1::2]) == {b"0" * 16}
    assert not shell(bwrap, "mount -t tmpfs none /tmp").succeeded


def test_no_descriptor_is_inherited(bwrap: BwrapRunner, python: Run) -> None:
    result = python(bwrap, "-c", "import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd')))")
    assert result.output == b"[0, 1, 2, 3]\n"  # 3 is the listing's own


def test_scratch_is_fresh_and_bounded(bwrap: BwrapRunner, shell: Run) -> None:
    limits = Limits(scratch_bytes=1024 * 1024)
    for place in ("/tmp", "/dev/shm"):
        result = shell(bwrap, f"head -c 3000000 /dev/zero > {place}/big", limits=limits)
        assert b"No space left" in result.output
    assert shell(bwrap, "ls -A /tmp", cwd=Path("/usr"), writable=()).output == b"home\n"


def test_a_hidden_folder_inside_a_mount_is_covered(bwrap: BwrapRunner, shell: Run, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    (outer / "state" / "ledger").mkdir(parents=True)
    (outer / "state" / "ledger" / "line").write_text("secret")
    (outer / "key.pem").write_text("secret")
    line = f"find {outer} -type f | xargs cat"
    assert shell(bwrap, line, readonly=(outer,)).output == b"secretsecret"
    covered = shell(bwrap, line, readonly=(outer,), hidden=(outer / "state", outer / "key.pem"))
    assert b"secret" not in covered.output
    again = shell(bwrap, line, writable=(outer,), cwd=outer, hidden=(outer / "state", outer / "key.pem"))
    assert b"secret" not in again.output
    assert (outer / "state" / "ledger" / "line").exists()


def test_a_mount_below_a_hidden_folder_is_shown_alone(bwrap: BwrapRunner, shell: Run, tmp_path: Path) -> None:
    state = tmp_path / "state"
    (state / "cache" / "deps").mkdir(parents=True)
    (state / "cache" / "deps" / "module.py").write_text("dependency")
    (state / "ledger").write_text("secret")
    result = shell(
        bwrap, f"cat {state}/cache/deps/module.py {state}/ledger", readonly=(state / "cache" / "deps",), hidden=(state,)
    )
    assert result.output.startswith(b"dependency")
    assert b"secret" not in result.output


def test_hidden_and_mounted_is_a_contradiction(bwrap: BwrapRunner, shell: Run, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="hidden"):
        shell(bwrap, "true", readonly=(tmp_path,), hidden=(tmp_path,))


@pytest.mark.parametrize("wide", ["/", "/etc", "/var", "/home", "/root", "/tmp", "/run", str(Path.home())])
def test_a_mount_that_would_show_too_much_is_refused(bwrap: BwrapRunner, shell: Run, wide: str) -> None:
    with pytest.raises(ContractError) as caught:
        shell(bwrap, "true", readonly=(Path(wide),))
    assert caught.value.where == wide


def test_the_deeper_mount_wins(bwrap: BwrapRunner, shell: Run, copy: Path) -> None:
    inner = copy / ".venv"
    inner.mkdir()
    result = shell(bwrap, "echo x > ok; echo x > .venv/no", readonly=(inner,))
    assert b"Read-only" in result.output
    assert [path.name for path in copy.rglob("*") if path.is_file()] == ["ok"]


def test_an_environment_inside_the_repository_is_mounted_by_itself(
    bwrap: BwrapRunner, shell: Run, repository: Path
) -> None:
    (repository / ".venv" / "bin").mkdir(parents=True)
    (repository / ".venv" / "bin" / "tool").write_text("tool")
    (repository / "live.py").write_text("live")
    result = shell(bwrap, f"find {repository} -type f", readonly=(repository / ".venv",))
    assert result.output.decode() == f"{repository}/.venv/bin/tool\n"


def test_a_working_directory_or_program_out_of_sight_is_refused(bwrap: BwrapRunner, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="in no mount"):
        bwrap.run(CommandSpec(argv=("/bin/true",), cwd=tmp_path, timeout_seconds=5))
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    with pytest.raises(MissingComponentError, match="tool_missing"):
        bwrap.run(CommandSpec(argv=(str(tool),), cwd=Path("/usr"), timeout_seconds=5))


def test_a_sandbox_that_cannot_be_built_is_an_error_and_no_result(copy: Path, tmp_path: Path) -> None:
    fake = tmp_path / "bwrap"
    for body in ("echo no namespaces >&2; exit 1", "exit 0", "echo passed; exit 0"):
        # Exit 0 without bubblewrap's own report is no success either: the command need not have run at all.
        fake.write_text(f"#!/bin/sh\n{body}\n")
        fake.chmod(0o755)
        runner = BwrapRunner(Bubblewrap(fake, "fake", has_size=False))
        with pytest.raises(MissingComponentError) as caught:
            runner.run(CommandSpec(argv=("/bin/true",), cwd=copy, timeout_seconds=5, writable=(copy,)))
        assert caught.value.code == "isolation_missing"


def test_it_works_without_root(bwrap: BwrapRunner, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("this run is without root already")
    folder = Path("/tmp") / f"autopilot-unprivileged-{os.getpid()}"  # /tmp/pytest-of-root is not open to others
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    try:
        spec = CommandSpec(argv=("/bin/sh",), cwd=folder, timeout_seconds=5, writable=(folder,))
        line = "id -u; echo x > made; echo x > /usr/x || echo read-only; cat /proc/net/dev | grep -c :"
        done = subprocess.run(
            [*bwrap.arguments(spec), "--", "/bin/sh", "-c", line],
            user=65534,
            group=65534,
            extra_groups=[],
            capture_output=True,
            check=False,
            cwd="/",
        )
        assert done.stdout.split() == [b"65534", b"read-only", b"1"], done.stderr
    finally:
        subprocess.run(["rm", "-rf", str(folder)], check=True)


def test_the_process_limit_holds_without_root(tmp_path: Path) -> None:
    """Root is exempt in the kernel, so this is shown as another user, on the supervising program itself."""
    if os.getuid() != 0:
        pytest.skip("needs root to become another user")
    supervisor = Path(sys.modules[BwrapRunner.__module__].__file__ or "").with_name("supervise.py")
    program = "/usr/bin/python3"
    if not Path(program).exists():
        pytest.skip("no system Python that another user can run")
    script = Path("/tmp") / f"autopilot-supervise-{os.getpid()}.py"
    script.write_bytes(supervisor.read_bytes())
    script.chmod(0o644)
    control_read, control_write = os.pipe()
    status_read, status_write = os.pipe()
    try:
        line = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 1 & done; wait"
        words = [str(n) for n in (control_read, status_write, 1, 0, 0, 0, 4)]
        done = subprocess.run(
            [program, "-I", "-S", str(script), *words, "", "", "--", "/bin/sh", "-c", line],
            user=65534,
            group=65534,
            extra_groups=[],
            pass_fds=(control_read, status_write),
            capture_output=True,
            check=False,
            cwd="/",
        )
        assert b"fork" in done.stderr
        assert os.read(status_read, 100) == b"exit 2\n"
    finally:
        script.unlink()
        for descriptor in (control_read, control_write, status_read, status_write):
            os.close(descriptor)
