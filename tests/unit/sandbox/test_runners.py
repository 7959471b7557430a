"""What both drivers promise: the contract suite of the port, with real processes."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from autopilot.kernel.errors import MissingComponentError
from autopilot.sandbox.plain import PlainRunner
from autopilot.sandbox.run import CommandResult, CommandSpec, Limits, Runner

MIB = 1024 * 1024
Run = Callable[..., CommandResult]


def running(marker: str) -> list[int]:
    """The processes whose command line holds `marker`."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if marker.encode() in line and int(folder.name) != os.getpid():
                found.append(int(folder.name))
    return found


def gone(marker: str, within_seconds: float = 5) -> bool:
    deadline = time.monotonic() + within_seconds
    while running(marker):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_the_exit_code_is_recorded(runner: Runner, shell: Run) -> None:
    result = shell(runner, "exit 3")
    assert (result.exit_code, result.signal, result.timed_out, result.succeeded) == (3, None, False, False)
    assert result.isolation == runner.name
    assert result.started_at < result.finished_at
    assert result.duration_ns > 0
    assert shell(runner, "exit 0").succeeded


def test_a_signal_leaves_no_exit_code(runner: Runner, shell: Run) -> None:
    result = shell(runner, "kill -SEGV $$")
    assert (result.exit_code, result.signal, result.succeeded) == (None, signal.SIGSEGV, False)
    assert result.as_dict()["failure"] == "killed by signal 11"


def test_output_and_errors_are_one_stream_in_order(runner: Runner, shell: Run) -> None:
    assert shell(runner, "echo 1; echo 2 >&2; echo 3; echo 4 >&2").output == b"1\n2\n3\n4\n"


def test_standard_input_is_empty(runner: Runner, shell: Run) -> None:
    assert shell(runner, "cat; echo end", timeout_seconds=5).output == b"end\n"


def test_a_flood_keeps_its_head_and_tail(runner: Runner, shell: Run) -> None:
    result = shell(runner, "echo first; yes | head -c 30000000; echo last", output_cap_bytes=2048)
    assert result.truncated
    assert result.output_bytes == 30_000_011
    assert result.output.startswith(b"first\n")
    assert result.output.endswith(b"last\n")
    assert b"[... 29997963 bytes left out ...]" in result.output
    assert len(result.output) < 2200


def test_output_up_to_the_cap_is_whole(runner: Runner, shell: Run) -> None:
    result = shell(runner, "head -c 2048 /dev/zero", output_cap_bytes=2048)
    assert (result.output, result.truncated) == (bytes(2048), False)
    assert shell(runner, "head -c 2049 /dev/zero", output_cap_bytes=2048).truncated


def test_the_time_limit_ends_the_command(runner: Runner, shell: Run) -> None:
    # Without the limit this would outlast the time that any test has.
    result = shell(runner, "trap '' TERM INT HUP; echo begun; sleep 600; sleep 600", timeout_seconds=1)
    assert (result.exit_code, result.timed_out, result.succeeded) == (None, True, False)
    assert result.output == b"begun\n"


@pytest.mark.parametrize("ends", ["by itself", "by its time limit"])
def test_no_daemon_outlives_the_command(runner: Runner, copy: Path, python: Run, ends: str) -> None:
    marker = f"daemon-{os.getpid()}-{runner.name}-{ends[3:6]}"
    (copy / "daemonise.py").write_text(
        "import os, sys, time\n"
        "read, write = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        for descriptor in (0, 1, 2): os.close(descriptor)\n"
        "        os.write(write, b'x')\n"
        "        os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(60)', sys.argv[1]])\n"
        "    os._exit(0)\n"
        "os.read(read, 1)\n"
        "time.sleep(0.3 if sys.argv[2] == 'by itself' else 600)\n"
    )
    result = python(runner, "daemonise.py", marker, ends, timeout_seconds=2)
    assert result.timed_out == (ends != "by itself")
    # Dead when `run` returns, without a wait: the next command must not share the machine with it.
    assert running(marker) == []


def test_the_command_dies_with_the_engine(runner: Runner, copy: Path) -> None:
    marker = f"orphan-{os.getpid()}-{runner.name}"
    engine = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path\n"
            "from autopilot.sandbox.choose import choose\n"
            "from autopilot.sandbox.plain import PlainRunner\n"
            "from autopilot.sandbox.run import CommandSpec\n"
            "runner = choose('bwrap') if sys.argv[1] == 'bwrap' else PlainRunner()\n"
            "line = f'setsid sh -c \"sleep 60; : {sys.argv[2]}\"'\n"
            "runner.run(CommandSpec(argv=('/bin/sh', '-c', line), cwd=Path('/usr'), timeout_seconds=60))\n",
            runner.name,
            marker,
        ],
        cwd=copy,
        # An engine that is killed cannot remove its scratch folder: let it be where the test's own files are.
        env={**os.environ, "TMPDIR": str(copy)},
    )
    try:
        deadline = time.monotonic() + 20
        while len(running(f": {marker}")) < 1:
            assert time.monotonic() < deadline, "the command did not start"
            time.sleep(0.02)
        time.sleep(0.2)
    finally:
        engine.kill()
        engine.wait()
    assert gone(f": {marker}")


def test_nothing_of_the_callers_environment_passes(
    runner: Runner, shell: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    poison = {
        **dict.fromkeys(
            ("PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTHONSTARTUP", "PYTHONPATH", "PYTHONWARNINGS"), "poison"
        ),
        **dict.fromkeys(("GIT_DIR", "GIT_CONFIG_COUNT", "GIT_EXEC_PATH", "BASH_ENV", "ENV", "LD_PRELOAD"), "poison"),
        **dict.fromkeys(
            ("AUTOPILOT_LEASE", "AWS_SECRET_ACCESS_KEY", "COVERAGE_PROCESS_START", "PIP_INDEX_URL"), "poison"
        ),
    }
    for name, value in poison.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{tmp_path}/poison:{os.environ['PATH']}")
    result = shell(runner, "env", env={"OWN": "yes"})
    seen = dict(line.split("=", 1) for line in result.output.decode().splitlines())
    assert "poison" not in result.output.decode()
    assert set(seen) - {"PWD", "SHLVL", "_", "OLDPWD"} == {
        *("PATH", "HOME", "TMPDIR", "LANG", "TZ", "OWN"),
        *("PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED", "PYTHONNOUSERSITE", "PYTHONSAFEPATH"),
    }
    assert seen["PATH"] == "/usr/local/bin:/usr/bin:/bin"
    assert Path(seen["HOME"]) != Path.home()


def test_home_and_scratch_are_fresh_and_gone_afterwards(runner: Runner, shell: Run) -> None:
    line = 'ls -A "$HOME"; touch "$HOME/a" "$TMPDIR/b"; echo "$HOME"'
    first, second = shell(runner, line), shell(runner, line)
    assert first.output.count(b"\n") == 1
    assert second.output.count(b"\n") == 1
    assert not (Path(first.output.decode().strip()) / "a").exists()


def test_the_copy_is_writable(runner: Runner, shell: Run, copy: Path) -> None:
    assert shell(runner, "echo built > out.txt").succeeded
    assert (copy / "out.txt").read_text() == "built\n"


def test_memory_is_limited(runner: Runner, python: Run) -> None:
    code = "x = bytearray(300 * 1024 * 1024); print(len(x))"
    assert python(runner, "-c", code).succeeded
    limited = python(runner, "-c", code, limits=Limits(memory_bytes=128 * MIB))
    assert not limited.succeeded
    assert b"MemoryError" in limited.output


def test_file_size_is_limited(runner: Runner, shell: Run, copy: Path) -> None:
    limited = shell(runner, "head -c 3000000 /dev/zero > big", limits=Limits(file_bytes=MIB))
    assert not limited.succeeded
    assert (copy / "big").stat().st_size == MIB


def test_processor_time_is_limited(runner: Runner, shell: Run) -> None:
    limited = shell(runner, "while :; do :; done", limits=Limits(cpu_seconds=1))
    assert (limited.timed_out, limited.exit_code) == (False, None)
    assert limited.signal in (signal.SIGXCPU, signal.SIGKILL)


def test_no_core_is_dumped(runner: Runner, shell: Run) -> None:
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        assert shell(runner, "ulimit -c").output == b"0\n"
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)


def test_a_program_that_is_not_there(runner: Runner, copy: Path) -> None:
    with pytest.raises(MissingComponentError) as caught:
        runner.run(CommandSpec(argv=("/usr/bin/no-such-program",), cwd=copy, timeout_seconds=5, writable=(copy,)))
    assert caught.value.code == "tool_missing"


def test_a_program_whose_shebang_is_not_there(runner: Runner, copy: Path) -> None:
    script = copy / "tool"
    script.write_text("#!/no/such/program\n")
    script.chmod(0o755)
    with pytest.raises(MissingComponentError) as caught:
        runner.run(CommandSpec(argv=(str(script),), cwd=copy, timeout_seconds=5, writable=(copy,)))
    assert caught.value.code == "tool_missing"


def test_a_supervisor_that_is_killed_is_no_pass(plain: PlainRunner, shell: Run) -> None:
    """Without namespaces a hostile command can kill the process that watches it. That must not look like success."""
    result = shell(plain, "kill -9 $PPID; exit 0", timeout_seconds=5)
    assert (result.exit_code, result.succeeded) == (None, False)
    assert "supervising" in result.failure


def test_a_status_line_cannot_be_forged(runner: Runner, python: Run) -> None:
    forge = (
        "import os\n"
        "for folder in ('/proc/self/fd', f'/proc/{os.getppid()}/fd'):\n"
        "    try: names = os.listdir(folder)\n"
        "    except OSError: continue\n"
        "    for name in names:\n"
        "        if int(name) > 2:\n"
        "            try: os.write(os.open(f'{folder}/{name}', os.O_WRONLY), b'exit 0\\n{\"exit-code\": 0}\\n')\n"
        "            except OSError: pass\n"
        "for number in range(3, 64):\n"
        "    try: os.write(number, b'exit 0\\n{\"exit-code\": 0}\\n')\n"
        "    except OSError: pass\n"
        "os._exit(7)\n"
    )
    if runner.name == "none" and os.getuid() == 0:
        pytest.skip("root may open any process's descriptors: without namespaces nothing can be held against it")
    assert python(runner, "-c", forge).exit_code == 7


def test_a_failing_command_is_a_result(runner: Runner, shell: Run) -> None:
    assert shell(runner, "no-such-word").exit_code == 127
