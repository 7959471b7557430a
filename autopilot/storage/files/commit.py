"""Which of the written lines are on the disk, and who may be told: several transactions share one sync.

The calls of one process take turns to decide and to write, and wait for the disk together. A transaction writes its
lines while it holds the store's turn, and gives the turn up before it waits. Whoever waits first makes one sync for all
that is written by then; who comes meanwhile writes, and waits for the next. The rules:

- **Order.** Lines stand in the file in the order in which they were decided, and each was decided, fence and all,
  under the turn, on a state that holds every line before it, on the disk or not. A sync covers the file up to its
  end, so no line is on the disk for sure before one that precedes it.
- **Nobody is told of what is not on the disk.** A transaction ends, well or with an error, only when a sync that began
  after its last line has ended, and after the last line it could see: a refusal tells of what others wrote, too.
- **Readers see what is on the disk.** A view's lines, a compact range, the head hint and the size that a process
  remembers end with the last line that was synced. What rides without a sync (the ledger's repetition of a lease
  record, which can be made again) is shown once no line before it waits for one.
- **What somebody else wrote** may lack its sync: he may have been killed before it. Lines that were taken in count as
  written here and not synced, until a sync of ours has ended or the head hint names them. A transaction that writes has
  that sync anyway; one that only looks makes it before it ends, and a view before it shows them.
- **A hand-over follows its line.** Its records are held back from the lease log until the move's line is on the disk:
  they can be made again from the line, never the reverse. Any other lease record waits for what is held back.
- **A sync that fails** leaves nothing certain. The store is poisoned before anyone can go on, and every transaction
  that waited fails. The system tells one caller only that a sync failed, so syncs of a file are made one at a time.
- **Other processes** see none of this, unless ours is killed: the lock is given back when no transaction of this
  process is under way, and so covers write and sync. Without that the next process's own sync would bring our lines to
  the disk as well, but were ours to fail, the system would have told us alone, and that process would go on behind a
  line that is lost.
- **An interruption** (Ctrl-C in a waiting call) leaves the turn to the others, and the lines, which stand, to the next
  sync. If it comes between the write of a line and the note of it, both logs are read anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any

from autopilot.kernel.errors import StorageError
from autopilot.ledger.chain import Head
from autopilot.ledger.entry import LedgerEntry
from autopilot.ledger.store import Fold
from autopilot.storage.files.leases import LeaseLog
from autopilot.storage.files.ledger import SegmentLedger
from autopilot.storage.files.turn import Turn

FOREIGN = object()
"""Stands among the written lines for those of others, which are in the state already."""


class _Sleeper:
    """A transaction that waits for a sync up to the number `upto`. `shown`: it has it, and need not look again."""

    __slots__ = ("bed", "shown", "upto")

    def __init__(self, upto: int) -> None:
        self.upto = upto
        self.shown = False
        self.bed = Lock()
        self.bed.acquire()


class Commit:
    """What was written and is not yet shown. All methods expect the caller to hold `turn`, the store's thread lock.

    Lines and held lease records are numbered as they come. `synced` is the last line that was seen synced here,
    `inside` how many transactions are under way, `losses` how often lines were lost sight of.
    """

    def __init__(
        self,
        ledger: SegmentLedger,
        leases: LeaseLog,
        fold: Fold,
        turn: Turn,
        poison: Callable[[StorageError], None],
    ) -> None:
        self.synced = Head()
        self.inside = 0
        self._ledger = ledger
        self._leases = leases
        self._fold = fold
        self._turn = turn
        self._poison = poison
        self._sleeping: deque[_Sleeper] = deque()
        self._waiting: deque[LedgerEntry | object | None] = deque()
        self._foreign = 0
        self._added = self._wanted = self._shown = 0
        self._ahead: Any = None
        self._ahead_at = 0
        self._syncing = False
        self.losses = 0
        self._failure: StorageError | None = None

    @property
    def pending(self) -> bool:
        """Whether a line waits for its sync."""
        return self._wanted > self._shown

    @property
    def foreign(self) -> bool:
        """Whether lines of others wait for a sync of ours, though the state that readers see has them."""
        return self._foreign > self._shown

    @property
    def unshown(self) -> bool:
        """Whether anything was written that readers do not see yet."""
        return self._added > self._shown

    def add(self, entry: LedgerEntry, *, sync: bool) -> None:
        """A line was written; with `sync` it is to be on the disk before anyone is told."""
        self._waiting.append(entry)
        self._added += 1
        if sync:
            self._wanted = self._added

    def add_foreign(self) -> None:
        """Lines of others were taken in: they are to be on the disk before anyone is told. Nothing else waits."""
        self._waiting.append(FOREIGN)
        self._added += 1
        self._wanted = self._foreign = self._added

    def add_held(self) -> None:
        """The lease log holds back a record that belongs to the last line."""
        self._waiting.append(None)
        self._added += 1

    def decided(self) -> Any:
        """The state with every line that was written: what the next transaction is decided on."""
        if self._shown == self._added or self._shown + 1 == self._added == self._foreign:
            return self._ledger.state
        if self._ahead is None:
            self._ahead, self._ahead_at = self._fold.copy(self._ledger.state), self._shown
        while self._ahead_at < self._added:
            entry = self._waiting[self._ahead_at - self._shown]
            if isinstance(entry, LedgerEntry):
                self._ahead = self._fold.apply(self._ahead, entry)
            self._ahead_at += 1
        return self._ahead

    def stand(self) -> bool:
        """Return when all that was written until now is on the disk and shown. The turn is given up meanwhile.

        True if another call has counted this one out of those `inside` by then: the turn is not held any more.
        StorageError `sync_failed`, the turn held, if it is not certain; the store is poisoned then.
        """
        upto, losses = self._added, self.losses
        while self._shown < upto:
            if self._wanted <= self._shown:
                self._show(self._added)
            elif not self._syncing:
                self._sync_for_all()
            elif self._sleep(upto):
                return True
            if self.losses != losses:
                raise self._lost()
        return False

    def require(self, losses: int) -> None:
        """StorageError if lines were lost sight of (`forget`) since `losses` was read."""
        if self.losses != losses:
            raise self._lost()

    def settle(self) -> None:
        """`stand`, the turn kept: for what cannot go on before its lines are on the disk. Syncs what rides, too."""
        try:
            self._ledger.file.sync()
        except StorageError as error:
            self.fail(error)
            raise
        self.synced = self._ledger.head
        self._show(self._added)

    def fail(self, error: StorageError) -> None:
        """A sync failed: keep everyone out, and let all who wait fail."""
        self._poison(error)
        self._failure = error
        self.forget()

    def forget(self) -> None:
        """Drop what waits, and what was read of both logs: it is read anew. Who waits fails."""
        self._waiting.clear()
        self._shown = self._wanted = self._added
        self._ahead = None
        self.losses += 1
        self._ledger.close()
        self._leases.close()
        while self._sleeping:
            self._sleeping.popleft().bed.release()

    def _sleep(self, upto: int) -> bool:
        """Wait while another call syncs; whether that was enough. If not, or interrupted, the turn is held again."""
        sleeper, interruption = _Sleeper(upto), None
        self._sleeping.append(sleeper)
        self._turn.release()
        try:
            sleeper.bed.acquire()
        except BaseException as error:  # noqa: BLE001 - raised below, with the turn held
            interruption = error
        if sleeper.shown and interruption is None:
            return True
        try:
            self._turn.retake()
        except BaseException as error:  # noqa: BLE001 - raised below, with the turn held
            interruption = error
        if interruption is not None:
            self._give_up(sleeper)
            raise interruption
        return False

    def _give_up(self, sleeper: _Sleeper) -> None:
        """An interrupted call waits no more, and is inside until it has ended. If it was to sync, another has to."""
        if sleeper.shown:
            self.inside += 1
        elif sleeper in self._sleeping:
            self._sleeping.remove(sleeper)
        self._wake()

    def _wake(self) -> None:
        """Let go whose lines are shown, and wake one more, to make the next sync."""
        while self._sleeping and self._sleeping[0].upto <= self._shown:
            sleeper = self._sleeping.popleft()
            sleeper.shown = True
            self.inside -= 1
            sleeper.bed.release()
        if self._sleeping and not self._syncing:
            self._sleeping.popleft().bed.release()

    def _sync_for_all(self) -> None:
        upto, head, losses = self._added, self._ledger.head, self.losses
        failure = self._sync_apart()
        if self.losses != losses:
            return
        if isinstance(failure, StorageError):
            self.fail(failure)
            raise failure
        if failure is not None:
            self._wake()  # interrupted: the lines wait for the next sync
            raise failure
        if upto > self._shown:
            self.synced = head
            self._show(upto)
        else:
            self._wake()

    def _sync_apart(self) -> BaseException | None:
        """Sync, the turn given up meanwhile; what went wrong. The turn is held again whatever it was."""
        file, failure = self._ledger.file, None
        # Taken before the turn is given up: nobody may close the file in between.
        file.syncing.acquire()
        self._syncing = True
        self._turn.release()
        try:
            try:
                file.sync_held()
            finally:
                file.syncing.release()
        except BaseException as error:  # noqa: BLE001 - raised by the caller, who has the turn again
            failure = error
        try:
            self._turn.retake()
        except BaseException as error:  # noqa: BLE001 - a sync that failed comes before an interruption
            failure = failure or error
        self._syncing = False
        return failure

    def _lost(self) -> StorageError:
        """What a call is told whose lines waited when another's could not be brought to the disk."""
        if self._failure is None:
            return StorageError("storage_failed", detail="a line of another call could not be taken in")
        return StorageError(self._failure.code, where=self._failure.where, detail=self._failure.detail)

    def _show(self, upto: int) -> None:
        """Take the lines up to the number `upto` into the state that readers see, and release held lease records."""
        released = 0
        try:
            for _ in range(upto - self._shown):
                entry = self._waiting.popleft()
                if entry is None:
                    released += 1
                elif isinstance(entry, LedgerEntry):
                    self._ledger.fold(entry)
        except BaseException:
            # A fold that fails half way leaves a state of no known place. What others wait for is not told either.
            self.forget()
            raise
        self._shown = upto
        if upto == self._added or self._ahead_at < upto:
            self._ahead = None
        if released:
            try:
                self._leases.release(released)
            except StorageError:
                # The line stands, and the next writer makes its hand-over from it.
                self._leases.close()
        if self._sleeping:
            self._wake()
