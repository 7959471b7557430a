"""The engine behind a socket, put together: one store for all connections, a workspace of its own for each.

    place = Place(repository, state_dir, socket)
    with open_daemon(place, options) as server:
        server.run()

Desks keep things from call to call and are not shared between threads; the store is, and takes its callers in turn. The
memory beside the repository (`autopilot.id`) is neither read nor written: it lies where an agent can change it, and the
state directory of a daemon does not.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from autopilot.kernel.callers import Caller
from autopilot.kernel.clock import SystemClock
from autopilot.kernel.configuration import NO_DAEMON
from autopilot.kernel.errors import AutopilotError, ContractError, IntegrityError
from autopilot.kernel.ownership import look, look_up
from autopilot.kernel.reasons import Reason
from autopilot.ledger.entry import LedgerEntry
from autopilot.ledger.verify import VerifyReport
from autopilot.process.fold import ProcessFold
from autopilot.process.ports import Store
from autopilot.process.trust import Trust
from autopilot.remote.operations import ENTRIES_PAGE, Picture, SignedCheckpoint
from autopilot.remote.peers import Bound, Credentials, PeerTable, check_persons
from autopilot.remote.safety import check_file, check_socket_folder, check_state, check_users
from autopilot.remote.server import Limits, Server, Welcome
from autopilot.sandbox.confined import Confinement
from autopilot.signing.cosignature import CosignerKey
from autopilot.signing.note import VerifierKey
from autopilot.storage.files.layout import StorePaths
from autopilot.storage.files.store import FileStore, StoreParts, read_identity
from autopilot.vcs.repository import MAIN, Repository
from autopilot.version import VERSION
from autopilot.wiring.checkpoints import CheckpointDesk, Given, verify_state
from autopilot.wiring.full import Outside, Workspace
from autopilot.wiring.ledgers import Told, heard
from autopilot.wiring.rehearsal import judging, rehearsing
from autopilot.wiring.stores import address_of, location_of

PEERS_FILE = "daemon.toml"
LOCK_FILE = "daemon.lock"
DRAFTS = "state"
_BACKLOG = 512
_SOCKET_MODE = 0o666


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a daemon is to run. `run_as` is the third user (uid, gid) for project code, None for bubblewrap alone."""

    state_dir: Path
    socket: Path
    config: Path
    allow_same_user: bool = False
    run_as: tuple[int, int] | None = None
    cache: Path | None = None
    limits: Limits = field(default_factory=Limits)
    environ: Mapping[str, str] = field(default_factory=dict)


class LedgerDoor:
    """The ledger as clients may read it."""

    def __init__(self, workspace: Workspace, state_dir: Path) -> None:
        self._workspace = workspace
        self._store: Store = workspace.ledger
        self._state_dir = state_dir

    def picture(self) -> Picture:
        """State, head and leases at one moment."""
        view = self._store.view()
        return Picture(view.state, view.head, view.leases)

    def page(self, start: int, stop: int | None = None) -> tuple[LedgerEntry, ...]:
        """The next entries from `start`, at most a page of them."""
        start = max(0, start)
        end = start + ENTRIES_PAGE if stop is None else min(stop, start + ENTRIES_PAGE)
        head = self._store.view().head.seq + 1
        return tuple(self._store.entries(start, min(end, head)))

    def verify(
        self, notes: Told = (), keys: tuple[str, ...] = (), anchors: Told = (), witnesses: tuple[str, ...] = ()
    ) -> VerifyReport:
        """Every line, the lease log, the checkpoints kept here, those that the client kept (where, note), and those
        that its commits name (where, anchor).
        """
        brought = tuple((where, note.encode()) for where, note in notes)
        given = Given(
            brought,
            tuple(map(VerifierKey.parse, keys)),
            tuple(map(CosignerKey.parse, witnesses)),
            heard(anchors),
        )
        return verify_state(self._state_dir, 0, given).report

    def checkpoint(self, anchors: Told = (), *, caller: Caller) -> SignedCheckpoint:
        """Verify the ledger, against the client's anchors too, and sign it. A new key is not a client's to ask for."""
        made = CheckpointDesk(self._workspace).publish(caller=caller, held=heard(anchors))
        return SignedCheckpoint(made.note.encode(), made.key.encode(), made.seq, str(made.path), made.new_key)

    def object(self, sha256: str) -> tuple[None, bytes]:
        """A sealed object."""
        return None, self._store.objects.get(sha256)


class Desks:
    """What a connection works with: the desks of its workspace, and the ledger to be read."""

    def __init__(self, workspace: Workspace, state_dir: Path) -> None:
        self.tasks, self.enforcer, self.leases = workspace.tasks, workspace.enforcer, workspace.leases
        self.evidence, self.approvals, self.attestation = workspace.evidence, workspace.approvals, workspace.attestation
        self.flags, self.config, self.watchdog = workspace.flags, workspace.config, workspace.watchdog
        self.guidance, self.router, self.recording = workspace.guidance, workspace.router, workspace.recording
        self.inspection = workspace.inspection
        self.ledger = LedgerDoor(workspace, state_dir)


class EngineHost:
    """What the server serves; see `remote.server.Host`."""

    def __init__(self, repository: Repository, store: FileStore, options: Options, table: PeerTable, mode: int) -> None:
        self._repository = repository
        self._store = store
        self._state_dir = options.state_dir
        self._table = table
        self._mode = mode
        self._confinement = Confinement(
            forbidden=(options.state_dir, options.socket.parent),
            shown=(options.state_dir / "cache" / "deps",),
            run_as=options.run_as,
            cache=options.cache,
        )
        cache = options.cache
        if cache is None and options.run_as is not None:
            raise _unsafe("--cache-dir", "--run-as needs a cache that the third user can read, outside of the state")
        trust = Trust(mode=mode, drafts=repository.main_worktree / DRAFTS, cache=cache, runner=self._confinement.runner)
        if mode == 0:
            trust = Trust(drafts=trust.drafts, cache=cache)
        environ = {**options.environ, "AUTOPILOT_STATE_DIR": str(options.state_dir), "AUTOPILOT_SOCKET": NO_DAEMON}
        self._outside = Outside(environ=environ, clock=SystemClock(), trust=trust)

    def bind(self, credentials: Credentials) -> Bound:
        """As whom this user acts; RefusedError `peer_refused`."""
        if self._mode == 0 and credentials.uid == os.geteuid():
            return Bound(credentials.uid, f"uid:{credentials.uid}", claims=True)
        return self._table.bind(credentials)

    def welcome(self, desks: Desks) -> Welcome:
        """What to tell who is let in. The isolation is the one that the governing configuration leads to."""
        wish = desks.config.governing(self._store.view().state).sandbox.isolation
        isolation = self._confinement.name(wish)
        return Welcome(self._store.ledger_id, self._mode, VERSION, str(self._state_dir), isolation)

    @contextlib.contextmanager
    def opened(self, directory: str, purpose: str) -> Iterator[Desks]:
        """The desks for a client in `directory`: of the worktree it works in, and no other repository's."""
        repository = self._located(directory)
        workspace = Workspace(repository, self._store, self._outside)
        try:
            if purpose == "act":
                yield Desks(workspace, self._state_dir)
                return
            forgetting = judging if purpose == "judge" else rehearsing
            with forgetting(workspace, self._outside) as copied:
                yield Desks(copied, self._state_dir)
        finally:
            workspace.telemetry.close()

    def mend(self) -> None:
        """Bring the files that show what is on the ledger up to date, as every opener does."""
        workspace = Workspace(self._repository, self._store, self._outside)
        try:
            workspace.journal.mend()
        finally:
            workspace.telemetry.close()

    def _located(self, directory: str) -> Repository:
        try:
            found = Repository.locate(Path(directory), linkless=self._repository.linkless)
            ours = found.common_dir == self._repository.common_dir and self._is_owners(found)
        except (AutopilotError, OSError):
            # Nothing of why: the words could quote a file that the client cannot read, and made a link to.
            ours = False
        if not ours:
            raise ContractError("not_served", where=directory[:400])
        return found

    def _is_owners(self, found: Repository) -> bool:
        """Whether the folder is the repository owner's: what another user put there must not be judged as his."""
        if not self._repository.linkless:
            return True
        main = self._repository.main_worktree
        owners = owners_of(self._repository)
        return found.root.stat().st_uid in owners and (found.worktree_id != MAIN or found.main_worktree == main)


@contextlib.contextmanager
def open_daemon(repository: Repository, options: Options) -> Iterator[tuple[Server, EngineHost, str]]:
    """The server, ready to run, with what it serves and the ledger's id. ContractError `daemon_unsafe` says what is
    not as it must be, `daemon_running` that another serves this state; IntegrityError for a ledger that does not open.
    """
    repository = kept_apart(repository)
    mode, table = _checked(repository, options)
    with _the_only_one(options.state_dir), contextlib.closing(_store(repository, options)) as store:
        host = EngineHost(repository, store, options, table, mode)
        host.mend()
        with _listening(options.socket) as listening:
            yield Server(listening, host, options.limits), host, store.ledger_id


def kept_apart(repository: Repository) -> Repository:
    """`repository` as this process reads it: through no link, where its owner is another user."""
    return replace(repository, linkless=mode_of(repository) == 1)


def mode_of(repository: Repository) -> int:
    """The trust mode in which this process would serve `repository`."""
    return 0 if os.geteuid() in owners_of(repository) else 1


def owners_of(repository: Repository) -> frozenset[int]:
    """Who owns the repository, and so is an agent or can be: of its files, and of git's."""
    return frozenset(place.stat().st_uid for place in (repository.main_worktree, repository.common_dir))


def check_options(repository: Repository, options: Options) -> tuple[Reason, ...]:
    """Why a daemon with these options would not keep what it claims; empty if it would."""
    uid, owners = os.geteuid(), owners_of(repository)
    reasons: list[Reason] = []
    for owner in sorted(owners):
        reasons += check_users(engine_uid=uid, owner_uid=owner, allow_same_user=options.allow_same_user)
    for path, check in ((options.state_dir, check_state), (options.socket.parent, check_socket_folder)):
        try:
            reasons += check(look_up(path), uid)
        except OSError as error:
            reasons.append(Reason("daemon_unsafe", where=str(path), detail=error.strerror or str(error)))
    if options.state_dir.is_relative_to(repository.main_worktree) and uid not in owners:
        detail = "the state lies in the repository, whose owner can move it away"
        reasons.append(Reason("daemon_unsafe", where=str(options.state_dir), detail=detail))
    if options.run_as is not None and (options.run_as[0] in (0, uid, *owners)):
        detail = "project code must run as a third user: neither root, the engine's nor the repository's"
        reasons.append(Reason("daemon_unsafe", where="--run-as", detail=detail))
    if options.run_as is not None and options.cache is not None:
        reasons += _cache_reasons(options.cache.resolve(), options)
    return tuple(reasons)


def _cache_reasons(cache: Path, options: Options) -> tuple[Reason, ...]:
    """Why the third user's group must not be let into that cache."""
    for place in (options.state_dir.resolve(), options.socket.parent.resolve()):
        if cache.is_relative_to(place) or place.is_relative_to(cache):
            detail = f"the third user is let into the cache: it must neither hold {place} nor lie in it"
            return (Reason("daemon_unsafe", where="--cache-dir", detail=detail),)
    return ()


def _checked(repository: Repository, options: Options) -> tuple[int, PeerTable]:
    reasons = check_options(repository, options)
    if not reasons:
        table, reasons = _table(repository, options)
        if not reasons:
            return mode_of(repository), table
    raise unsafe_error(reasons)


def unsafe_error(reasons: Sequence[Reason]) -> ContractError:
    """The error of a daemon that must not start: the first reason, and what else there is to correct."""
    first = reasons[0]
    others = "".join(f"; {reason.where}: {reason.detail}" for reason in reasons[1:])
    return ContractError("daemon_unsafe", where=first.where, detail=first.detail + others, remedy=first.remedy)


def _table(repository: Repository, options: Options) -> tuple[PeerTable, tuple[Reason, ...]]:
    try:
        data, file = options.config.read_bytes(), look(options.config)
    except OSError as error:
        remedy = "name the users that may connect: `autopilot daemon --init` writes the file"
        raise ContractError("bad_config", where=str(options.config), detail=str(error), remedy=remedy) from None
    table = PeerTable.parse(data, where=str(options.config))
    persons = frozenset() if options.allow_same_user else owners_of(repository) | {os.geteuid()}
    return table, (*check_file(file, os.geteuid()), *check_persons(table, agent_uids=persons))


def _store(repository: Repository, options: Options) -> FileStore:
    if address_of(repository, options.environ) is not None:
        raise ContractError("bad_config", where="store", detail="a daemon keeps its ledger in files")
    paths = StorePaths(options.state_dir)
    if not paths.identity.exists():
        remedy = "`autopilot daemon --init` makes the ledger; restore the state directory if there was one"
        raise IntegrityError("ledger_missing", where=str(options.state_dir), remedy=remedy)
    named, opened = location_of(repository, {}).ledger_id, read_identity(paths)
    if named not in ("", opened):
        detail = f"autopilot.toml names ledger {named}, the one in {options.state_dir} is {opened}"
        raise IntegrityError("ledger_unlike_settings", where="autopilot.toml: ledger_id", detail=detail)
    return FileStore.open(StoreParts(options.state_dir, ProcessFold(), clock=SystemClock()))


@contextlib.contextmanager
def _the_only_one(state_dir: Path) -> Iterator[None]:
    """Hold the state as its only daemon; the kernel lets go of it when this process dies, however it dies."""
    descriptor = os.open(state_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ContractError("daemon_running", where=str(state_dir)) from None
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    """The socket, in the place of one that a killed daemon left."""
    with contextlib.suppress(FileNotFoundError):
        found = path.lstat()
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid not in (0, os.geteuid()):
            raise _unsafe(str(path), "something else stands in the socket's place")
        if _answers(path):
            raise ContractError("daemon_running", where=str(path), detail="another daemon listens at this socket")
        path.unlink()
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            line.bind(str(path))
            # Who may say something is decided by who connects, not by the file's mode.
            path.chmod(_SOCKET_MODE)
            line.listen(_BACKLOG)
        except OSError as error:
            raise _unsafe(str(path), f"cannot listen there: {error}") from None
        yield line
    finally:
        line.close()
        with contextlib.suppress(OSError):
            path.unlink()


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
        return True


def notify(environ: Mapping[str, str], state: str) -> None:
    """Tell the service manager (sd_notify), if one is there; it is a courtesy, and no failure of ours."""
    place = environ.get("NOTIFY_SOCKET", "")
    if not place:
        return
    address = "\0" + place[1:] if place.startswith("@") else place
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.sendto(state.encode(), address)


def _unsafe(where: str, detail: str) -> ContractError:
    return ContractError("daemon_unsafe", where=where, detail=detail)
