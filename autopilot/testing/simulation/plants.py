"""Bugs that are put into the engine on purpose, by name; the simulation must find each.

A plant takes one guard out, or does one thing in the wrong order, for the time of a run. `likely` names operations
that the bug needs, and that are then drawn more often: what is rare in the common mix would take long to be found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from autopilot.approvals import grants
from autopilot.kernel.files import create_all_durably
from autopilot.leases.terms import Lease
from autopilot.process import admission, enforcer
from autopilot.process.enforcer import WorkProcessEnforcer
from autopilot.storage import objects
from autopilot.storage.files import lock, store
from autopilot.storage.files.ledger import SegmentLedger
from autopilot.storage.files.store import FileTransaction
from autopilot.storage.objects import ObjectStore
from autopilot.testing.simulation.world import DoomedFiles, Odds, World, replaced

Planting = Callable[[World], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Plant:
    """A bug: what it is, how it is put in, and what brings it to light."""

    meaning: str
    put_in: Planting
    likely: tuple[str, ...] = ()
    odds: Odds = field(default_factory=Odds)


def _swap(*swaps: tuple[Any, str, Any]) -> Planting:
    """Each `owner.name` is another value while the bug is in."""

    @contextmanager
    def put_in(world: World) -> Iterator[None]:
        del world
        with ExitStack() as stack:
            for owner, name, value in swaps:
                stack.enter_context(replaced(owner, name, value))
            yield

    return put_in


def _always(value: object) -> Callable[..., object]:
    """Whatever is asked, this is the answer."""

    def answer(*_: object, **__: object) -> object:
        return value

    return answer


def _as_read(self: WorkProcessEnforcer, tx: object, task: Any) -> Any:
    """The task as it was read, in the place of the task as it is."""
    del self, tx
    return task


class _NoLock:
    """`flock` that says yes to everybody."""

    LOCK_SH, LOCK_EX, LOCK_NB, LOCK_UN = 1, 2, 4, 8

    def __init__(self, world: World) -> None:
        self._baton = world.baton

    def flock(self, descriptor: int, mode: int) -> None:
        """Taken."""
        del descriptor, mode
        self._baton.pause()


@contextmanager
def _no_lock(world: World) -> Iterator[None]:
    with replaced(lock, "fcntl", _NoLock(world)):
        yield


@contextmanager
def _ack_before_sync(world: World) -> Iterator[None]:
    sync = DoomedFiles.sync

    def lies(self: DoomedFiles, descriptor: int) -> None:
        if not world.disk.is_segment(descriptor):
            sync(self, descriptor)

    with replaced(DoomedFiles, "sync", lies):
        yield


@contextmanager
def _object_after_line(world: World) -> Iterator[None]:
    del world
    settle, leave = ObjectStore.settle, FileTransaction.__exit__

    def late(self: FileTransaction, kind: object, error: BaseException | None, trace: object) -> None:
        leave(self, kind, error, trace)
        settle(self._store.objects)

    with replaced(ObjectStore, "settle", _always(None)), replaced(FileTransaction, "__exit__", late):
        yield


@contextmanager
def _object_not_synced(world: World) -> Iterator[None]:
    del world
    create = create_all_durably

    def unsynced(files: Any, wanted: Any, do: Any = None) -> None:
        del do
        create(files, wanted, lambda _: None)

    with replaced(objects, "create_all_durably", unsynced):
        yield


def _none_waived(unmet: list[Any], facts: Any) -> tuple[list[str], list[Any]]:
    _, left = _LIFT(unmet, facts)
    return [], left


_LIFT = admission._lift_approved
_BARRED = enforcer._barred


def _not_held(task: Any, move: Any) -> Any:
    return _BARRED(replace(task, held=""), move)


_POWER = Odds(kill=60, power=90, disk=0)

PLANTS: Mapping[str, Plant] = MappingProxyType(
    {
        "no-fence-check": Plant(
            "an append does not ask whether its fence is the highest",
            _swap((store, "require_fence", _always(None))),
            ("stale_append", "force"),
        ),
        "no-lock": Plant("the lock file is everybody's at once", _no_lock),
        "ack-before-sync": Plant("lines are acknowledged before they are synced", _ack_before_sync, odds=_POWER),
        "grant-not-synced": Plant(
            "a lease is granted before its record is synced",
            _swap((store, "must_sync", _always(False))),
            ("acquire", "release", "force"),
            _POWER,
        ),
        "object-after-line": Plant("a line is written before the objects it names", _object_after_line),
        "object-not-synced": Plant("objects are named before they are synced", _object_not_synced, odds=_POWER),
        "torn-tail-accepted": Plant(
            "what a killed writer left is not cut before the next line",
            _swap((SegmentLedger, "_judge", _always(None))),
            odds=Odds(kill=250, power=30, disk=0),
        ),
        "sequence-check-out": Plant(
            "nobody asks whether the graph has the move",
            _swap((enforcer, "check_sequence", _always(None)), (admission, "check_sequence", _always(None))),
            ("skip",),
        ),
        "stale-read-not-retried": Plant(
            "under the lock the task is not looked at again",
            _swap((WorkProcessEnforcer, "_bound", _as_read)),
            ("reject", "approve", "approve"),
        ),
        "approval-not-consumed": Plant(
            "a move does not use up the approvals it needs", _swap((admission, "_lift_approved", _none_waived))
        ),
        "agent-approves": Plant(
            "whoever asks may approve", _swap((grants, "check_approver", _always(()))), ("approve",)
        ),
        "held-task-moves": Plant(
            "a task that the watchdog holds goes on",
            _swap((enforcer, "_barred", _not_held), (admission, "_held", _always(()))),
            ("skip", "wrong_claim"),
        ),
        "lease-runs-out-early": Plant(
            "a lease counts as run out while it stands", _swap((Lease, "ran_out", _always(True))), ("acquire",)
        ),
    }
)
