"""`autopilot` as a process of its own for each call, without half a second of imports for each.

A program that has imported every command waits for calls (`python warm_cli.py FD`), and forks for each: the child gets
the caller's folder, environment and streams, runs the command line and ends as any process ends. The program itself
never runs a command, so nothing is kept from one call to the next. The start of a fresh interpreter is what this leaves
out; the pages of docs/ are run without it, and so are the demo and every call that is killed or stopped.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

REQUEST_BYTES = 1 << 17
ANSWER_BYTES = 64


def run(words: Sequence[str], *, cwd: Path, env: Mapping[str, str], timeout: float) -> subprocess.CompletedProcess[str]:
    """`autopilot WORDS`, its stdin empty, as `subprocess.run` answers; TimeoutExpired if it takes longer."""
    line = _line(os.getpid(), threading.get_ident())
    request = json.dumps({"words": list(words), "cwd": str(cwd), "env": dict(env)}).encode()
    with open(os.devnull) as stdin, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:  # noqa: PTH123
        socket.send_fds(line, [request], [stdin.fileno(), out.fileno(), err.fileno()])
        pid = int(line.recv(ANSWER_BYTES))
        line.settimeout(timeout)
        try:
            code = int(line.recv(ANSWER_BYTES))
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            line.settimeout(None)
            line.recv(ANSWER_BYTES)
            raise subprocess.TimeoutExpired(["autopilot", *words], timeout) from None
        shown = []
        for stream in (out, err):
            stream.seek(0)
            shown.append(stream.read().decode().replace("\r\n", "\n"))
    return subprocess.CompletedProcess(["autopilot", *words], code, *shown)


@cache
def _line(_process: int, _thread: int) -> socket.socket:
    """The line to a waiting program, one for each thread that calls, so that answers do not cross."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, REQUEST_BYTES)
    with theirs:
        words = [sys.executable, "-P", __file__, str(theirs.fileno())]
        waiting = subprocess.Popen(words, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),))
    atexit.register(_hang_up, ours, waiting)
    return ours


def _hang_up(line: socket.socket, waiting: subprocess.Popen[bytes]) -> None:
    line.close()
    waiting.wait()


def serve(line: socket.socket) -> None:
    """Fork for each call until the caller is gone. Returns in the children only by SystemExit."""
    from autopilot.cli.main import COMMANDS

    for name in {module for module, _ in COMMANDS.values()}:
        importlib.import_module(f"autopilot.cli.{name}")
    importlib.import_module("autopilot.wiring.full")
    gc.freeze()
    while True:
        request, streams, _, _ = socket.recv_fds(line, REQUEST_BYTES, 3)
        if not request:
            return
        child = os.fork()
        if child == 0:
            line.close()
            sys.exit(_call(json.loads(request), streams))
        for stream in streams:
            os.close(stream)
        line.send(str(child).encode())
        line.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())


def _call(request: dict[str, object], streams: list[int]) -> int:
    """Become the caller's process and run its command line."""
    from autopilot.cli.main import main

    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(str(request["cwd"]))
    os.environ.clear()
    os.environ.update(request["env"])  # type: ignore[call-overload]
    encoding = os.environ.get("PYTHONIOENCODING", "utf-8")
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, encoding=encoding, errors=errors, closefd=False)  # noqa: SIM115 - as long as we live
        for number, (mode, errors) in enumerate((("r", "strict"), ("w", "strict"), ("w", "backslashreplace")))
    )
    sys.argv = ["autopilot", *request["words"]]  # type: ignore[misc]
    # What nobody catches ends this process as it would end any: traceback, exit 1.
    return main()


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as waiting:
        serve(waiting)
