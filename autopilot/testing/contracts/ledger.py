"""The contract of a store: chain, state, fences, lease records, objects. Every backend passes it.

A backend's test file is a subclass of `StoreContract` with a `make` method.
"""
# ruff: noqa: S101 - a suite asserts

from __future__ import annotations

import threading
from collections.abc import Iterator
from hashlib import sha256
from itertools import pairwise
from typing import Any

import orjson
import pytest

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError, IntegrityError, LeaseRefusedError
from autopilot.kernel.framing import ZERO_HASH
from autopilot.leases import decisions
from autopilot.leases.handover import Passing, handed_on_dict, handover
from autopilot.leases.records import LeaseRecord, Renew
from autopilot.leases.terms import Claim, Holder, LeaseTimes, Moment, token_digest
from autopilot.ledger.entry import KEYS, ArtifactRef, Draft, LeaseRef
from autopilot.ledger.merkle import EMPTY_ROOT, leaf_hash, node_hash

AGENT = Caller("agent-7", "agent", "s-19")
OTHER = Caller("agent-8", "agent", "s-20")
TIMES = LeaseTimes()
NOW = Moment(5_000_000_000, "boot-1")


def a_draft(number: int = 0, **changed: Any) -> Draft:
    """A plain line about the task T-1."""
    fields: dict[str, Any] = {
        "kind": "gate.verdict",
        "caller": AGENT,
        "task": "T-1",
        "epoch": 0,
        "data": {"verdict": "fail", "reasons": [{"code": "artifact_missing", "where": f"plan-{number}.md"}]},
    }
    return Draft(**{**fields, **changed})


def grant(tx: Any, caller: Caller = AGENT, *, at: Moment = NOW, resource: str = "T-1/PLAN") -> int:
    """Take the lease of `resource` for `caller`, recording what the decision says; the fence."""
    asking = decisions.Asking(resource, Holder(caller), token_digest("token"))
    decision = decisions.grant(tx.leases, asking, at, TIMES)
    assert decision.lease is not None
    for record in decision.records:
        tx.record_lease(record)
    return decision.lease.fence


def hand_over(tx: Any, fence: int, *, to: str | None = "T-1/THINK") -> tuple[LeaseRecord, ...]:
    """A move's line with its hand-over; the lease records that are still to be written."""
    passing = Passing("T-1/PLAN", to, Claim(AGENT.session, fence), AGENT)
    decision = handover(tx.leases, passing, NOW, TIMES)
    assert decision.verdict.admitted
    data = {"handover": handed_on_dict(decision), "mono": {"boot": NOW.boot_id, "us": NOW.us}}
    tx.append(a_draft(kind="phase.transition", phase=("PLAN", "THINK"), lease=LeaseRef("T-1/PLAN", fence), data=data))
    return decision.records


class StoreContract:
    """What every store keeps. Subclasses define `make`."""

    def make(self) -> Any:
        """A new store."""
        raise NotImplementedError

    @pytest.fixture
    def store(self) -> Iterator[Any]:
        """A store, closed afterwards."""
        made = self.make()
        yield made
        made.close()

    # --- the chain

    def test_begins_with_genesis(self, store: Any) -> None:
        """The first line is the genesis and names the ledger."""
        (first,) = store.entries()
        assert (first.seq, first.kind, first.record["prev"]) == (0, "genesis", ZERO_HASH)
        assert first.data["ledger"] == first.record["ledger"] == store.ledger_id
        assert store.verify().as_dict() == {"status": "intact", "reason": None, "seq": 0, "entries": 1}

    def test_lines_are_chained_over_their_stored_bytes(self, store: Any) -> None:
        """Dense numbers, each prev the hash of the line before, hash over 0x00 and the body, keys in order."""
        with store.transaction() as tx:
            appended = [tx.append(a_draft(number), sync=number % 2 == 0) for number in range(5)]
        entries = list(store.entries())
        assert entries[1:] == appended
        for before, entry in pairwise(entries):
            assert entry.seq == before.seq + 1
            assert entry.record["prev"] == before.hash
        for entry in entries:
            assert entry.hash == sha256(b"\0" + entry.body).hexdigest()
            assert orjson.loads(entry.body) == entry.record
            assert orjson.dumps(entry.record) == entry.body
            assert tuple(entry.record) == KEYS
        assert store.verify().as_dict() == {"status": "intact", "reason": None, "seq": 5, "entries": 6}

    def test_an_entry_says_what_the_draft_said(self, store: Any) -> None:
        """Every field of a draft comes back."""
        artifact = ArtifactRef("plan.md", "ab" * 32, 12, "text/markdown", "asserted")
        with store.transaction() as tx:
            fence = grant(tx)
            entry = tx.append(
                a_draft(
                    kind="phase.transition",
                    phase=("PLAN", "THINK"),
                    epoch=2,
                    lease=LeaseRef("T-1/PLAN", fence),
                    artifacts=(artifact,),
                    prompt="cd" * 32,
                    persona="ef" * 32,
                    data={"list": (1, 2), "text": "é\n\u2028"},
                )
            )
        assert (entry.task, entry.move, entry.epoch) == ("T-1", ("PLAN", "THINK"), 2)
        assert entry.caller == AGENT
        assert entry.lease == LeaseRef("T-1/PLAN", fence)
        assert entry.artifacts == (artifact,)
        assert (entry.prompt, entry.persona) == ("cd" * 32, "ef" * 32)
        assert entry.data == {"list": [1, 2], "text": "é\n\u2028"}
        assert entry.record["actor"] == {"id": "agent-7", "kind": "agent", "session": "s-19"}
        assert entry.record["ts"].endswith("Z")
        assert list(store.entries())[-1] == entry

    @pytest.mark.parametrize(
        ("changed", "code"),
        [
            ({"data": {"share": 0.5}}, "not_plain_data"),
            ({"data": {"share": [1.0]}}, "not_plain_data"),
            ({"data": {"share": float("nan")}}, "not_plain_data"),
            ({"data": {"count": 2**53}}, "not_plain_data"),
            ({"data": {"count": -(2**53)}}, "not_plain_data"),
            ({"data": {1: "one"}}, "not_plain_data"),
            ({"data": {"value": {1, 2}}}, "not_plain_data"),
            ({"data": {"value": "\ud800"}}, "not_plain_data"),
            ({"data": {"text": "x" * 65_535}}, "entry_too_large"),
            ({"kind": "no.such.kind"}, "unknown_kind"),
            ({"kind": "lease.granted"}, "reserved_kind"),
            ({"kind": "genesis"}, "reserved_kind"),
            ({"kind": "segment.opened"}, "reserved_kind"),
            ({"kind": "ledger.recovered"}, "reserved_kind"),
        ],
    )
    def test_refuses_what_a_line_cannot_hold(self, store: Any, changed: dict[str, Any], code: str) -> None:
        """Nothing is written for a draft that cannot be held, and the store goes on."""
        with store.transaction() as tx, pytest.raises(ContractError) as caught:
            tx.append(a_draft(**changed))
        assert caught.value.code == code
        with store.transaction() as tx:
            assert tx.append(a_draft()).seq == 1
        assert store.verify().entries == 2

    def test_holds_large_and_odd_but_plain_values(self, store: Any) -> None:
        """Text that looks like floats, the largest integers, and a body of nearly the limit are no reason to refuse."""
        data = {"version": "1:2.5,3.e", "low": -(2**53) + 1, "high": 2**53 - 1, "empty": {}, "text": "x" * 64_000}
        with store.transaction() as tx:
            assert tx.append(a_draft(data=data)).data == data
        assert store.verify().intact

    def test_entries_by_range(self, store: Any) -> None:
        """Start and stop are sequence numbers; beyond the head there is nothing."""
        with store.transaction() as tx:
            for number in range(9):
                tx.append(a_draft(number))
        assert [entry.seq for entry in store.entries(3, 6)] == [3, 4, 5]
        assert [entry.seq for entry in store.entries(8)] == [8, 9]
        assert list(store.entries(10)) == []
        assert [entry.seq for entry in store.entries(8, 99)] == [8, 9]

    def test_the_compact_range_gives_the_rfc_6962_root(self, store: Any) -> None:
        """The range's root is the tree head over the stored bodies, computed here the slow way."""
        with store.transaction() as tx:
            for number in range(12):
                tx.append(a_draft(number), sync=False)
        leaves = [leaf_hash(entry.body) for entry in store.entries()]
        assert store.compact_range().size == len(leaves)
        assert store.compact_range().root() == slow_root(leaves)

    # --- state and transactions

    def test_the_state_is_the_fold_of_the_lines(self, store: Any) -> None:
        """Inside a transaction and for readers, the state includes every line."""
        with store.transaction() as tx:
            for number in range(3):
                entry = tx.append(a_draft(number))
                assert tx.state["last"] == entry.seq
                assert tx.head.hash == entry.hash
        view = store.view()
        assert view.state == {"kinds": {"genesis": 1, "gate.verdict": 3}, "last": 3, "hash": entry.hash}
        assert (view.head.seq, view.head.hash) == (3, entry.hash)

    def test_an_error_takes_nothing_back(self, store: Any) -> None:
        """Each line stands by itself; the lock is given back."""
        with pytest.raises(ContractError), store.transaction() as tx:  # noqa: PT012
            tx.append(a_draft())
            tx.append(a_draft(kind="no.such.kind"))
        with store.transaction() as tx:
            assert tx.append(a_draft()).seq == 2

    def test_a_transaction_ends(self, store: Any) -> None:
        """What is kept of it writes no more: the lock is not held."""
        with store.transaction() as tx:
            pass
        with pytest.raises(RuntimeError):
            tx.append(a_draft())
        with pytest.raises(RuntimeError):
            tx.record_lease(Renew("T-1/PLAN", 1, 0, 1000))
        assert store.verify().entries == 1

    def test_threads_make_one_chain(self, store: Any) -> None:
        """Four threads, one chain, nothing lost."""

        def work(name: int) -> None:
            for number in range(25):
                with store.transaction() as tx:
                    tx.append(a_draft(number, caller=Caller(f"agent-{name}")))

        threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.verify().entries == 101
        by_actor: dict[str, list[str]] = {}
        for entry in store.entries(1):
            by_actor.setdefault(entry.actor["id"], []).append(entry.data["reasons"][0]["where"])
        assert by_actor == {f"agent-{name}": [f"plan-{number}.md" for number in range(25)] for name in range(4)}

    # --- leases and fences

    def test_a_lease_record_is_repeated_on_the_ledger(self, store: Any) -> None:
        """A grant is in the book and on the ledger, with its number in the lease log; a renewal is in the book only."""
        with store.transaction() as tx:
            fence = grant(tx)
            held = tx.leases.held("T-1")
            assert held is not None
            tx.record_lease(Renew("T-1/PLAN", fence, held.granted_ns + 1000, held.deadline_ns + 1000))
        (granted,) = store.entries(1)
        assert (granted.kind, granted.task, granted.lease) == ("lease.granted", "T-1", LeaseRef("T-1/PLAN", fence))
        assert granted.data["wal_seq"] == 1
        assert granted.caller == AGENT
        assert store.view().leases.wal_seq == 2

    def test_a_record_that_cannot_follow_is_not_written(self, store: Any) -> None:
        """A renewal of what nobody holds leaves no trace."""
        with store.transaction() as tx, pytest.raises(IntegrityError) as caught:
            tx.record_lease(Renew("T-1/PLAN", 1, 1000, 2000))
        assert caught.value.code == "lease_log_corrupt"
        assert store.view().leases.wal_seq == 0
        assert store.verify().entries == 1

    def test_a_stale_fence_cannot_write(self, store: Any) -> None:
        """After a newer grant the old holder's line is refused under the lock, and nothing is written."""
        with store.transaction() as tx:
            old = grant(tx)
            tx.append(a_draft(lease=LeaseRef("T-1/PLAN", old)))
        later = Moment(NOW.boot_ns + 10**12, NOW.boot_id)
        with store.transaction() as tx:
            new = grant(tx, OTHER, at=later)
        before = store.verify().entries
        with store.transaction() as tx, pytest.raises(LeaseRefusedError) as caught:
            tx.append(a_draft(lease=LeaseRef("T-1/PLAN", old)))
        assert caught.value.code == "stale_fence"
        assert store.verify().entries == before
        with store.transaction() as tx:
            tx.append(a_draft(caller=OTHER, lease=LeaseRef("T-1/PLAN", new)))

    def test_a_fence_of_another_resource_of_the_task_is_stale_too(self, store: Any) -> None:
        """Fences count per task: the holder of an earlier phase is fenced out by the next phase's grant."""
        with store.transaction() as tx:
            old = grant(tx, resource="T-1/PLAN")
            grant(tx, resource="T-1/THINK")
            with pytest.raises(LeaseRefusedError) as caught:
                tx.append(a_draft(lease=LeaseRef("T-1/PLAN", old)))
        assert caught.value.code == "stale_fence"

    def test_a_fence_never_granted_cannot_write(self, store: Any) -> None:
        """A made-up fence is refused, also for a task that never had a lease."""
        with store.transaction() as tx:
            fence = grant(tx)
            for ref in (LeaseRef("T-1/PLAN", fence + 1), LeaseRef("T-2/PLAN", 1)):
                with pytest.raises(LeaseRefusedError) as caught:
                    tx.append(a_draft(task=None, lease=ref))
                assert caught.value.code == "lease_token_mismatch"

    def test_a_lease_of_another_task_cannot_write(self, store: Any) -> None:
        """The lease has to be the task's own."""
        with store.transaction() as tx:
            fence = grant(tx, resource="T-2/PLAN")
            with pytest.raises(ContractError):
                tx.append(a_draft(task="T-1", lease=LeaseRef("T-2/PLAN", fence)))

    def test_a_move_hands_the_lease_on(self, store: Any) -> None:
        """The records of a hand-over change the book and add no line: the move's own line carries it."""
        with store.transaction() as tx:
            fence = grant(tx)
            for record in hand_over(tx, fence):
                tx.record_lease(record)
        held = store.view().leases.held("T-1")
        assert held is not None
        assert (held.resource, held.fence) == ("T-1/THINK", fence + 1)
        assert [entry.kind for entry in store.entries(1)] == ["lease.granted", "phase.transition"]

    # --- objects

    def test_objects_come_back_by_digest(self, store: Any) -> None:
        """The same bytes twice are one object; what is not there is an integrity failure."""
        digest = store.objects.put(b"evidence")
        assert digest == sha256(b"evidence").hexdigest()
        assert store.objects.put(b"evidence") == digest
        assert store.objects.get(digest) == b"evidence"
        assert store.objects.has(digest)
        assert not store.objects.has("0" * 64)
        with pytest.raises(IntegrityError) as caught:
            store.objects.get("0" * 64)
        assert caught.value.code == "object_missing"


def slow_root(leaves: list[bytes]) -> bytes:
    """The Merkle tree head by the definition of RFC 6962, section 2.1."""
    if len(leaves) < 2:
        return leaves[0] if leaves else EMPTY_ROOT
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(slow_root(leaves[:split]), slow_root(leaves[split:]))
