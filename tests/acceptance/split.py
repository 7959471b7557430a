"""A real split: an engine, agents, a reviewer and a person, each a user of its own with nothing but a number.

Needs root, which alone can become other users; the numbers need not stand in any passwd. Where the tests do not run as
root they are skipped and say so, and in CI that is a failure.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from autopilot.cli.demo.project import FILES, make_repository

AGENT, ENGINE, THIRD, REVIEWER, PERSON, STRANGER = 61001, 61002, 61003, 61004, 61005, 61006
ROOT = Path(__file__).parents[2]
_READY_SECONDS = 60.0
_STOP_SECONDS = 60.0
_CALL_SECONDS = 180.0
# What the project's own commands need of an interpreter's packages.
_FOR_THE_PROJECT = ("pytest", "_pytest", "py", "pluggy", "iniconfig", "packaging", "pygments", "coverage")
_NOT_COPIED = shutil.ignore_patterns("__pycache__", "test", "tests", "site-packages", ".git", "*.a", "idlelib")


def require_users() -> None:
    """Skip where no other user can be become; fail where that is CI."""
    if os.geteuid() == 0:
        return
    reason = "needs root to run as several users"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@dataclass
class Split:
    """One repository of the agent's, and the engine's place beside it."""

    base: Path
    ledger: str = ""
    daemon: subprocess.Popen[str] | None = None
    options: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def python(self) -> Path:
        """An interpreter that every user can run; see `interpreter`."""
        return interpreter()[0]

    @property
    def repository(self) -> Path:
        """The agent's."""
        return self.base / "work" / "repository"

    @property
    def state(self) -> Path:
        """The engine's."""
        return self.base / "var" / "state"

    @property
    def socket(self) -> Path:
        """Where the daemon listens."""
        return self.base / "run" / "engine.sock"

    def env(self, **more: str) -> dict[str, str]:
        """What each process is given: a path, a place for its temporary files, and where the daemon is."""
        plain = {
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": interpreter()[1],
            "HOME": "/nonexistent",
            "TMPDIR": str(self.base / "tmp"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "AUTOPILOT_SOCKET": str(self.socket),
            **self.environ,
        }
        return plain | more

    def run_as(
        self, uid: int, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """One program as that user, without a terminal."""
        return subprocess.run(
            list(argv),
            user=uid,
            group=uid,
            extra_groups=[],
            cwd=cwd or self.repository,
            env=dict(env if env is not None else self.env()),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_CALL_SECONDS,
        )

    def autopilot(self, uid: int, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """One command as that user."""
        return self.run_as(uid, [str(self.python), "-m", "autopilot.cli.main", *words], env=self.env(**more))

    def script(self, uid: int, text: str, *words: str) -> subprocess.CompletedProcess[str]:
        """A program of that user's own making."""
        return self.run_as(uid, [str(self.python), "-c", text, *words])

    def begin(self, *options: str) -> None:
        """Make the ledger, and the settings that the agent's repository then has."""
        words = ("daemon", "--init", "--state-dir", str(self.state), "--socket", str(self.socket), "--json")
        peers = ("--agent", str(AGENT), "--agent", str(REVIEWER), "--approver", f"{PERSON}=carol")
        made = self.autopilot(ENGINE, *words, *(options or peers))
        assert made.returncode == 0, made.stderr
        shown = json.loads(made.stdout)
        self.ledger = shown["ledger"]
        settings = shown["settings"].replace(f'daemon = "{self.socket}"\n', "")
        write_as(AGENT, self.repository / "autopilot.toml", settings)
        with (self.repository / ".gitignore").open("a") as ignored:
            ignored.write("state/\n")
        git_as(self, "add", "-A")
        git_as(self, "commit", "-qm", "governed")

    def start(self, *options: str, uid: int = ENGINE) -> None:
        """Start the daemon and wait until it says that it serves."""
        self.options = options or self.options
        words = ["daemon", "--state-dir", str(self.state), "--socket", str(self.socket), "--json", *self.options]
        with (self.base / "daemon.log").open("a") as log:
            self.daemon = subprocess.Popen(
                [*self.prefix, str(self.python), "-m", "autopilot.cli.main", *words],
                **({} if self.prefix else {"user": uid, "group": uid, "extra_groups": []}),  # type: ignore[arg-type]
                cwd=self.repository,
                env=self.env(AUTOPILOT_SOCKET=""),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.daemon.stdout is not None
        line = self.daemon.stdout.readline()
        assert line, f"the daemon did not start: {self.log()}"

    def log(self) -> str:
        """What the daemon wrote to stderr."""
        return (self.base / "daemon.log").read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the daemon; how it ended."""
        assert self.daemon is not None
        daemon, self.daemon = self.daemon, None
        daemon.send_signal(number)
        code = daemon.wait(_STOP_SECONDS)
        assert daemon.stdout is not None
        daemon.stdout.close()
        return code

    def lines(self, kind: str = "") -> list[dict[str, object]]:
        """The ledger's lines as root reads them from the files."""
        found = []
        for segment in sorted((self.state / "ledger" / "seg").iterdir()):
            for line in segment.read_bytes().splitlines():
                body = json.loads(line)["r"]
                if not kind or body["kind"] == kind:
                    found.append(body)
        return found


def write_as(uid: int, path: Path, text: str) -> None:
    """A file of that user's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.chown(path, uid, uid)


def git_as(split: Split, *words: str) -> str:
    """One git command of the agent's."""
    identity = ("-c", "user.name=agent", "-c", "user.email=agent@example.org")
    done = split.run_as(AGENT, ["git", *identity, *words])
    assert done.returncode == 0, done.stderr
    return done.stdout


@functools.cache
def interpreter() -> tuple[Path, str]:
    """A Python that every user here can run, root's own, with pytest and coverage for the project; and where it finds
    autopilot and what that needs.

    The one that runs the tests often lies in a home directory, which is closed to others.
    """
    home = Path(tempfile.mkdtemp(prefix="split-python-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    home.chmod(0o755)
    name = f"python3.{sys.version_info.minor}"
    base = next((str(path) for path in (Path("/usr/bin", name), Path("/usr/local/bin", name)) if path.exists()), "")
    if not base or not _runs(base):
        base = str(_copied(home) / "bin" / name)
    subprocess.run([base, "-m", "venv", "--without-pip", str(home / "venv")], check=True, capture_output=True)
    packages, own = Path(sysconfig.get_path("purelib")), home / "venv" / "lib" / name / "site-packages"
    for package in _FOR_THE_PROJECT:
        for found in (
            *packages.glob(package),
            *packages.glob(f"{package}.py"),
            *packages.glob(f"{package}-*.dist-info"),
        ):
            copy = shutil.copytree if found.is_dir() else shutil.copy2
            copy(found, own / found.name)
    found_in = []
    for place in (ROOT, packages):
        target = home / ("code" if place == ROOT else "packages")
        found_in.append(place if _reads(place) else Path(shutil.copytree(place, target, ignore=_NOT_COPIED)))
    return home / "venv" / "bin" / "python", os.pathsep.join(str(place) for place in found_in)


def _runs(program: str) -> bool:
    done = subprocess.run([program, "-c", "import ssl, venv"], user=AGENT, group=AGENT, extra_groups=[], check=False)
    return done.returncode == 0


def _reads(place: Path) -> bool:
    done = subprocess.run(["ls", str(place)], user=AGENT, group=AGENT, capture_output=True, check=False)
    return done.returncode == 0


def _copied(home: Path) -> Path:
    """The interpreter that runs the tests, where everybody can reach it."""
    for folder in ("bin", "lib"):
        shutil.copytree(Path(sys.base_prefix, folder), home / "base" / folder, symlinks=True, ignore=_NOT_COPIED)
    return home / "base"


@contextlib.contextmanager
def split_place(files: Mapping[str, str] | None = None) -> Iterator[Split]:
    """A fresh place; what runs in it is ended, and all of it removed."""
    require_users()
    base = Path(tempfile.mkdtemp(prefix="split-"))
    base.chmod(0o755)
    split = Split(base)
    try:
        for name, uid, mode in (("work", AGENT, 0o755), ("var", 0, 0o755), ("run", ENGINE, 0o755), ("tmp", 0, 0o1777)):
            folder = base / name
            folder.mkdir()
            folder.chmod(mode)
            os.chown(folder, uid, uid)
        split.state.mkdir(mode=0o700)
        os.chown(split.state, ENGINE, ENGINE)
        split.repository.mkdir()
        make_repository(split.repository, dict(files or FILES))
        for folder, folders, names in os.walk(split.base / "work"):
            for name in (*folders, *names, "."):
                os.chown(Path(folder, name), AGENT, AGENT, follow_symlinks=False)
        yield split
    finally:
        if split.daemon is not None:
            split.daemon.kill()
            split.daemon.wait()
            if split.daemon.stdout is not None:
                split.daemon.stdout.close()
        shutil.rmtree(base, ignore_errors=True)


def wait_until(true: object, seconds: float = 20.0) -> None:
    """Wait for something to become so; fails after that time, which is no measurement."""
    give_up = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < give_up, "it did not become so"
        time.sleep(0.02)
