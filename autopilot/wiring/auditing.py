"""The facts of an audit, read from the files of a repository. Nothing is opened for writing, nothing is mended.

    facts = load_facts(Repository.locate(path), environ, task="T-1")
    report = audit(facts)

What people and exporters write is read first, the lease log and the length of the ledger then under one shared hold of
the lock: what is written meanwhile can make a copy look behind, and never look forged.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

from autopilot.audit.facts import (
    CheckpointFacts,
    EvidenceFile,
    Facts,
    Identity,
    LeaseLogFacts,
    Objects,
    TelemetryFacts,
)
from autopilot.audit.ledger_checks import Refold, can_be_followed
from autopilot.audit.projections import PHASE_FOLDERS
from autopilot.audit.rules import LEASE_RULES, PROCESS_RULES
from autopilot.audit.trail import Trail, follow
from autopilot.kernel.canonical import sha256_hex
from autopilot.kernel.configuration import SETTINGS_FILE, read_location
from autopilot.kernel.errors import AutopilotError, ContractError, IntegrityError
from autopilot.kernel.files import DiskFiles, read_regular
from autopilot.ledger.entry import LedgerEntry
from autopilot.ledger.verify import VerifyReport, corrupt
from autopilot.process.fold import ProcessFold
from autopilot.storage.files.checkpoints import CheckpointFiles, Scan
from autopilot.storage.files.hint import read_hint
from autopilot.storage.files.layout import StorePaths
from autopilot.storage.files.ledger import read_entries
from autopilot.storage.files.lock import StoreLock
from autopilot.storage.files.record_log import LogPlace, RecordLog
from autopilot.storage.files.store import LOCK_WAIT_SECONDS
from autopilot.storage.files.verify import verify_files
from autopilot.storage.objects import ObjectStore
from autopilot.telemetry.recorded import recorded_moves
from autopilot.telemetry.totals import totals
from autopilot.vcs.repository import Repository
from autopilot.wiring.checkpoints import known_keys
from autopilot.wiring.full import refuse_linked_state, state_dir
from autopilot.wiring.marker import read_marker
from autopilot.wiring.stores import Home, home_of, lent

FILE_CAP_BYTES = 64 * 1024 * 1024
PROGRESS_ENTRIES = 1 << 16
_DIGEST = re.compile(r"[0-9a-f]{64}")

Progress = Callable[[int, int], None]
"""Told how many of how many lines were read, every `PROGRESS_ENTRIES` of them."""


def load_facts(
    repository: Repository, environ: Mapping[str, str], *, task: str = "", progress: Progress | None = None
) -> Facts:
    """All facts of the repository's ledger; those about a task are still of all tasks, so that counts are right.

    ContractError `not_a_workspace` where there is neither ledger nor marker, `unknown_task`.
    """
    place = state_dir(repository, environ)
    identity, floor = _identity(repository, place, environ)
    if not identity.ledger and not identity.marker and not identity.marker_fault:
        raise ContractError("not_a_workspace", where=str(repository.root), detail=f"no ledger in {place}")
    if identity.linked:
        return Facts(report=corrupt("missing", 0, where=identity.linked), identity=identity, task=task)
    home = home_of(repository, place, environ)
    loader = _Loader(place, home, identity, floor, progress or (lambda _done, _total: None))
    facts = loader.facts(task)
    if task and facts.trail is not None and task not in facts.trail.tasks:
        raise ContractError("unknown_task", where=task, detail=f"no task {task!r} in this ledger")
    return facts


def _identity(repository: Repository, place: Path, environ: Mapping[str, str]) -> tuple[Identity, int]:
    """Who remembers which ledger, and how long the marker says that it was."""
    settings = repository.main_worktree / SETTINGS_FILE
    named = read_location(settings.read_bytes() if settings.is_file() else None, environ).ledger_id
    marker, size, fault, linked, ledger = "", 0, "", "", ""
    try:
        known = read_marker(repository.common_dir)
        marker, size = (known.ledger, known.size) if known is not None else ("", 0)
    except IntegrityError as error:
        fault = error.detail
    try:
        refuse_linked_state(place)
        with contextlib.suppress(IntegrityError):
            ledger = home_of(repository, place, environ).present(marker or named)
    except IntegrityError as error:
        linked = error.where or str(place)
    # The marker's length is another ledger's where it names another.
    floor = size if marker == ledger else 0
    return Identity(ledger=ledger, marker=marker, marker_fault=fault, named=named, linked=linked), floor


class _Loader:
    """Reads one state directory, and the ledger's files from there, or from a copy where `home` is a database."""

    def __init__(self, place: Path, home: Home, identity: Identity, floor: int, progress: Progress) -> None:
        self._place = place
        self._home = home
        self._lines = place
        self._identity = identity
        self._floor = floor
        self._progress = progress
        self._set_lines(place)

    def _set_lines(self, lines: Path) -> None:
        self._lines, self._paths = lines, StorePaths(lines)
        self._store = ObjectStore(DiskFiles(), self._paths.objects)

    def facts(self, task: str) -> Facts:
        files, journals, telemetry = self._files(), self._journals(), _telemetry(self._place / "telemetry")
        if self._home.shared and self._identity.ledger:
            # Copied behind what people write, not before: see above.
            self._set_lines(lent(self._home, self._identity.ledger, objects=True))
        leases, length = self._moment()
        report = verify_files(self._lines, self._floor)
        refold = Refold(ProcessFold(), self._store.get)
        trail = self._trail(report, length, refold) if can_be_followed(report) else None
        return Facts(
            report=report,
            identity=self._identity,
            trail=trail,
            refolded=tuple(refold.findings),
            counters=refold.state.counters,
            segments=refold.segments,
            leases=leases,
            objects=self._objects(),
            files=files,
            journals=journals,
            telemetry=telemetry,
            checkpoints=self._checkpoints(trail),
            task=task,
        )

    def _moment(self) -> tuple[LeaseLogFacts, int]:
        """The lease log, and how many lines the ledger had when it was read."""
        with contextlib.ExitStack() as stack:
            if self._paths.lock.exists():
                lock = stack.enter_context(contextlib.closing(StoreLock(self._paths.lock, LOCK_WAIT_SECONDS)))
                stack.enter_context(lock.held(shared=True))
            return self._lease_log(), self._length()

    def _lease_log(self) -> LeaseLogFacts:
        log = RecordLog(DiskFiles(), LogPlace(self._paths.leases, self._paths.quarantine, self._identity.ledger))
        try:
            return LeaseLogFacts(records=tuple(one.record for one in log.catch_up().records))
        except (AutopilotError, OSError) as error:
            return LeaseLogFacts(fault=str(error))
        finally:
            log.close()

    def _length(self) -> int:
        starts = self._paths.segment_starts()
        if not starts:
            return 0
        return starts[-1] + self._paths.segment(starts[-1]).read_bytes().count(b"\n")

    def _trail(self, report: VerifyReport, length: int, refold: Refold) -> Trail:
        stop = min(report.entries, length)
        entries = read_entries(self._paths, self._identity.ledger, 0, stop)
        return follow(refold.over(self._counted(entries, stop)), (*PROCESS_RULES, *LEASE_RULES))

    def _counted(self, entries: Iterator[LedgerEntry], total: int) -> Iterator[LedgerEntry]:
        for entry in entries:
            if entry.seq % PROGRESS_ENTRIES == PROGRESS_ENTRIES - 1:
                self._progress(entry.seq + 1, total)
            yield entry

    def _objects(self) -> Objects:
        root = self._paths.objects
        names = (path.name for folder in _folders(root) for path in folder.iterdir())

        @cache
        def fault(digest: str) -> str:
            try:
                self._store.get(digest)
            except IntegrityError as error:
                return error.code
            except (AutopilotError, OSError):
                return "object_missing"
            return ""

        stored = frozenset(name for name in names if _DIGEST.fullmatch(name))
        return Objects(stored=stored, fault=fault, read=self._store.get)

    def _checkpoints(self, trail: Trail | None) -> CheckpointFacts:
        if trail is None:
            return CheckpointFacts()
        files, notes = CheckpointFiles(self._lines), dict[int, bytes | str]()
        for size in files.sizes():
            try:
                notes[size] = files.read(size)
            except IntegrityError as error:
                notes[size] = error.detail
        hint = read_hint(self._paths.head, self._identity.ledger)
        hint_seq = hint.seq if hint else -1
        try:
            keys = known_keys(self._place, self._identity.ledger, Scan((), tuple(trail.keys), b""))
        except AutopilotError as error:
            return CheckpointFacts(notes=notes, keys_fault=f"{error.where} {error.detail}", hint_seq=hint_seq)
        return CheckpointFacts(notes=notes, keys=keys, hint_seq=hint_seq)

    # --- copies for readers

    def _journals(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for path in sorted((self._place / "journal").glob("*.jsonl")):
            try:
                found[path.stem] = read_regular(self._place, f"journal/{path.name}", cap=FILE_CAP_BYTES)
            except ContractError as error:
                found[path.stem] = f"{error.code}\n".encode()  # not the journal, whatever it is
        return found

    def _files(self) -> tuple[EvidenceFile, ...]:
        return tuple(
            file
            for folder in _folders(self._place / "evidence")
            if folder.name != ".objects"
            for file in self._of_task(folder.name)
        )

    def _of_task(self, task: str) -> Iterator[EvidenceFile]:
        home = self._place / "evidence" / task
        yield from self._of_epoch(task, home, "")
        for shelf in _folders(home / ".superseded"):
            yield from self._of_epoch(task, shelf, shelf.name)

    def _of_epoch(self, task: str, home: Path, shelf: str) -> Iterator[EvidenceFile]:
        for folder in _folders(home):
            phase = PHASE_FOLDERS.get(folder.name)
            for name in sorted(os.listdir(folder)) if phase is not None else ():  # noqa: PTH208 - names only
                relative = (folder / name).relative_to(self._place).as_posix()
                try:
                    data, fault = read_regular(self._place, relative, cap=FILE_CAP_BYTES), ""
                except AutopilotError as error:
                    data, fault = b"", error.code
                yield EvidenceFile(task, phase or "", name, sha256_hex(data), fault, shelf)


def _folders(root: Path) -> list[Path]:
    """The folders in `root`, none where it is no folder itself."""
    try:
        return sorted(path for path in root.iterdir() if path.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _telemetry(folder: Path) -> TelemetryFacts:
    traces, metrics = folder / "traces.jsonl", folder / "metrics.jsonl"
    unreadable = {path.name: 1 for path in (traces, metrics) if path.is_symlink() or not _is_plain(path)}
    present = traces.exists() or metrics.exists()
    try:
        spans = None if traces.name in unreadable else recorded_moves(traces)
        sums = None if metrics.name in unreadable else totals(metrics)
    except OSError as error:
        return TelemetryFacts(present=present, unreadable={str(error.filename): 1})
    return TelemetryFacts(
        present=present,
        moves=spans.moves if spans else {},
        counters=sums.counters if sums else {},
        unreadable={
            traces.name: spans.unreadable if spans else 1,
            metrics.name: sums.unreadable if sums else 1,
        },
    )


def _is_plain(path: Path) -> bool:
    """Never a pipe: its first reader would wait for ever."""
    return path.is_file() or not path.exists()
