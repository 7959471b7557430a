"""Where the tests write: in memory if there is room, because they make and remove some 100,000 small files.

Nothing is tested less for it: that a sync is made, and that one which fails is not passed over, is held by ports that
count and fail, never by the disk. On a disk are the benchmarks and the long runs, and everything if `TMPDIR` is set.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from autopilot.testing.postgres import PostgresServer, find_binaries

# The suites of the ports live in the package: pytest is to explain their assertions too. Before anything imports them.
pytest.register_assert_rewrite("autopilot.testing.contracts")

MEMORY = Path("/dev/shm")
ROOM_BYTES = 1 << 30


def pytest_configure(config: pytest.Config) -> None:
    """Send all temporary folders there, those of started programs too; workers inherit it."""
    measured = config.getoption("benchmark_only", False) or config.getoption("markexpr", "") == "soak"
    if "TMPDIR" not in os.environ and not measured and has_room(MEMORY):
        os.environ["TMPDIR"] = str(MEMORY)
        tempfile.tempdir = None


def has_room(place: Path) -> bool:
    """Whether programs can be written to `place` and run there, and it has room for the tests."""
    try:
        found = os.statvfs(place)
    except OSError:
        return False
    forbidden = found.f_flag & (os.ST_NOEXEC | os.ST_RDONLY)
    return os.access(place, os.W_OK | os.X_OK) and not forbidden and found.f_bavail * found.f_frsize >= ROOM_BYTES


APP = "autopilot_app"


@dataclass(frozen=True)
class Database:
    """A database with the store's tables: its server, its name, and its addresses for owner and application."""

    server: PostgresServer
    name: str

    @property
    def owner(self) -> str:
        """The address for the role that owns the tables."""
        return self.server.url(self.name)

    @property
    def app(self) -> str:
        """The address for the role that can only append."""
        return self.server.url(self.name, APP)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server of the tests' own, made when it is first asked for. Where there is none CI fails, others skip."""
    binaries = find_binaries()
    if binaries is None:
        reason = "no PostgreSQL here: install it (Debian: apt-get install postgresql)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with PostgresServer.begin(binaries) as server:
        server.sql("postgres", f"CREATE ROLE {APP} LOGIN")
        yield server


@pytest.fixture(scope="session")
def database(postgres: PostgresServer) -> Database:
    """One database for all tests: each makes a ledger of its own in it."""
    return set_up_database(postgres)


@pytest.fixture
def own_database(postgres: PostgresServer) -> Database:
    """A database for one test that damages it."""
    return set_up_database(postgres)


def set_up_database(server: PostgresServer) -> Database:
    """A new database with the tables, and the application role granted what it needs."""
    from autopilot.storage.postgres.address import Address
    from autopilot.storage.postgres.schema import set_up

    made = Database(server, server.new_database())
    set_up(Address(made.owner), grant_to=(APP,))
    return made


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of the crash plan, if rows of it ran: states tried, lost, refused, seed, seconds."""
    reports = [report for group in terminalreporter.stats.values() for report in group]
    rows = [
        value for report in reports for name, value in getattr(report, "user_properties", ()) if name == "crash_plan"
    ]
    if not rows:
        return
    from crash.plan.counting import Row, table  # the path to it is set up by now

    unique = {row["name"]: Row(**row) for row in rows}
    terminalreporter.section("crash plan")
    terminalreporter.write_line(table([unique[name] for name in sorted(unique)]))
