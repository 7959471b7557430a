"""Where a repository's ledger is kept, and how it is opened there: files in the state directory, or PostgreSQL.

    home = home_of(repository, place, environ)
    store = home.open(ledger, clock, floor)

Evidence folders, journal, telemetry, keys and git objects are in the state directory in either case.
"""

from __future__ import annotations

import atexit
import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from autopilot.kernel.clock import Clock
from autopilot.kernel.configuration import NO_DAEMON, SETTINGS_FILE, Location, read_location
from autopilot.kernel.errors import ContractError, MissingComponentError
from autopilot.kernel.files import read_linkless
from autopilot.kernel.settings import MAX_FILE_BYTES
from autopilot.ledger.entry import LedgerEntry
from autopilot.ledger.verify import VerifyReport
from autopilot.onboarding.store import StoreFacts
from autopilot.process.fold import ProcessFold
from autopilot.process.ports import Store
from autopilot.storage.files.creation import Genesis, create_store
from autopilot.storage.files.layout import StorePaths
from autopilot.storage.files.ledger import read_entries
from autopilot.storage.files.store import FileStore, StoreParts, read_identity
from autopilot.storage.files.verify import verify_files
from autopilot.storage.postgres.address import Address, parse_address
from autopilot.vcs.repository import Repository
from autopilot.wiring.marker import read_marker


class Home(Protocol):
    """One kind of store, for one repository."""

    shared: bool
    """Whether other machines may have it too."""

    @property
    def shown(self) -> str:
        """What people are told: a folder, or an address without its password."""
        ...

    def described(self) -> StoreFacts | None:
        """The database as `doctor` shows it; None for files."""
        ...

    def present(self, ledger: str) -> str:
        """The id of the ledger that is here, empty if there is none. Where there may be several, it is `ledger`."""
        ...

    def open(self, ledger: str, clock: Clock, floor: int) -> Store:
        """Open it; see the stores for what is raised."""
        ...

    def create(self, genesis: Genesis, clock: Clock) -> Store:
        """Make a new ledger and open it; ContractError `ledger_exists` where only one has room."""
        ...

    def genesis(self, ledger: str) -> LedgerEntry:
        """The first line."""
        ...

    def verify(self, ledger: str, floor: int = 0) -> VerifyReport:
        """Check every line; opens nothing for writing."""
        ...

    def place(self, ledger: str, *, objects: bool = False) -> AbstractContextManager[Path]:
        """A state directory with the ledger's files as they are now, for reading within the block.

        With the sealed objects only if asked: else with those that hold folded states.
        """
        ...

    def keep_note(self, ledger: str, size: int, note: bytes) -> None:
        """Keep a checkpoint where the ledger is, if its files are not that place."""
        ...


class FilesHome:
    """The ledger in the state directory itself."""

    shared = False

    def __init__(self, place: Path) -> None:
        self._place = place
        self._paths = StorePaths(place)

    @property
    def shown(self) -> str:
        """The state directory."""
        return str(self._place)

    def described(self) -> StoreFacts | None:
        """None: files need no server."""
        return None

    def present(self, ledger: str) -> str:
        """As `Home.present`: there is one at most."""
        del ledger
        return read_identity(self._paths) if self._paths.identity.exists() else ""

    def open(self, ledger: str, clock: Clock, floor: int) -> Store:
        """As `Home.open`."""
        del ledger
        return FileStore.open(StoreParts(self._place, ProcessFold(), clock=clock, floor=floor))

    def create(self, genesis: Genesis, clock: Clock) -> Store:
        """As `Home.create`."""
        return create_store(StoreParts(self._place, ProcessFold(), clock=clock), genesis)

    def genesis(self, ledger: str) -> LedgerEntry:
        """As `Home.genesis`."""
        return next(iter(read_entries(self._paths, ledger, 0, 1)))

    def verify(self, ledger: str, floor: int = 0) -> VerifyReport:
        """As `Home.verify`."""
        del ledger
        return verify_files(self._place, floor)

    @contextlib.contextmanager
    def place(self, ledger: str, *, objects: bool = False) -> Iterator[Path]:
        """As `Home.place`: the files themselves."""
        del ledger, objects
        yield self._place

    def keep_note(self, ledger: str, size: int, note: bytes) -> None:
        """Nothing: the files are that place."""


def home_of(repository: Repository, place: Path, environ: Mapping[str, str]) -> Home:
    """The store that environment or `autopilot.toml` name; without either, the files in `place`.

    ContractError `bad_config`, `store_password`; MissingComponentError `pg_missing`.
    """
    address = address_of(repository, environ)
    return FilesHome(place) if address is None else rows_home(address, place)


def home_in(workspace: object, place: Path) -> Home:
    """Where an opened workspace's ledger is; the files in `place` for what stands for a workspace and has no choice."""
    found: Home | None = getattr(workspace, "home", None)
    return found or FilesHome(place)


def rows_home(address: Address, place: Path) -> Home:
    """The store in a database; MissingComponentError `pg_missing` without its driver."""
    try:
        # Here: the driver is an extra, and costs more to import than most commands take.
        from autopilot.wiring.shared import RowsHome
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "psycopg":
            raise
        raise MissingComponentError("pg_missing", where=address.shown) from None
    return RowsHome(address, place)


def settings_bytes(repository: Repository) -> bytes | None:
    """The repository's `autopilot.toml`, None where there is none. ContractError `bad_config` for one over its limit,
    and in a repository whose owner is another user for a link: the file it names may be closed to the owner.
    """
    path = repository.main_worktree / SETTINGS_FILE
    try:
        if repository.linkless:
            return read_linkless(path, cap=MAX_FILE_BYTES)
        if not path.is_file():
            return None
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except ContractError as error:
        if error.code == "artifact_missing":
            return None
        raise ContractError("bad_config", where=str(path), detail=f"not a plain file: {error.code}") from None
    except OSError as error:
        raise ContractError("bad_config", where=str(path), detail=f"cannot be read: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise ContractError("bad_config", where=str(path), detail=f"larger than {MAX_FILE_BYTES} bytes")
    return data


def location_of(repository: Repository, environ: Mapping[str, str]) -> Location:
    """Where ledger and state are, by the environment and `autopilot.toml`. ContractError `bad_config`.

    Where the file cannot be read, the environment alone says it to the daemon of another user, and to a client that it
    names a daemon to: the file's owner must not turn everybody else away.
    """
    try:
        return read_location(settings_bytes(repository), environ)
    except ContractError:
        if not repository.linkless and environ.get("AUTOPILOT_SOCKET", NO_DAEMON) in ("", NO_DAEMON):
            raise
        return read_location(None, environ)


def address_of(repository: Repository, environ: Mapping[str, str]) -> Address | None:
    """The database that is named, None for files. ContractError `store_password` for one that a shared file tells."""
    store = location_of(repository, environ).store
    if not store:
        return None
    where = "AUTOPILOT_STORE" if environ.get("AUTOPILOT_STORE") else f"{SETTINGS_FILE}: store"
    address = parse_address(store, where=where)
    if address.has_password and where != "AUTOPILOT_STORE":
        raise ContractError("store_password", where=where, detail=address.shown)
    return address


def named_ledger(repository: Repository, environ: Mapping[str, str]) -> str:
    """The ledger that the repository remembers: by its marker, else by `autopilot.toml`; empty if by neither."""
    marker = read_marker(repository.common_dir)
    return marker.ledger if marker is not None else location_of(repository, environ).ledger_id


def lent(home: Home, ledger: str, *, objects: bool = False) -> Path:
    """As `home.place`, for as long as this process runs: for commands, which read and end."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(home.place(ledger, objects=objects))


def clock_of(store: object, machine: Clock) -> Clock:
    """The clock that leases are judged by: the store's own, where several machines share it, else the machine's."""
    clock: Clock = getattr(store, "clock", machine)
    return clock
