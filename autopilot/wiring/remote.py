"""A workspace whose engine is a daemon's: the same desks, asked over the socket.

    workspace = Workspace.open(".")        # with AUTOPILOT_SOCKET, or `daemon` in autopilot.toml
    workspace.enforcer.advance_phase("T-1", caller=Caller("agent-7"))

What is asked of the ledger goes to the daemon. What concerns the caller's own files stays here: the document that is
handed in is read here and sent as bytes, skeletons and exports are written here, as the caller, below `state/evidence`.
Nothing of that folder is evidence. There is no falling back to files: a daemon that does not answer is an error.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from autopilot.kernel.callers import Caller
from autopilot.kernel.configuration import DEFAULT_STATE_DIR, Settings
from autopilot.kernel.errors import ContractError, MissingComponentError, RefusedError
from autopilot.kernel.files import read_regular
from autopilot.kernel.placing import place_file
from autopilot.kernel.reasons import Verdict
from autopilot.kernel.settings import parse_settings
from autopilot.leases.terms import Claim, Moment
from autopilot.ledger.entry import LedgerEntry
from autopilot.ledger.verify import VerifyReport
from autopilot.process.desks.evidencing import Exported
from autopilot.process.profiles import PROFILES, ProcessProfile
from autopilot.process.router import ToolCall
from autopilot.process.runners.bench import ASSERTED_CAP_BYTES
from autopilot.process.state import Evidence, TaskState
from autopilot.remote.client import Greeting, Line, address_of
from autopilot.remote.operations import ENTRIES_PAGE, OPERATIONS, Picture, SignedCheckpoint
from autopilot.vcs.repository import Repository
from autopilot.wiring.full import Outside, Workspace
from autopilot.wiring.stores import settings_bytes

_DRAFT_MODE = 0o444
_Told = tuple[tuple[str, str], ...]


class RemoteDesk:
    """One desk of the daemon: its methods are the rows of the table that begin with its name."""

    def __init__(self, line: Line, name: str) -> None:
        self._line = line
        self._name = name

    def __getattr__(self, method: str) -> Any:
        name = f"{self._name}.{method}"
        row = OPERATIONS.get(name)
        if row is None:
            raise AttributeError(f"{name} is not asked of a daemon")
        order = row.order

        def call(*given: Any, caller: Caller | None = None, **named: Any) -> Any:
            if row.caller and caller is None and given and isinstance(given[-1], Caller):
                caller, given = given[-1], given[:-1]  # some desks take it last and unnamed
            if len(given) > len(order):
                raise TypeError(f"{name} takes {len(order)} arguments, not {len(given)}")
            arguments = {**dict(zip(order, given, strict=False)), **named}
            blob = arguments.pop(row.blob, b"") if row.blob else b""
            return self._line.call(name, arguments, caller=caller, blob=blob)

        return call


class RemoteEvidence(RemoteDesk):
    """The evidence desk: files are the caller's, and are read and written here."""

    def __init__(self, line: Line, drafts: Path) -> None:
        super().__init__(line, "evidence")
        self._drafts = drafts

    def add(
        self, task_id: str, path: Path, *, caller: Caller, name: str = "", lease: Claim | None = None
    ) -> LedgerEntry:
        """As the desk's: the file is read here, and what is sent are its bytes; its path is the caller's business."""
        data = read_regular(path.parent.resolve(), path.name, cap=ASSERTED_CAP_BYTES)
        entry: LedgerEntry = self.add_bytes(task_id, name or path.name, data, caller=caller, lease=lease)
        return entry

    def export(self, task_id: str, target: Path | None = None) -> tuple[Exported, ...]:
        """As the desk's, written here: copies for reading, which nothing reads back."""
        root, done = self._drafts / "evidence" if target is None else target, []
        listed: tuple[Evidence, ...] = self.list(task_id)
        for item in listed:
            _, data = self.show(task_id, item.name, phase=item.phase)
            relative = f"{task_id}/{item.phase.lower()}/{item.name}"
            path = place_file(self._drafts, f"evidence/{relative}", data) if target is None else None
            (path or place_file(root, relative, data)).chmod(_DRAFT_MODE)
            done.append(Exported(root / relative, item.sha256))
        return tuple(done)


class RemoteGuidance(RemoteDesk):
    """Guidance: skeletons are written here, into the caller's drafts."""

    def __init__(self, line: Line, drafts: Path) -> None:
        super().__init__(line, "guidance")
        self._drafts = drafts

    def write_skeletons(self, task_id: str, *, caller: Caller) -> tuple[str, ...]:
        """As the desk's."""
        task: TaskState = self._line.call("tasks.show", {"task_id": task_id})
        written = []
        for name, text in self.skeletons(task_id, caller=caller):
            relative = f"{task_id}/{task.stage.lower()}/{name}"
            if not self._is_there(relative):
                place_file(self._drafts, f"evidence/{relative}", text.encode())
                written.append(relative)
        return tuple(written)

    def _is_there(self, relative: str) -> bool:
        try:
            read_regular(self._drafts, f"evidence/{relative}", cap=ASSERTED_CAP_BYTES)
        except ContractError as error:
            return error.code != "artifact_missing"
        return True


class RemoteRouter(RemoteDesk):
    """The guard."""

    def check(self, call: ToolCall, *, caller: Caller) -> Verdict:
        """As the router's."""
        verdict: Verdict = self.judge(call, caller=caller).verdict
        return verdict


class RemoteRecording(RemoteDesk):
    """Of what the recording does for the desks, a client may ask one thing: that its own false claim is noted."""

    def usurped(self, task: TaskState | None, caller: Caller, verdict: Verdict) -> int:
        """Record a person's act without a terminal. The words of the line are the daemon's."""
        del task
        seq: int = self.impostor(verdict.reasons[0].where, caller=caller)
        return seq


class RemoteLedger:
    """The ledger, to be read."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self.ledger_id = line.greeting.ledger
        self.objects = SimpleNamespace(get=self._object)

    def view(self) -> Picture:
        """State, head and leases at one moment."""
        picture: Picture = self._line.call("ledger.view", {})
        return picture

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[LedgerEntry]:
        """The entries, each held against its hash."""
        while stop is None or start < stop:
            page = self._line.call("ledger.page", {"start": start, "stop": stop})
            yield from page
            if len(page) < ENTRIES_PAGE:
                return
            start += len(page)

    def verify(
        self, notes: _Told = (), keys: tuple[str, ...] = (), anchors: _Told = (), witnesses: tuple[str, ...] = ()
    ) -> VerifyReport:
        """What the daemon finds when it verifies its ledger, against these kept checkpoints (where, note) too, and
        against those that commits name (where, anchor).
        """
        asked = {"notes": notes, "keys": keys, "anchors": anchors, "witnesses": witnesses}
        report: VerifyReport = self._line.call("ledger.verify", asked)
        return report

    def checkpoint(self, anchors: _Told = (), *, caller: Caller) -> SignedCheckpoint:
        """A checkpoint that the daemon signs, once its ledger agrees with these anchors."""
        signed: SignedCheckpoint = self._line.call("ledger.checkpoint", {"anchors": anchors}, caller=caller)
        return signed

    def transaction(self) -> Any:
        """A client does not write lines: MissingComponentError `engine_user_only`."""
        raise engine_user_only("writing to the ledger")

    def close(self) -> None:
        """Nothing is open here but the line."""

    def _object(self, sha256: str) -> bytes:
        data: bytes = self._line.call("ledger.object", {"sha256": sha256})[1]
        return data


class RemoteEngine:
    """What a client needs to know of an engine: the clock of the machine, the profiles, and its own places."""

    def __init__(self, root: Path, drafts: Path, settings: Settings, outside: Outside, greeting: Greeting) -> None:
        self.root = root
        self.state_dir = drafts
        self.settings = settings
        self.trust_mode = greeting.trust_mode
        self._clock = outside.clock

    def now(self) -> Moment:
        """The boot clock's now: client and daemon are on one machine."""
        return Moment(self._clock.boot_ns(), self._clock.boot_id())

    def profile(self, task: TaskState) -> ProcessProfile:
        """The task's profile; ContractError `unknown_profile`."""
        try:
            return PROFILES[task.profile]
        except KeyError:
            raise ContractError("unknown_profile", where=task.profile, detail="not a profile of this version") from None

    def evidence_dir(self, task_id: str, phase_folder: str) -> Path:
        """Where the caller's drafts of a phase lie."""
        return self.state_dir / "evidence" / task_id / phase_folder


class RemoteWorkspace(Workspace):
    """A workspace that is served by a daemon."""

    def __init__(self, repository: Repository, socket: str, outside: Outside, purpose: str = "act") -> None:
        owner_uid = repository.common_dir.stat().st_uid
        self._address = address_of(socket, outside.environ, owner_uid=owner_uid)
        self._outside = outside
        self._line = line = Line(self._address, repository.root, purpose)
        self.root = repository.main_worktree
        self.repository = repository
        # The caller's own folder: drafts and copies for reading. The state is where the caller cannot go.
        self.state_dir = drafts = repository.main_worktree / DEFAULT_STATE_DIR
        settings = _shown_settings(repository, outside)
        desks: Mapping[str, Any] = {
            "engine": RemoteEngine(repository.root, drafts, settings, outside, line.greeting),
            "evidence": RemoteEvidence(line, drafts),
            "guidance": RemoteGuidance(line, drafts),
            "router": RemoteRouter(line, "router"),
            "recording": RemoteRecording(line, "recording"),
            "ledger": RemoteLedger(line),
            **{
                name: RemoteDesk(line, name)
                for name in (
                    *("tasks", "enforcer", "leases", "approvals", "attestation"),
                    *("flags", "config", "watchdog", "inspection"),
                )
            },
        }
        for name, desk in desks.items():
            setattr(self, name, desk)

    @property
    def greeting(self) -> Greeting:
        """What the daemon said, and who the kernel says it is."""
        return self._line.greeting

    @property
    def is_remote(self) -> bool:
        """True: the files of the engine are not this process's."""
        return True

    @contextlib.contextmanager
    def with_purpose(self, purpose: str) -> Iterator[RemoteWorkspace]:
        """The same daemon, asked on a line of its own that forgets what is done (`judge`, `rehearse`)."""
        other = RemoteWorkspace(self.repository, self._address.socket, self._outside, purpose)
        try:
            yield other
        except RefusedError as error:
            if purpose == "rehearse":
                error.seq = None  # a refusal in a rehearsal names no ledger line: there is none
            raise
        finally:
            other.close()

    def close(self) -> None:
        """Hang up."""
        self._line.close()

    def __getattr__(self, name: str) -> Any:
        # `site`, `telemetry`, `journal`: what works on the engine's own files.
        if name.startswith("_"):
            raise AttributeError(name)
        raise engine_user_only(f"Workspace.{name}")


def _shown_settings(repository: Repository, outside: Outside) -> Settings:
    """What `autopilot.toml` says, to be shown; the defaults where it cannot be read: the daemon knows what governs."""
    try:
        return parse_settings(settings_bytes(repository) or b"", outside.environ)
    except ContractError:
        return parse_settings(b"", outside.environ)


def engine_user_only(what: str) -> MissingComponentError:
    """The error of what needs the engine's own files."""
    return MissingComponentError("engine_user_only", where=what, detail=f"{what} is the engine's user's")
