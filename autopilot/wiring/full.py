"""The full engine, put together: store, trees, runners, desks, telemetry.

    workspace = Workspace.open(".")
    workspace.enforcer.advance_phase("T-1", caller=Caller("agent-7"))

One repository has one ledger. `<git common dir>/autopilot.id` remembers which and how long it was, so that a ledger
that was deleted or cut back is missed (`ledger_missing`, `truncated`), not silently begun anew. `autopilot.toml` is
the second memory, and the only one that a clone has: it must name the ledger that is opened.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autopilot.evidence.contracts import RULES
from autopilot.kernel.callers import Caller
from autopilot.kernel.canonical import loads
from autopilot.kernel.clock import Clock, SystemClock
from autopilot.kernel.configuration import SETTINGS_FILE, Settings, restore_settings
from autopilot.kernel.errors import ContractError
from autopilot.kernel.placing import refuse_strangers
from autopilot.kernel.settings import parse_settings
from autopilot.process.desks.approving import ApprovalDesk
from autopilot.process.desks.attesting import AttestationDesk
from autopilot.process.desks.configuring import ConfigDesk
from autopilot.process.desks.evidencing import EvidenceDesk
from autopilot.process.desks.flagging import FlagDesk
from autopilot.process.desks.inspecting import InspectionDesk
from autopilot.process.desks.journaling import JournalDesk
from autopilot.process.desks.leasing import LeaseDesk
from autopilot.process.desks.tasks import TaskRegister
from autopilot.process.desks.watching import Watchdog
from autopilot.process.enforcer import WorkProcessEnforcer
from autopilot.process.engine import Engine
from autopilot.process.guidance import Guidance
from autopilot.process.ports import Observer, Store
from autopilot.process.recording import Recording
from autopilot.process.router import ToolRouter
from autopilot.process.runners import RunnerDesk
from autopilot.process.site import Site
from autopilot.process.trust import ADVISORY, Trust
from autopilot.storage.files.creation import Genesis
from autopilot.telemetry.setup import Telemetry
from autopilot.telemetry.spans import TracedEnforcer, TracedRouter
from autopilot.vcs.repository import Repository
from autopilot.vcs.trees import EngineTrees
from autopilot.version import VERSION
from autopilot.wiring.lost import Remembered, check_identity, missing, replaced
from autopilot.wiring.marker import Marker, claimed, raise_marker, read_marker, write_marker
from autopilot.wiring.stores import address_of, clock_of, home_of, location_of, settings_bytes

if TYPE_CHECKING:
    from autopilot.remote.client import Greeting  # a workspace without a daemon does not pay for its client


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What a workspace takes from around it: the environment, the clock, who else listens, what may be claimed."""

    environ: Mapping[str, str]
    clock: Clock
    observers: tuple[Observer, ...] = ()
    trust: Trust = ADVISORY


def here(*observers: Observer) -> Outside:
    """This process's environment and the machine's clock."""
    return Outside(environ=dict(os.environ), clock=SystemClock(), observers=observers)


class Workspace:
    """A governed repository, opened. Close it, or use it as a context manager."""

    def __init__(self, repository: Repository, store: Store, outside: Outside) -> None:
        self.root = repository.main_worktree
        self.repository = repository
        self.state_dir = state_dir(repository, outside.environ)
        self.telemetry = Telemetry(self.state_dir / "telemetry", version=VERSION, environ=outside.environ)
        settings, fault = _present_settings(repository, store, outside)
        self.engine = engine = Engine(
            store=store,
            clock=clock_of(store, outside.clock),
            settings=settings,
            settings_fault=fault,
            root=repository.root,
            state_dir=self.state_dir,
            observers=(self.telemetry.observe, *outside.observers),
            current_span=self.telemetry.current_ids,
            trust_mode=outside.trust.mode,
            drafts=outside.trust.drafts,
        )
        own = tuple(place for place in (self.state_dir, outside.trust.drafts) if place is not None)
        self.site = Site(
            root=repository.root,
            state_dir=self.state_dir,
            repository=repository,
            trees=EngineTrees(repository, self.state_dir / "git", exclude=_excluded(repository, own)),
            objects=store.objects,
            environ=outside.environ,
            runner=outside.trust.runner,
            cache=outside.trust.cache,
        )
        self.leases = LeaseDesk(engine)
        runners = RunnerDesk(engine, self.site, RULES)
        self.enforcer = TracedEnforcer(WorkProcessEnforcer(engine, self.leases, runners), self.telemetry)
        self.router = TracedRouter(ToolRouter(engine), self.telemetry)
        self.tasks = TaskRegister(engine, self.site)
        self.evidence = EvidenceDesk(engine, self.leases)
        self.approvals = ApprovalDesk(engine)
        self.attestation = AttestationDesk(engine)
        self.flags = FlagDesk(engine)
        self.config = ConfigDesk(engine)
        self.watchdog = Watchdog(engine)
        self.guidance = Guidance(engine, runners)
        self.journal = JournalDesk(engine)
        self.recording = Recording(engine)
        self.inspection = InspectionDesk(engine, self.site)
        self.ledger = store
        self.home = home_of(repository, self.state_dir, outside.environ)

    @property
    def greeting(self) -> Greeting:
        """What the daemon said, and who the kernel says it is; ContractError where there is no daemon."""
        raise ContractError("bad_usage", where="greeting", detail="no daemon has this workspace")

    @property
    def is_remote(self) -> bool:
        """Whether the engine is a daemon's; see `wiring.remote`."""
        return False

    def with_purpose(self, purpose: str) -> AbstractContextManager[Workspace]:
        """A daemon's workspace on a line that forgets what is done on it; ContractError where there is no daemon."""
        raise ContractError("bad_usage", where=purpose, detail="no daemon has this workspace")

    @classmethod
    def init(
        cls, path: str | Path = ".", *, caller: Caller, lost: str = "", outside: Outside | None = None
    ) -> Workspace:
        """Make the ledger of the repository at `path` and open it.

        ContractError `ledger_exists` if it has one; unless `lost` says why a new one may take its place, IntegrityError
        `ledger_missing` if it had one that is gone, ContractError `ledger_elsewhere` in a clone whose `autopilot.toml`
        names one; RefusedError `human_only` where `lost` comes from a caller that is no person. The first line of the
        new ledger names the lost one; `autopilot.toml` is the caller's to correct.
        """
        outside = outside or here()
        repository = Repository.locate(Path(path))
        # Held from the look at what is there to the marker: of several who begin at once, one does.
        with claimed(repository.common_dir):
            place = state_dir(repository, outside.environ)
            refuse_strangers(place, folders=_STATE_FOLDERS, files=_STATE_FILES)
            home, known, lost_one = home_of(repository, place, outside.environ), _remembered(repository, outside), None
            if not home.present(known.ledger):
                lost_one = replaced(known, caller, lost.strip())
            store = home.create(Genesis(caller, f"autopilot {VERSION}", lost_one), outside.clock)
            write_marker(repository.common_dir, Marker(store.ledger_id, 1))
        return cls(repository, store, outside)

    @classmethod
    def open(cls, path: str | Path = ".", *, outside: Outside | None = None) -> Workspace:
        """Open the governed repository at `path` (or above it).

        ContractError `not_a_repository`, `not_a_workspace`; IntegrityError for a ledger that is missing, cut back,
        does not verify, or is not the one that `autopilot.toml` names (`ledger_unlike_settings`), and for a state
        directory with links in it (`state_linked`). Where `AUTOPILOT_SOCKET` or `daemon` in `autopilot.toml` names a
        daemon, the workspace is its: the same desks, and StorageError `daemon_unreachable` where it does not answer.
        """
        outside = outside or here()
        repository = Repository.locate(Path(path))
        daemon = location_of(repository, outside.environ).daemon
        if daemon:
            # Here, because what needs no daemon is not to pay for its client; it is a kind of workspace itself.
            from autopilot.wiring.remote import RemoteWorkspace

            return RemoteWorkspace(repository, daemon, outside)
        place = state_dir(repository, outside.environ)
        refuse_strangers(place, folders=_STATE_FOLDERS, files=_STATE_FILES)
        home, known = home_of(repository, place, outside.environ), _remembered(repository, outside)
        present = home.present(known.ledger)
        if not present:
            if known.ledger and (known.marker is not None or known.store):
                raise missing(known)
            raise ContractError("not_a_workspace", where=str(repository.root), detail=f"no ledger in {known.where}")
        # First of all: another ledger than the repository's is not a shortened one.
        check_identity(present, known)
        store = home.open(present, outside.clock, known.marker.size if known.marker is not None else 0)
        workspace = cls(repository, store, outside)
        workspace.journal.mend()
        return workspace

    def close(self) -> None:
        """Note the ledger's length beside the repository, and give everything back."""
        try:
            # Synced entries only: a lease line that still rides unsynced may rightly be gone after a power loss.
            raise_marker(self.repository.common_dir, Marker(self.ledger.ledger_id, self.ledger.durable))
        finally:
            self.telemetry.close()
            self.ledger.close()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# What the engine keeps below the state directory for itself. The folders of tasks, of the journal and of telemetry are
# opened link-free at each use instead: a link there stops one task, or costs what is only shown.
_STATE_FOLDERS = (
    "ledger",
    "ledger/seg",
    "leases",
    "cache",
    "cache/deps",
    "git",
    "git/objects",
    "git/tmp",
    "evidence",
    "evidence/.objects",
)
_STATE_FILES = (
    "ledger/LEDGER.json",
    "ledger/lock",
    "ledger/queue",
    "ledger/head",
    "ledger/POISONED",
    "ledger/reserve",
    "leases/leases.wal",
)


def refuse_linked_state(place: Path) -> None:
    """IntegrityError `state_linked` where a link, a pipe or the like stands for what the engine keeps in `place`."""
    refuse_strangers(place, folders=_STATE_FOLDERS, files=_STATE_FILES)


def state_dir(repository: Repository, environ: Mapping[str, str]) -> Path:
    """Where the state is: `state/` in the main worktree (or a bare common directory), or where it was moved."""
    return (repository.main_worktree / location_of(repository, environ).state_dir).absolute()


def _present_settings(repository: Repository, store: Store, outside: Outside) -> tuple[Settings, ContractError | None]:
    """What `autopilot.toml` says. Where it is another user's and says nothing, what a person sealed last, and why.

    Who owns the file could else shut everybody out. ContractError `bad_config` where nothing was sealed.
    """
    try:
        name = str(repository.main_worktree / SETTINGS_FILE)
        return parse_settings(settings_bytes(repository) or b"", outside.environ, name=name), None
    except ContractError as error:
        sealed = store.view().state.config if repository.linkless else ""
        if not sealed:
            raise
        # A wrong variable is the daemon's own fault, and not hidden by the file's.
        parse_settings(b"", outside.environ)
        return restore_settings(loads(store.objects.get(sealed), where="config.sealed")), error


def _excluded(repository: Repository, places: tuple[Path, ...]) -> tuple[str, ...]:
    root = repository.root
    return tuple(place.relative_to(root).as_posix() for place in places if place.is_relative_to(root))


def _remembered(repository: Repository, outside: Outside) -> Remembered:
    named, place = location_of(repository, outside.environ).ledger_id, state_dir(repository, outside.environ)
    address = address_of(repository, outside.environ)
    store = address.shown if address is not None else ""
    return Remembered(repository, place, read_marker(repository.common_dir), named, store)
