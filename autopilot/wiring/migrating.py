"""Moving a ledger between files and PostgreSQL: `Move.of(repository, environ, to)`, then `run`.

At no moment do two copies live. The source is verified and put on record where it goes; then it is closed, copied, the
copy is verified and compared, and only then opened. In between nobody can write: a move that was cut short refuses, and
is taken up by the same command. What was the source stays, marked with where its ledger went.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from autopilot.kernel.callers import Caller
from autopilot.kernel.clock import Clock, SystemClock
from autopilot.kernel.configuration import SETTINGS_FILE
from autopilot.kernel.errors import ContractError, LeaseRefusedError, RefusedError
from autopilot.kernel.files import DiskFiles, make_dir_durably, replace_durably
from autopilot.kernel.reasons import Reason, Verdict
from autopilot.leases.book import LeaseBook
from autopilot.leases.terms import Moment
from autopilot.ledger.chain import Head
from autopilot.ledger.entry import Draft
from autopilot.ledger.verify import VerifyReport
from autopilot.onboarding.store_setting import with_store
from autopilot.storage.files.layout import StorePaths
from autopilot.storage.files.leases import LeaseLog
from autopilot.storage.files.lock import StoreLock
from autopilot.storage.files.moved import mark_moved, moved_to
from autopilot.storage.files.record_log import LogPlace
from autopilot.storage.files.store import LOCK_WAIT_SECONDS, read_identity
from autopilot.storage.files.verify import verify_files
from autopilot.storage.objects import ObjectStore
from autopilot.storage.postgres import copying, loading
from autopilot.storage.postgres.address import Address, parse_address
from autopilot.storage.postgres.rows import SELECT_HEAD, HeadRow
from autopilot.storage.postgres.session import Session
from autopilot.storage.postgres.store import RowTransaction
from autopilot.vcs.repository import Repository
from autopilot.wiring.full import state_dir
from autopilot.wiring.marker import read_marker
from autopilot.wiring.stores import FilesHome, Home, address_of, clock_of, named_ledger, rows_home

FILES = "files"
_ARRIVING = ".arriving"
ARRIVAL = ".arrival"
"""The file in the state directory with the random name of the move that goes there; only while one does."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What was moved, from where to where; `resumed` if an earlier run had closed the source."""

    ledger: str
    source: str
    target: str
    entries: int
    objects: int
    checkpoints: int
    resumed: bool


@dataclass(frozen=True, slots=True)
class Move:
    """One move of one repository's ledger. `target` is a database, None for the files of the state directory."""

    repository: Repository
    place: Path
    source: Address | None
    target: Address | None
    ledger: str
    floor: int

    @classmethod
    def of(cls, repository: Repository, environ: Mapping[str, str], to: str) -> Move:
        """The move of the repository's ledger to `files` or to an address.

        ContractError `bad_usage` for a move to where it is, `not_a_workspace`.
        """
        source = address_of(repository, environ)
        target = None if to == FILES else parse_address(to, where="--to")
        if (source is None) == (target is None):
            detail = "it is in files" if source is None else f"it is in {source.shown}"
            remedy = "a move is from files to a database, or back"
            raise ContractError("bad_usage", where="--to", detail=detail, remedy=remedy)
        place, ledger = state_dir(repository, environ), named_ledger(repository, environ)
        if not ledger:
            raise ContractError("not_a_workspace", where=str(repository.root))
        marker = read_marker(repository.common_dir)
        floor = marker.size if marker is not None and marker.ledger == ledger else 0
        return cls(repository, place, source, target, ledger, floor)

    @property
    def home(self) -> Home:
        """Where the ledger is now."""
        return FilesHome(self.place) if self.source is None else rows_home(self.source, self.place)

    @property
    def there(self) -> str:
        """How the target is named on the ledger and in the mark that the source keeps.

        Path and host are for people: another machine may have both. The arrival's name is this directory's alone.
        """
        if self.target is not None:
            return self.target.shown
        arrival = read_arrival(self.place)
        return f"files in {self.place} on {os.uname().nodename}" + (f", arrival {arrival}" if arrival else "")

    def check(self) -> int:
        """The number of lines, after everything that a move demands was looked at; nothing is changed.

        LeaseRefusedError `leases_standing` names who holds what; IntegrityError for a source that does not verify.
        """
        if self._is_closed():
            return self._verified(self._report()).entries
        with contextlib.closing(self.home.open(self.ledger, SystemClock(), self.floor)) as store:
            self._require_free(store.view().leases, clock_of(store, SystemClock()))
        if self.target is not None:
            rows_home(self.target, self.place).present(self.ledger)  # its tables are there
            row = _head_row(self.target, self.ledger)
            if row is not None and not row.moved_to:
                raise ContractError("ledger_exists", where="--to", detail=f"ledger {self.ledger} lives there")
        elif StorePaths(self.place).identity.exists() and moved_to(StorePaths(self.place)) is None:
            raise ContractError("ledger_exists", where=str(self.place), detail="a ledger lives there")
        return self._verified(self._report()).entries

    @staticmethod
    def check_caller(caller: Caller, reason: str) -> None:
        """RefusedError `human_only`, ContractError `reason_missing`."""
        if caller.kind != "human":
            raise RefusedError(Verdict((Reason("human_only", where="store migrate"),)))
        if not reason.strip():
            raise ContractError("reason_missing", where="--reason", remedy="say why: --reason TEXT")

    def run(self, caller: Caller, reason: str) -> Moved:
        """Move it. As `check`; RefusedError `human_only`, ContractError `reason_missing`."""
        self.check_caller(caller, reason)
        self.check()
        resumed = self._is_closed()
        if not resumed:
            if self.target is None:
                _begin_arrival(self.place)
            self._record(caller, reason.strip())
        if self.target is not None:
            moved = self._to_rows(self.target, resumed=resumed)
        else:
            moved = self._to_files(self.source, resumed=resumed)
        self._name()
        _end_arrival(self.place)
        return moved

    # --- before

    def _record(self, caller: Caller, reason: str) -> None:
        """The last line in the old place says where the ledger goes. A database is closed with it."""
        data = {"subject": "store", "outcome": self.there, "reason": reason}
        with contextlib.closing(self.home.open(self.ledger, SystemClock(), self.floor)) as store:
            clock = clock_of(store, SystemClock())
            with store.transaction() as tx:
                # Asked again in here: somebody may have begun to work since `check`.
                self._require_free(tx.leases, clock)
                tx.append(Draft(kind="decision", caller=caller, data=data))
                if isinstance(tx, RowTransaction):
                    tx.leave(self.there)

    def _require_free(self, leases: LeaseBook, clock: Clock) -> None:
        now = Moment(clock.boot_ns(), clock.boot_id())
        held = [lease for lease in leases.leases() if not lease.ran_out(now)]
        if held:
            raise LeaseRefusedError(
                Verdict(
                    tuple(
                        Reason(
                            "leases_standing",
                            where=lease.resource,
                            detail=f"{lease.holder.caller.actor} holds it for {lease.seconds_left(now)} s more",
                        )
                        for lease in held
                    )
                )
            )

    def _report(self, *, locked: bool = False) -> VerifyReport:
        if self.source is not None:
            return copying.verify_rows(self.source, self.ledger, self.floor)
        report = verify_files(self.place, self.floor, locked=locked)
        if report.reason == "poisoned" and self._is_closed():
            # The mark of this very move.
            return VerifyReport("intact", None, report.entries - 1, report.entries)
        return report

    @staticmethod
    def _verified(report: VerifyReport) -> VerifyReport:
        if not report.intact:
            raise report.error()
        return report

    def _is_closed(self) -> bool:
        """Whether an earlier run of this move closed the source. ContractError `store_moved` if another one did."""
        if self.source is None:
            moved = moved_to(StorePaths(self.place))
            gone = moved[0] if moved else ""
        else:
            row = _head_row(self.source, self.ledger)
            gone = row.moved_to if row else ""
        ours = self.target is not None or read_arrival(self.place)
        if gone and not (ours and gone == self.there):
            raise ContractError("store_moved", where=self.home.shown, detail=f"it is in {gone}")
        return bool(gone)

    # --- files to rows

    def _to_rows(self, target: Address, *, resumed: bool) -> Moved:
        paths = StorePaths(self.place)
        lock = StoreLock(paths.lock, LOCK_WAIT_SECONDS)
        with contextlib.closing(lock), lock.held():
            if not resumed:
                self._require_free(_lease_book(paths, self.ledger), SystemClock())
            report = self._verified(self._report(locked=True))
            head = _last_line(paths, report.seq)
            row = _head_row(target, self.ledger)
            if not (resumed and row is not None and not row.moved_to):
                loaded = loading.load(paths, target, head)
                self._compare(target, head)
                if not resumed:
                    mark_moved(paths, self.there, head.seq, head.hash)
                loading.activate(target, self.ledger)
                return self._moved(head, loaded.objects, loaded.notes, resumed=resumed)
        return self._moved(head, 0, 0, resumed=resumed)

    def _compare(self, target: Address, head: Head) -> None:
        with copying.copied(target, self.ledger, objects=False) as (place, found):
            copying.require_complete(copying.judged(verify_files(place, self.floor), found))
            same = StorePaths(place).leases.read_bytes() == StorePaths(self.place).leases.read_bytes()
            if found.head.head != head or not same:
                copying.require_complete(VerifyReport("corrupt", "forked", head.seq, found.rows, "not the source"))

    # --- rows to files

    def _to_files(self, source: Address | None, *, resumed: bool) -> Moved:
        if source is None:
            raise ContractError("bad_usage", where="--to", detail="it is in files")
        paths = StorePaths(self.place)
        if resumed and paths.identity.exists() and moved_to(paths) is None and read_identity(paths) == self.ledger:
            return self._moved(_last_line(paths, verify_files(self.place).seq), 0, 0, resumed=True)
        arriving = self.place / _ARRIVING
        shutil.rmtree(arriving, ignore_errors=True)
        found = copying.Copier(source, self.ledger, arriving, _durably).copy()
        copying.require_complete(copying.judged(verify_files(arriving, self.floor), found))
        self._put_away(paths)
        self._take_objects(arriving)
        for name in ("leases", "ledger"):
            # The ledger's folder last: with it the copy lives.
            (arriving / name).rename(self.place / name)
            DiskFiles().sync_dir(self.place)
        shutil.rmtree(arriving)
        return self._moved(found.head.head, found.objects, found.notes, resumed=resumed)

    def _put_away(self, paths: StorePaths) -> None:
        """What an earlier move left here keeps its mark, under another name."""
        number = 1
        while any((self.place / f"{name}.moved-{number}").exists() for name in ("ledger", "leases")):
            number += 1
        for folder in (paths.ledger, paths.leases.parent):
            if folder.exists():
                folder.rename(self.place / f"{folder.name}.moved-{number}")

    def _take_objects(self, arriving: Path) -> None:
        store = ObjectStore(DiskFiles(), StorePaths(self.place).objects)
        store.prepare()
        for path in sorted(StorePaths(arriving).objects.glob("??/*")):
            store.put(path.read_bytes())

    # --- after

    def _name(self) -> None:
        """`autopilot.toml` says where the ledger is."""
        path = self.repository.main_worktree / SETTINGS_FILE
        if path.is_file():
            text = with_store(path.read_text("utf-8"), self.target.shown if self.target is not None else "")
            replace_durably(DiskFiles(), path, text.encode())

    def _moved(self, head: Head, objects: int, notes: int, *, resumed: bool) -> Moved:
        return Moved(self.ledger, self.home.shown, self.there, head.seq + 1, objects, notes, resumed)


def read_arrival(place: Path) -> str:
    """The name of the move that goes into the state directory `place`; empty if none does."""
    path = place / ARRIVAL
    return path.read_text("ascii", "replace").strip() if path.is_file() else ""


def _begin_arrival(place: Path) -> None:
    """Name the move, on the disk before anything is closed; one that was named and not begun keeps its name."""
    if not read_arrival(place):
        replace_durably(DiskFiles(), place / ARRIVAL, f"{secrets.token_hex(16)}\n".encode())


def _end_arrival(place: Path) -> None:
    """The next move has another name: whoever copied this directory meanwhile cannot take it up."""
    if (place / ARRIVAL).exists():
        (place / ARRIVAL).unlink()
        DiskFiles().sync_dir(place)


def _head_row(address: Address, ledger: str) -> HeadRow | None:
    with contextlib.closing(Session(address)) as session:
        rows = session.rows(SELECT_HEAD, ledger)
    return HeadRow.of(rows[0]) if rows else None


def _lease_book(paths: StorePaths, ledger: str) -> LeaseBook:
    """The leases as the files have them now; the caller has their lock."""
    with contextlib.closing(LeaseLog(DiskFiles(), LogPlace(paths.leases, paths.quarantine, ledger))) as log:
        log.catch_up()
        return log.book


def _last_line(paths: StorePaths, seq: int) -> Head:
    first = max(paths.segment_starts())
    line = paths.segment(first).read_bytes().split(b"\n")[seq - first]
    return Head(seq, line[6:70].decode("ascii"))


def _durably(path: Path, data: bytes) -> None:
    make_dir_durably(DiskFiles(), path.parent)
    replace_durably(DiskFiles(), path, data)
