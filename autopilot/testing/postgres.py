"""A PostgreSQL server of one's own, in a temporary folder, for tests and trials.

    with PostgresServer.begin(binaries) as server:
        set_up(Address(server.url("postgres")))

It listens on a Unix socket only. PostgreSQL refuses to run as root: then it runs as `postgres` or `nobody`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Literal

OWNER = "autopilot_owner"
_START_SECONDS = 60
_UNPRIVILEGED = ("postgres", "nobody")
_LOCALE = {"LC_ALL": "C.UTF-8", "TZ": "UTC"}


def find_binaries() -> Path | None:
    """The folder with `initdb` and `postgres`: the newest of Debian's, else that of the PATH; None if there is none."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    found = shutil.which("initdb")
    if found:
        places.append(Path(found).resolve().parent)
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


class PostgresServer:
    """One cluster. `durable` False switches fsync off: for everything but crashes."""

    def __init__(self, binaries: Path, *, durable: bool = False, where: Path | None = None) -> None:
        self._binaries = binaries
        self._folder = Path(tempfile.mkdtemp(prefix="autopilot-pg-", dir=where))
        self._data = self._folder / "data"
        self._account = _account()
        self._durable = durable
        self._databases = 0
        self._running: subprocess.Popen[bytes] | None = None

    @classmethod
    def begin(cls, binaries: Path, *, durable: bool = False, where: Path | None = None) -> PostgresServer:
        """Make a cluster and start it."""
        server = cls(binaries, durable=durable, where=where)
        try:
            server._make()
            server.start()
        except BaseException:
            server.remove()
            raise
        return server

    def url(self, database: str, user: str = OWNER) -> str:
        """The address of a database for `user`."""
        return f"postgresql://{user}@/{database}?host={self._folder}"

    @property
    def folder(self) -> Path:
        """Where its socket is."""
        return self._folder

    def new_database(self) -> str:
        """An empty database; its name."""
        self._databases += 1
        name = f"autopilot_{self._databases}"
        self.command("createdb", "-h", str(self._folder), "-U", OWNER, name)
        return name

    def sql(self, database: str, text: str, user: str = OWNER) -> str:
        """Run SQL through `psql`; what it printed, unaligned and without headings."""
        words = ["-h", str(self._folder), "-U", user, "-d", database, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        return self.command("psql", *words, "-c", text).strip()

    def start(self) -> None:
        """Start it and wait until it answers. It ends with the process that started it, however that ends."""
        words = self._as_user([str(self._binaries / "postgres"), "-D", str(self._data)], ends_with_us=True)
        with (self._folder / "log").open("ab") as log:
            self._running = subprocess.Popen(words, stdout=log, stderr=log, cwd="/", env={**os.environ, **_LOCALE})
        give_up = time.monotonic() + _START_SECONDS
        ready = [str(self._binaries / "pg_isready"), "-q", "-h", str(self._folder)]
        while subprocess.run(ready, capture_output=True).returncode:
            if time.monotonic() > give_up or self._running.poll() is not None:
                told = (self._folder / "log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"the server does not answer: {told}")
            time.sleep(0.05)

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Stop it; `immediate` is a crash: nothing is flushed. What `pg_ctl stop` does."""
        if self._running is not None:
            self._running.send_signal(signal.SIGQUIT if mode == "immediate" else signal.SIGINT)
            self._running.wait(_START_SECONDS)
            self._running = None

    def remove(self) -> None:
        """Stop it and take everything away."""
        self.stop("immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> PostgresServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def command(self, program: str, *words: str) -> str:
        """Run one of PostgreSQL's programs; RuntimeError with what it said if it fails."""
        vector = self._as_user([str(self._binaries / program), *words])
        done = subprocess.run(
            vector, capture_output=True, text=True, timeout=_START_SECONDS * 2, cwd="/", env={**os.environ, **_LOCALE}
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stdout}{done.stderr}")
        return done.stdout

    def _make(self) -> None:
        if self._account is not None:
            os.chown(self._folder, self._account.pw_uid, self._account.pw_gid)
        self.command("initdb", "-D", str(self._data), "-U", OWNER, "-A", "trust", "-E", "UTF8", "--no-sync")
        settings = [
            "listen_addresses = ''",
            f"unix_socket_directories = '{self._folder}'",
            "max_connections = 60",
            "shared_buffers = 32MB",
            "timezone = 'UTC'",
        ]
        if not self._durable:
            settings += ["fsync = off", "full_page_writes = off"]
        with (self._data / "postgresql.conf").open("a") as file:
            file.write("\n".join(settings) + "\n")

    def _as_user(self, words: list[str], *, ends_with_us: bool = False) -> list[str]:
        options = ["--pdeathsig=INT"] if ends_with_us else []
        if self._account is not None:
            uid, gid = str(self._account.pw_uid), str(self._account.pw_gid)
            options = [f"--reuid={uid}", f"--regid={gid}", "--clear-groups", *options]
        # Part of util-linux; elsewhere a killed run leaves its server behind.
        return ["setpriv", *options, *words] if options and shutil.which("setpriv") else words


def _account() -> pwd.struct_passwd | None:
    """Whom the server runs as; None for the caller himself."""
    if os.geteuid() != 0:
        return None
    for name in _UNPRIVILEGED:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL refuses to run as root, and there is neither postgres nor nobody")


def _version(place: Path) -> int:
    return int(place.parent.name) if place.parent.name.isdecimal() else 0
