"""What the store in PostgreSQL keeps beyond the contract of every store: turns, lost answers, rights, time, forms.

Red without:
- `FOR UPDATE` on the head row: `test_several_sessions_make_one_chain`
- `clock_timestamp()` (with `now()`): `test_time_is_asked_after_the_wait_for_the_head_row`
- the look-up of a lost commit: `test_a_commit_whose_answer_is_lost_stands_once`
- the look-up before `moved_to` is judged: `test_a_line_that_stands_is_not_reported_as_moved`
- room made first, records taken back (`_both_or_none`): `test_no_lease_stands_without_its_line`
- the fence check: `test_a_holder_on_another_machine_is_fenced_out`
- the transaction's own connection (with any that lives): `test_nothing_is_written_on_another_connection`
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from lossy import Break, LossyDoor

from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import ContractError, IntegrityError, LeaseRefusedError, StorageError
from autopilot.leases.records import Renew
from autopilot.leases.terms import Moment
from autopilot.ledger.entry import LeaseRef
from autopilot.storage.files.creation import Genesis
from autopilot.storage.files.store import FileStore, StoreParts
from autopilot.storage.postgres import schema, session
from autopilot.storage.postgres.address import Address, parse_address
from autopilot.storage.postgres.copying import copied
from autopilot.storage.postgres.creation import create_store
from autopilot.storage.postgres.store import PostgresStore, RowParts
from autopilot.testing.contracts.ledger import NOW, OTHER, a_draft, grant
from autopilot.testing.folds import TallyFold

GENESIS = Genesis(Caller("ops", "human"), "autopilot test")


@pytest.fixture
def store(database: Any) -> PostgresStore:
    return begun(database.app)


OPENED: list[PostgresStore] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def begun(address: str) -> PostgresStore:
    """A new ledger; closed after the test."""
    OPENED.append(create_store(Address(address), TallyFold(), GENESIS))
    return OPENED[-1]


def again(store: PostgresStore, address: str = "", floor: int = 0) -> PostgresStore:
    """Another session on the same ledger, as another machine has it; closed after the test."""
    OPENED.append(
        PostgresStore.open(RowParts(Address(address or store.address.url), store.ledger_id, TallyFold(), floor))
    )
    return OPENED[-1]


# --- turns


def test_several_sessions_make_one_chain(store: PostgresStore) -> None:
    faults: list[BaseException] = []

    def work(name: int) -> None:
        other = again(store)
        try:
            for number in range(25):
                with other.transaction() as tx:
                    tx.append(a_draft(number, caller=Caller(f"agent-{name}")))
        except Exception as error:  # noqa: BLE001 - told below
            faults.append(error)
        finally:
            other.close()

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert store.verify().as_dict() == {"status": "intact", "reason": None, "seq": 100, "entries": 101}
    assert store.view().state["kinds"]["gate.verdict"] == 100


def test_a_holder_on_another_machine_is_fenced_out(store: PostgresStore) -> None:
    other = again(store)
    with store.transaction() as tx:
        old = grant(tx)
    with other.transaction() as tx:
        grant(tx, OTHER, at=Moment(NOW.boot_ns + 10**12, NOW.boot_id))
    with store.transaction() as tx, pytest.raises(LeaseRefusedError) as caught:
        tx.append(a_draft(lease=LeaseRef("T-1/PLAN", old)))
    assert caught.value.code == "stale_fence"
    other.close()


def test_time_is_asked_after_the_wait_for_the_head_row(store: PostgresStore, database: Any) -> None:
    # Who waited for its turn must not judge by the time at which the wait began: a lease may have run out meanwhile.
    holding, waiting = threading.Event(), threading.Event()
    released: list[int] = []

    def hold() -> None:
        with psycopg.connect(database.owner) as other:
            other.execute("SELECT 1 FROM autopilot.head WHERE ledger = %s FOR UPDATE", (store.ledger_id,))
            holding.set()
            waiting.wait(20)
            until_blocked(database)
            released.append(store.clock.boot_ns())

    holder = threading.Thread(target=hold)
    holder.start()
    assert holding.wait(20)
    waiting.set()
    with store.transaction() as tx:
        inside = store.clock.boot_ns()
        entry = tx.append(a_draft())
    holder.join()
    assert inside >= released[0]
    assert entry.ts >= stamp_of(released[0])


def until_blocked(database: Any) -> None:
    """Wait until some session of the database waits for a lock."""
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    with psycopg.connect(database.owner, autocommit=True) as looking:
        for _ in range(500):
            if looking.execute(query).fetchone() != (0,):
                return
            time.sleep(0.01)
    raise AssertionError("nobody waits")


def stamp_of(boot_ns: int) -> str:
    from autopilot.kernel.stamps import stamp
    from autopilot.storage.postgres.clock import moment_of

    return stamp(moment_of(boot_ns // 1000))


def test_a_stopped_client_loses_its_turn_and_writes_nothing(store: PostgresStore) -> None:
    other = again(store)
    with pytest.raises(StorageError) as caught, store.transaction() as tx:  # noqa: PT012
        # As SIGSTOP does it: the server waits for the client, until it does not.
        store._held.execute("SET idle_in_transaction_session_timeout = '200ms'")
        tx.append(a_draft())
        with other.transaction() as theirs:
            theirs.append(a_draft())
    assert (caught.value.code, caught.value.retryable) == ("store_lost", True)
    assert store.view().head.seq == 1
    with store.transaction() as tx:
        assert tx.append(a_draft()).seq == 2
    assert store.verify().entries == 3
    other.close()


def test_nothing_is_written_on_another_connection(store: PostgresStore, database: Any) -> None:
    # Lost in the middle and noticed: what follows must not go on where the head row is not held.
    with pytest.raises(StorageError) as caught, store.transaction() as tx:  # noqa: PT012
        end_sessions(database, store)
        with contextlib.suppress(StorageError):
            store.clock.boot_ns()
        tx.append(a_draft())
    assert caught.value.code == "store_lost"
    assert store.verify().entries == 1


def test_sessions_are_set_so_that_a_commit_is_durable_and_nobody_waits_for_ever(store: PostgresStore) -> None:
    assert store.view().head.seq == 0
    for connection in (store._writing.connection, store._reading.connection):
        shown = {
            name: connection.execute(f"SHOW {name}").fetchone()[0]
            for name in (
                "synchronous_commit",
                "search_path",
                "default_transaction_isolation",
                "idle_in_transaction_session_timeout",
                "lock_timeout",
                "statement_timeout",
            )
        }
        assert shown == {
            "synchronous_commit": "on",
            "search_path": "pg_catalog, pg_temp",
            "default_transaction_isolation": "read committed",
            "idle_in_transaction_session_timeout": "10s",
            "lock_timeout": "30s",
            "statement_timeout": "2min",
        }


def test_a_role_that_would_not_wait_for_the_disk_is_made_to(own_database: Any) -> None:
    own_database.server.sql(own_database.name, f"ALTER DATABASE {own_database.name} SET synchronous_commit = off")
    made = begun(own_database.app)
    assert made._reading.connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
    made.close()


# --- lost connections and answers


@pytest.mark.parametrize(("slam", "stands"), [("after", True), ("before", False)])
def test_a_commit_whose_answer_is_lost_stands_once(store: PostgresStore, slam: Break, stands: bool) -> None:
    with LossyDoor(store.address.url) as door:
        mine = again(store, door.url)
        mine.view()
        door.slam = slam
        try:
            with mine.transaction() as tx:
                entry = tx.append(a_draft())
                tx.append(a_draft(1))
        except StorageError as error:
            assert not stands
            assert (error.code, error.retryable) == ("store_lost", True)  # noqa: PT017 - or not raised at all
        else:
            assert stands
            assert entry == next(iter(store.entries(1)))
        assert store.verify().entries == (3 if stands else 1)
        assert mine.view().head == store.view().head
        with mine.transaction() as tx:
            assert tx.append(a_draft(2)).seq == (3 if stands else 1)
        assert store.verify().intact
        mine.close()


@pytest.mark.parametrize(("slam", "stands"), [("after", True), ("before", False)])
def test_the_same_for_what_is_in_the_lease_log_alone(store: PostgresStore, slam: Break, stands: bool) -> None:
    with LossyDoor(store.address.url) as door:
        mine = again(store, door.url)
        with mine.transaction() as tx:
            fence = grant(tx)
            held = tx.leases.held("T-1")
            assert held is not None
        door.slam = slam
        renewed = Renew("T-1/PLAN", fence, held.granted_ns + 1000, held.deadline_ns + 1000)
        try:
            with mine.transaction() as tx:
                tx.record_lease(renewed)
        except StorageError as error:
            assert (error.code, stands) == ("store_lost", False)  # noqa: PT017 - or not raised at all
        else:
            assert stands
        after = store.view().leases.held("T-1")
        assert after is not None
        assert after.renewals == (1 if stands else 0)
        mine.close()


def test_a_line_that_stands_is_not_reported_as_moved(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    # The answer is lost, and before it can be looked up the ledger goes elsewhere.
    mine, real = again(store), PostgresStore._store

    def lost(self: PostgresStore, written: Any) -> None:
        real(self, written)
        if self is mine:
            with store.transaction() as tx:
                tx.append(a_draft(1))
                tx.leave("elsewhere")
            raise StorageError("store_lost", where="here", retryable=True)

    monkeypatch.setattr(PostgresStore, "_store", lost)
    with mine.transaction() as tx:
        assert tx.append(a_draft()).seq == 1
    for use in (mine.view, lambda: mine.transaction().__enter__()):
        with pytest.raises(ContractError) as caught:
            use()
        assert caught.value.code == "store_moved"
    assert store.verify().entries == 3


def test_a_lost_line_of_a_ledger_that_moved_is_lost(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, real = again(store), PostgresStore._store

    def lost(self: PostgresStore, written: Any) -> None:
        if self is not mine:
            real(self, written)
            return
        self._roll_back()
        with store.transaction() as tx:
            tx.append(a_draft(1))
            tx.leave("elsewhere")
        raise StorageError("store_lost", where="here", retryable=True)

    monkeypatch.setattr(PostgresStore, "_store", lost)
    with pytest.raises(StorageError) as caught, mine.transaction() as tx:
        tx.append(a_draft())
    assert caught.value.code == "store_lost"
    assert store.verify().entries == 2


@pytest.mark.parametrize("records", [100, 0], ids=["alone", "with a sum of the lease log"])
@pytest.mark.parametrize("where", ["room", "line"])
def test_no_lease_stands_without_its_line(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch, where: str, records: int
) -> None:
    with store.transaction() as tx:
        grant(tx)
    before, rows = store.view(), store._leases.place
    with monkeypatch.context() as patched:
        patched.setattr("autopilot.storage.postgres.lease_rows.COMPACT_RECORDS", records)
        if where == "room":
            patched.setattr(store._ledger, "is_full", lambda: True)
            patched.setattr(store.objects, "put", _lost)
        else:
            patched.setattr("autopilot.storage.postgres.store.draft_of", _lost)
        with pytest.raises(StorageError) as caught, store.transaction() as tx:  # noqa: PT012 - one transaction
            if where == "line":
                tx.append(a_draft())
            grant(tx, OTHER, at=Moment(NOW.boot_ns + 10**12, NOW.boot_id))
    assert caught.value.code == "store_lost"
    assert store._leases.place == rows
    for one in (store, again(store)):
        assert one.view().leases == before.leases
        assert one.view().head.seq == before.head.seq + (where == "line")
    with store.transaction() as tx:
        grant(tx, OTHER, at=Moment(NOW.boot_ns + 10**12, NOW.boot_id))
    assert store.verify().intact
    assert again(store)._ledger.mirrored == again(store).view().leases.wal_seq


def _lost(*_: object) -> Any:
    raise StorageError("store_lost", where="here", retryable=True)


def test_whom_nobody_can_tell_is_told_that_nobody_knows(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autopilot.storage.postgres.store.LOOK_UP_SECONDS", 0.3)
    with LossyDoor(store.address.url) as door:
        mine = again(store, door.url)
        mine.view()
        door.slam = "after"
        with pytest.raises(StorageError) as caught, mine.transaction() as tx:  # noqa: PT012
            tx.append(a_draft())
            door.close()
        assert (caught.value.code, caught.value.retryable) == ("commit_unknown", False)
        assert "ledger log" in caught.value.reasons()[0].remedy
        mine.close()
    # The door was closed before: the transaction was given up with its connection.
    assert store.verify().entries == 1


def test_a_connection_that_was_lost_between_calls_is_made_anew(store: PostgresStore, database: Any) -> None:
    assert store.objects.get(store.objects.put(b"sealed")) == b"sealed"
    for _ in range(2):
        end_sessions(database, store)
        with store.transaction() as tx:
            tx.append(a_draft())
        end_sessions(database, store)
        assert store.view().head.seq >= 1
        end_sessions(database, store)
        assert store.objects.get(store.objects.put(b"sealed")) == b"sealed"
    assert store.verify().entries == 3


def end_sessions(database: Any, store: PostgresStore) -> None:
    """Terminate the store's own backends."""
    pids = [one._connection.info.backend_pid for one in (store._writing, store._reading) if one._connection]
    with psycopg.connect(database.owner, autocommit=True) as other:
        for pid in pids:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))


def test_a_child_after_a_fork_has_connections_of_its_own(store: PostgresStore) -> None:
    store.view()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with store.transaction() as tx:
                tx.append(a_draft())
            store.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with store.transaction() as tx:
        assert tx.append(a_draft()).seq == 2


# --- forms


def test_the_copy_in_files_is_a_file_store_byte_for_byte(store: PostgresStore, tmp_path: Path) -> None:
    # Over a segment's end: the line that opens a segment, its range and its state's object are the file store's.
    with store.transaction() as tx:
        fence = grant(tx)
    for part in range(3):
        with store.transaction() as tx:
            for number in range(1500):
                tx.append(a_draft(number + part * 1500, lease=LeaseRef("T-1/PLAN", fence)))
    state, head, leases = (view := store.view()).state, view.head, view.leases
    with copied(store.address, store.ledger_id) as (place, _):
        files = FileStore.open(StoreParts(place, TallyFold()))
        assert (files.view().state, files.view().head, files.view().leases) == (state, head, leases)
        assert files.verify().as_dict() == store.verify().as_dict()
        assert files.verify().entries == 4503
        assert [e.body for e in files.entries()] == [e.body for e in store.entries()]
        assert [e.seq for e in files.entries() if e.kind == "segment.opened"] == [4096]
        assert files.compact_range() == store.compact_range()
        with files.transaction() as tx:
            assert tx.append(a_draft()).seq == 4503
        files.close()
    other = again(store)
    assert (other.view().state, other.view().head) == (state, head)
    other.close()


def test_a_long_lease_log_is_summed_up_and_fences_stay(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autopilot.storage.postgres.lease_rows.COMPACT_RECORDS", 5)
    other = again(store)
    with store.transaction() as tx:
        fence = grant(tx)
        held = tx.leases.held("T-1")
        assert held is not None
    for number in range(1, 20):
        with store.transaction() as tx:
            tx.record_lease(Renew("T-1/PLAN", fence, held.granted_ns + number * 1000, held.deadline_ns + number * 1000))
        assert other.view().leases == store.view().leases
    third = again(store)
    assert third.view().leases == store.view().leases
    assert third.view().leases.held("T-1").renewals == 19
    assert third._leases.first > 0
    with copied(store.address, store.ledger_id) as (place, _):
        files = FileStore.open(StoreParts(place, TallyFold()))
        assert files.view().leases == store.view().leases
        files.close()
    assert store.verify().intact
    for one in (other, third):
        one.close()


# --- rights and damage


@pytest.mark.parametrize("table", ["ledger", "entry", "object"])
@pytest.mark.parametrize(
    "act", ["UPDATE autopilot.{} SET ledger = ledger", "DELETE FROM autopilot.{}", "TRUNCATE autopilot.{} CASCADE"]
)
@pytest.mark.parametrize("role", ["app", "owner"])
def test_what_was_appended_is_neither_changed_nor_removed(
    store: PostgresStore, database: Any, table: str, act: str, role: str
) -> None:
    store.objects.put(b"sealed")
    text = act.format(table).replace("ledger = ledger", "id = id" if table == "ledger" else "ledger = ledger")
    with psycopg.connect(getattr(database, role)) as other, pytest.raises(psycopg.errors.InsufficientPrivilege):
        other.execute(text)


def test_the_head_only_moves_on(store: PostgresStore, database: Any) -> None:
    with store.transaction() as tx:
        tx.append(a_draft())
    for text in ("seq = 0", "hash = decode(repeat('00', 32), 'hex')", "lease_seq = -2"):
        with psycopg.connect(database.app) as other, pytest.raises(psycopg.errors.InsufficientPrivilege):
            other.execute(f"UPDATE autopilot.head SET {text} WHERE ledger = %s", (store.ledger_id,))
    with psycopg.connect(database.app) as other, pytest.raises(psycopg.errors.InsufficientPrivilege):
        other.execute("DELETE FROM autopilot.head WHERE ledger = %s", (store.ledger_id,))


@pytest.mark.parametrize(
    "text", ["head SET ledger = ledger", "checkpoint SET size = size", "checkpoint SET ledger = ''"]
)
def test_the_role_may_update_no_more_columns_than_appending_needs(own_database: Any, text: str) -> None:
    schema.set_up(Address(own_database.owner), grant_to=("autopilot_app",))  # again, as after an update
    with psycopg.connect(own_database.app) as other, pytest.raises(psycopg.errors.InsufficientPrivilege) as caught:
        other.execute(f"UPDATE autopilot.{text}")
    assert "permission denied" in str(caught.value)


# What the role that appends can do beside autopilot, and what the next reader says: the table in the reference.
STOPS = {
    "UPDATE autopilot.head SET moved_to = 'nowhere' WHERE ledger = '{}'": "store_moved",
    "DELETE FROM autopilot.lease_record WHERE ledger = '{}'": "lease_log_corrupt",
    "UPDATE autopilot.head SET seq = seq + 1 WHERE ledger = '{}'": "truncated",
}


@pytest.mark.parametrize("text", STOPS)
def test_what_the_role_can_stop_is_refused_and_not_believed(own_database: Any, text: str) -> None:
    store = begun(own_database.app)
    with store.transaction() as tx:
        grant(tx)
    with psycopg.connect(own_database.app) as other:
        other.execute(text.format(store.ledger_id))
    with pytest.raises((ContractError, IntegrityError)) as caught:
        again(store)
    assert caught.value.code == STOPS[text]


DAMAGE = {
    "a changed body": (
        "ALTER TABLE autopilot.entry DROP CONSTRAINT entry_has_its_hash;"
        " UPDATE autopilot.entry SET body = convert_to(replace(convert_from(body, 'UTF8'), 'plan-1', 'plan-9'), 'UTF8')"
        " WHERE ledger = '{}' AND seq = 2",
        "bad_hash",
    ),
    "a removed line": ("DELETE FROM autopilot.entry WHERE ledger = '{}' AND seq = 2", "bad_link"),
    "a removed end": ("DELETE FROM autopilot.entry WHERE ledger = '{}' AND seq = 5", "truncated"),
    "a line beyond the head": (
        "INSERT INTO autopilot.entry SELECT ledger, 6, body, hash FROM autopilot.entry WHERE ledger = '{}' AND seq = 5",
        "bad_link",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_the_owner_edits_is_found(own_database: Any, damage: str) -> None:
    store = begun(own_database.app)
    with store.transaction() as tx:
        for number in range(5):
            tx.append(a_draft(number))
    text, reason = DAMAGE[damage]
    with psycopg.connect(own_database.owner) as owner:
        owner.execute("ALTER TABLE autopilot.entry DISABLE TRIGGER ALL")
        owner.execute(text.format(store.ledger_id))
    assert store.verify().reason == reason
    if damage != "a line beyond the head":
        with pytest.raises(IntegrityError):
            again(store)
    store.close()


def test_a_shorter_ledger_than_was_seen_is_missed(store: PostgresStore) -> None:
    # What a promoted standby that lagged behind looks like.
    with pytest.raises(IntegrityError) as caught:
        again(store, floor=2)
    assert caught.value.code == "truncated"


def test_a_line_beyond_the_head_stops_the_writer(own_database: Any) -> None:
    store = begun(own_database.app)
    with psycopg.connect(own_database.app) as forger:
        forger.execute(
            "INSERT INTO autopilot.entry SELECT ledger, 1, body, hash FROM autopilot.entry WHERE ledger = %s",
            (store.ledger_id,),
        )
    with pytest.raises(IntegrityError), store.transaction() as tx:
        tx.append(a_draft())
    assert store.verify().reason == "bad_link"
    store.close()


# --- tables and addresses


def test_a_database_without_the_tables_says_how_to_get_them(postgres: Any) -> None:
    empty = postgres.new_database()
    with pytest.raises(StorageError) as caught:
        begun(postgres.url(empty))
    assert caught.value.code == "store_schema"
    assert "store setup" in caught.value.reasons()[0].remedy


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("INSERT INTO autopilot.migration VALUES (9999, 'later', 'x')", "version 9999"),
        ("UPDATE autopilot.migration SET digest = 'other'", "another text"),
        ("DELETE FROM autopilot.migration", "never set up"),
    ],
)
def test_tables_of_another_version_are_refused(own_database: Any, text: str, detail: str) -> None:
    own_database.server.sql(own_database.name, text)
    with pytest.raises(StorageError) as caught:
        begun(own_database.app)
    assert caught.value.code == "store_schema"
    assert detail in caught.value.detail


def test_setting_up_again_changes_nothing_and_several_at_once_do_it_once(postgres: Any) -> None:
    address = Address(postgres.url(postgres.new_database()))
    done: list[int] = []
    threads = [threading.Thread(target=lambda: done.append(len(schema.set_up(address)))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [0, 0, len(schema.migrations())]


def test_a_role_that_there_is_not_is_named(own_database: Any) -> None:
    with pytest.raises(ContractError) as caught:
        schema.set_up(Address(own_database.owner), grant_to=("nobody-here",))
    assert "nobody-here" in caught.value.detail


@pytest.mark.parametrize(
    ("url", "shown", "secret"),
    [
        ("postgresql://u:s3cret@h:5433/d?sslmode=require", "postgresql://u@h:5433/d?sslmode=require", True),
        ("postgresql://u@h/d?password=s3cret&host=/run", "postgresql://u@h/d?host=/run", True),
        ("postgresql://u@h/d?scram_client_key=s3cret&sslmode=require", "postgresql://u@h/d?sslmode=require", True),
        ("postgresql://u@h/d?oauth_client_secret=s3cret", "postgresql://u@h/d", True),
        ("postgresql://u@h/d?options=-cx.y%3Ds3cret", "postgresql://u@h/d", True),
        ("postgresql://u@h/d?PassWord=s3cret&sslMode=s3cret", "postgresql://u@h/d", True),
        ("postgresql://u@h/d?p%61ssword=s3cret", "postgresql://u@h/d", True),
        ("postgresql://u:s3cret%40x@h/d", "postgresql://u@h/d", True),
        ("postgres:///?service=autopilot", "postgres:///?service=autopilot", False),
        ("postgresql://h/d", "postgresql://h/d", False),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str, secret: bool) -> None:
    address = parse_address(url)
    assert (address.shown, address.has_password) == (shown, secret)
    assert "s3cret" not in repr(address)


def test_an_error_of_the_connection_tells_no_password(database: Any) -> None:
    url = database.app.replace("autopilot_app@", "autopilot_app:s3cret@").replace(database.name, "no_such_database")
    with pytest.raises(StorageError) as caught:
        session.connect(Address(url))
    told = f"{caught.value} {caught.value.where} {caught.value.reasons()} {caught.value.__cause__!r}"
    assert caught.value.code == "store_unreachable"
    assert "s3cret" not in told
    assert "no_such_database" in told


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:S3cret%zz@localhost/db",
        "postgresql://app:S3cret%@localhost/db",
        "postgresql://app:S3cret%00@localhost/db",
        "postgresql://app:S3cr@tpart@localhost/db",
        "postgresql://app:123?S3cret=@localhost/db",
        "postgresql://app:99/S3cret@localhost/db",
        "postgresql://app:S3\tcret@localhost/db",
        "postgresql://app:S3 cret@localhost/db",
        "postgresql://[S3cret@localhost/db",
    ],
)
def test_a_password_that_is_not_escaped_is_refused_and_no_part_of_it_is_shown(url: str) -> None:
    with pytest.raises(ContractError) as caught:
        parse_address(url)
    told = f"{caught.value} {caught.value.reasons()} {caught.value.__cause__!r}"
    assert caught.value.code == "bad_config"
    assert "S3" not in told
    assert "tpart" not in told


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        ("postgresql://app@localhost:1/db?not_known=T0PS3CRET", session.UNREADABLE),
        ("postgresql://app:T0PS3CRET%zz@localhost:1/db", session.UNREADABLE),
        ("postgresql://app@T0PS3CRET.invalid/db", session.UNRESOLVED),
        ("postgresql://app:bogus@127.0.0.1:1/db?sslmode=bogus", session.WITHHELD),
    ],
)
def test_the_drivers_own_words_about_an_address_are_not_repeated(url: str, detail: str) -> None:
    with pytest.raises(StorageError) as caught:
        session.connect(Address(url))
    assert (caught.value.code, caught.value.detail) == ("store_unreachable", detail)


@pytest.mark.parametrize(
    "store", ["mysql://h/d", "postgresql://h:port/d", "host=h dbname=d password=x", "postgresql:/h"]
)
def test_what_is_no_address_is_refused_without_being_repeated(store: str) -> None:
    with pytest.raises(ContractError) as caught:
        parse_address(store)
    assert (caught.value.code, "password=x" in str(caught.value)) == ("bad_config", False)
