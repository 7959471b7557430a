"""What the power is cut under: one scenario for each thing a store does that a crash could spoil.

Segments are rolled and the lease log is summed up within a few lines only if the caller has made those limits small.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import StorageError
from autopilot.leases import decisions
from autopilot.leases.book import observed_digest
from autopilot.leases.handover import Passing, handed_on_dict, handover
from autopilot.leases.records import LeaseRecord
from autopilot.leases.terms import Claim, Holder, LeaseTimes, Moment, task_of, token_digest
from autopilot.ledger.entry import ArtifactRef, LeaseRef
from autopilot.storage.files.store import FileTransaction
from autopilot.testing.power.disk import Image
from autopilot.testing.power.trials import AMBIGUOUS, PERSON, LossError, Scenario, Stage, Told, a_line
from autopilot.wiring.checkpoints import CheckpointDesk, verify_state
from autopilot.wiring.packs import export_pack, opened_copy

AGENT = Caller("agent-7", "agent", "s-19")
OTHER = Caller("agent-8", "agent", "s-20")
TIMES = LeaseTimes()
LEASES = "state/leases/leases.wal"
POISONED = "state/ledger/POISONED"


def created(stage: Stage) -> None:
    """Make the store."""
    stage.create()


def some_lines(stage: Stage) -> None:
    """Two lines, one of them longer than a block."""
    with stage.transaction() as tx:
        stage.append(tx, a_line("plan.md"))
        stage.append(tx, a_line("x" * 700))


def riding_lines(stage: Stage) -> None:
    """A line without a sync, and one that brings both to the disk; then time passes, and the hint is replaced."""
    with stage.transaction() as tx:
        tx.append(a_line("rides"), sync=False)
        stage.append(tx, a_line("y" * 1500))
    stage.clock.advance(2)
    with stage.transaction() as tx:
        stage.append(tx, a_line("after the hint"))


def a_long_line(stage: Stage) -> None:
    """A line over several pages."""
    with stage.transaction() as tx:
        stage.append(tx, a_line("z" * 9000))


def objects_put(stage: Stage) -> None:
    """Objects that nothing names, one of them twice."""
    for data in (b"first", b"second" * 300, b"first"):
        stage.put(data)


def a_line_more(stage: Stage) -> None:
    """One line."""
    with stage.transaction() as tx:
        stage.append(tx, a_line("one more"))


def sealed_line(stage: Stage) -> None:
    """Three objects staged together, one known already, and the line that names them."""
    stage.put(b"known")
    blobs = {"plan.md": b"known", "plan_lint_report.json": b"lint" * 400, "design.md": b"design"}
    with stage.transaction() as tx:
        stage.append(tx, a_line("sealed", artifacts=_staged(stage, blobs)))


def moved(stage: Stage) -> None:
    """A phase is taken, and the task moves on with its evidence and its lease."""
    with stage.transaction() as tx:
        fence = _grant(stage, tx, AGENT, "T-1/PLAN")
    artifacts = _staged(stage, {"plan.md": b"the plan", "notes.md": b"n" * 5000})
    with stage.transaction() as tx:
        now = _now(stage)
        passing = Passing("T-1/PLAN", "T-1/THINK", Claim(AGENT.session, fence), AGENT)
        decision = handover(tx.leases, passing, now, TIMES)
        data = {"handover": handed_on_dict(decision), "mono": {"boot": now.boot_id, "us": now.us}}
        lease = LeaseRef("T-1/PLAN", fence)
        changed = {"kind": "phase.transition", "phase": ("PLAN", "THINK"), "lease": lease, "data": data}
        stage.append(tx, a_line("", artifacts=artifacts, **changed))
        stage.tell(Told("fence", "T-1", fence + 1))
        for record in decision.records:
            tx.record_lease(record, sync=False)
    with stage.transaction() as tx:
        stage.append(tx, a_line("goes on", lease=LeaseRef("T-1/THINK", fence + 1)))


def leased(stage: Stage) -> None:
    """Granted, renewed, given back, granted to another, taken away by a person."""
    with stage.transaction() as tx:
        fence = _grant(stage, tx, AGENT, "T-1/PLAN")
    stage.clock.advance(45)
    with stage.transaction() as tx:
        claim = Claim(AGENT.session, fence)
        for record in decisions.renew(tx.leases, "T-1/PLAN", claim, _now(stage), TIMES).records:
            tx.record_lease(record)
        stage.append(tx, a_line("renewed", lease=LeaseRef("T-1/PLAN", fence)))
    with stage.transaction() as tx:
        _record(stage, tx, decisions.release(tx.leases, "T-1/PLAN", claim, AGENT, _now(stage)).records)
        stage.tell(Told("free", "T-1", fence))
    with stage.transaction() as tx:
        _grant(stage, tx, OTHER, "T-1/PLAN")
        _grant(stage, tx, AGENT, "T-2/SPEC")
    with stage.transaction() as tx:
        forcing = decisions.Forcing(PERSON, "stuck", observed_digest(tx.leases, "T-1"))
        _record(stage, tx, decisions.force(tx.leases, "T-1/PLAN", forcing, _now(stage)).records)


def ran_out(stage: Stage) -> None:
    """A lease runs out and is taken by another."""
    with stage.transaction() as tx:
        _grant(stage, tx, AGENT, "T-3/PLAN")
    stage.clock.advance(TIMES.ttl_seconds + 1)
    with stage.transaction() as tx:
        _grant(stage, tx, OTHER, "T-3/PLAN")


def many_leases(stage: Stage) -> None:
    """Enough records for the lease log to be summed up, now and then with a line."""
    for number in range(4):
        with stage.transaction() as tx:
            fence = _grant(stage, tx, AGENT, "T-1/PLAN")
        with stage.transaction() as tx:
            claim = Claim(AGENT.session, fence)
            _record(stage, tx, decisions.release(tx.leases, "T-1/PLAN", claim, AGENT, _now(stage)).records)
            stage.tell(Told("free", "T-1", fence))
            if number % 2:
                stage.append(tx, a_line(f"round {number}"))


def many_lines(stage: Stage) -> None:
    """Lines over more than one segment."""
    for number in range(8):
        with stage.transaction() as tx:
            tx.append(a_line(f"rides {number}"), sync=False)
            stage.append(tx, a_line(f"line {number}"))


def opened_again(stage: Stage) -> None:
    """Leave the store, as a program that ends, and come back."""
    stage.close()
    with stage.store.transaction():
        pass


def repaired(stage: Stage) -> None:
    """A person repairs the store."""
    stage.repair("a sync failed")


def fails_to_sync(stage: Stage) -> None:
    """A grant is written and its sync fails: what programs see of it the disk may not have."""
    stage.files.fail_next(f"sync {LEASES}")
    with contextlib.suppress(StorageError), stage.transaction() as tx:
        _grant(stage, tx, AGENT, "T-8/PLAN")


def taken(stage: Stage) -> None:
    """A phase is taken."""
    with stage.transaction() as tx:
        _grant(stage, tx, AGENT, "T-9/PLAN")


def renewed(stage: Stage) -> None:
    """It is renewed: a record without a sync, and nothing after it."""
    _renew(stage, 45)


def renewed_again(stage: Stage) -> None:
    """And once more, by another program, whose clock began when the first one's did."""
    _renew(stage, 90)


def _renew(stage: Stage, seconds: float) -> None:
    stage.clock.advance(seconds)
    with stage.transaction() as tx:
        lease = tx.leases.held("T-9")
        claim = Claim(AGENT.session, lease.fence if lease else 0)
        for record in decisions.renew(tx.leases, "T-9/PLAN", claim, _now(stage), TIMES).records:
            tx.record_lease(record)


class _Office:
    """What the checkpoint desk wants of a workspace, on the stage's store."""

    def __init__(self, stage: Stage) -> None:
        self.ledger = stage.store
        self.state_dir = stage.parts.state_dir
        self.engine = self


def published(stage: Stage) -> None:
    """The ledger is signed; the first time with a new key."""
    _publish(stage, None)


def rotated(stage: Stage) -> None:
    """Another key takes over, and signs."""
    _publish(stage, "the laptop was sold")


def _publish(stage: Stage, new_key: str | None) -> None:
    stage.close()  # the desk reads the files, and what rides unsynced is not its to sign
    office: Any = _Office(stage)
    made = CheckpointDesk(office, stage.files).publish(caller=PERSON, new_key=new_key)
    stage.tell(Told("key", made.key.id), Told("note", made.checkpoint.size, made.note.encode().encode()))


def exported(stage: Stage) -> None:
    """The audit pack is written elsewhere, and is whole: the store has nothing of it."""
    stage.close()
    with tempfile.TemporaryDirectory(prefix="autopilot-pack-") as folder:
        pack = Path(folder) / "pack"
        export_pack(stage.parts.state_dir, 0, pack)
        with opened_copy(pack) as copy:
            report = verify_state(copy).report
    if not report.intact:
        raise LossError(f"the exported pack does not verify: {report}")


def torn_ledger(image: Image) -> None:
    """The last write to the ledger was cut short."""
    last = _last_segment(image)
    image[last] = _bytes(image, last) + b'{"h":"0123' + b"4" * 1200


def torn_leases(image: Image) -> None:
    """The last write to the lease log was cut short."""
    image[LEASES] = _bytes(image, LEASES) + b'{"h":"89' + b"a" * 600


def torn_both(image: Image) -> None:
    """Both were."""
    torn_ledger(image)
    torn_leases(image)


def torn_handover(image: Image) -> None:
    """The hand-over did not reach the lease log whole, and a later write to the ledger was cut short."""
    torn_ledger(image)
    image[LEASES] = _bytes(image, LEASES)[:-100]


def poisoned(image: Image) -> None:
    """A sync failed."""
    image[POISONED] = b"{}\n"


def wrong_line(image: Image) -> None:
    """After the last line stands one that is whole and wrong."""
    last = _last_segment(image)
    image[last] = _bytes(image, last) + b'{"h":"' + b"0" * 64 + b'","r":{}}\n'


def lost_leases(image: Image) -> None:
    """The lease log is damaged at its start."""
    image[LEASES] = b"#" + _bytes(image, LEASES)[1:]


_BASE = (created, some_lines)
_DAMAGED = AMBIGUOUS | {"poisoned", "truncated"}

CREATE = Scenario("create", (created, sealed_line))
SCENARIOS = (
    Scenario("append", (some_lines, riding_lines, a_long_line), _BASE),
    Scenario("objects", (objects_put, sealed_line), _BASE),
    Scenario("move", (moved,), _BASE),
    Scenario("leases", (leased, ran_out), _BASE),
    Scenario("compact", (many_leases,), _BASE),
    Scenario("roll", (many_lines, moved, many_lines), _BASE),
    Scenario("recover-ledger", (some_lines,), _BASE, torn_ledger, on_record=True),
    Scenario("recover-leases", (leased,), (*_BASE, leased), torn_leases, on_record=True),
    Scenario("recover-both", (opened_again,), (*_BASE, leased), torn_both, on_record=True),
    Scenario("recover-move", (opened_again,), (*_BASE, moved, a_line_more), torn_handover, on_record=True),
    Scenario("repair-poisoned", (repaired, some_lines), (*_BASE, leased), poisoned, on_record=True),
    Scenario("repair-damage", (repaired, some_lines), _BASE, wrong_line, _DAMAGED, on_record=True, cause="repair"),
    Scenario("repair-leases", (repaired, leased), (*_BASE, leased), lost_leases, _DAMAGED, on_record=True),
    Scenario("repair-unsynced", (fails_to_sync, repaired, leased), (*_BASE, taken)),
    Scenario("recover-renew", (renewed_again,), (*_BASE, taken, some_lines, renewed), torn_leases, on_record=True),
    Scenario("checkpoint", (published, some_lines, published), _BASE),
    Scenario("rotate-key", (rotated, some_lines, published), (*_BASE, published)),
    Scenario("export", (published, exported, some_lines), _BASE),
)
"""What is tried on a store that has some lines."""


def _now(stage: Stage) -> Moment:
    return Moment(stage.clock.boot_ns(), stage.clock.boot_id())


def _grant(stage: Stage, tx: FileTransaction, caller: Caller, resource: str) -> int:
    asking = decisions.Asking(resource, Holder(caller), token_digest("token"))
    decision = decisions.grant(tx.leases, asking, _now(stage), TIMES)
    if decision.lease is None:
        raise RuntimeError(f"{resource} was not granted")
    _record(stage, tx, decision.records)
    return decision.lease.fence


def _record(stage: Stage, tx: FileTransaction, records: tuple[LeaseRecord, ...]) -> None:
    for record in records:
        tx.record_lease(record)
        task = task_of(record.as_dict()["resource"])
        stage.tell(Told("fence", task, tx.leases.fence_high(task)))


def _staged(stage: Stage, blobs: dict[str, bytes]) -> tuple[ArtifactRef, ...]:
    return tuple(
        ArtifactRef(name, stage.store.objects.stage(data), len(data), "text/markdown", "asserted")
        for name, data in blobs.items()
    )


def _last_segment(image: Image) -> str:
    return max(path for path in image if path.startswith("state/ledger/seg/"))


def _bytes(image: Image, path: str) -> bytes:
    return image[path] or b""
