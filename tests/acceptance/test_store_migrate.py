"""A ledger is moved between files and PostgreSQL, whole, and never lives in two places.

Red without:
- the mark of the source (`mark_moved`, `leave`): `test_the_source_is_closed_also_to_who_has_it_open`
- the look at standing leases: `test_a_move_waits_until_nobody_works`
- the arrival's name in what the source is told (`there`): `test_another_machine_of_that_path_and_name_takes_nothing_up`
- `moved_to` on what is still arriving: `test_a_move_that_is_cut_short_can_be_taken_up`
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from crash.governed import AGENT, HUMAN, TASK, approve, autopilot, prepare
from crash.governed import copy as copied_repository

from autopilot.audit.run import audit
from autopilot.cli.demo.honest import HonestAgent
from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import AutopilotError, ContractError, IntegrityError, LeaseRefusedError, RefusedError
from autopilot.kernel.phases import Phase
from autopilot.ledger.entry import Draft
from autopilot.storage.files.layout import StorePaths
from autopilot.vcs.repository import Repository
from autopilot.wiring import migrating
from autopilot.wiring.auditing import load_facts
from autopilot.wiring.checkpoints import CheckpointDesk
from autopilot.wiring.full import Workspace
from autopilot.wiring.migrating import FILES, Move, Moved


@dataclass
class Place:
    """A governed repository with a task in THINK and a signed checkpoint, and a database it can go to."""

    root: Path
    database: Any

    def move(self, to: str = "", caller: Caller = HUMAN) -> Moved:
        """Move the ledger, as a person."""
        return self.asked(to).run(caller, "several machines work on it")

    def asked(self, to: str = "") -> Move:
        return Move.of(Repository.locate(self.root), {}, to or self.database.app)

    def opened(self) -> Workspace:
        return Workspace.open(self.root)

    def bodies(self) -> list[bytes]:
        with self.opened() as workspace:
            return [entry.body for entry in workspace.ledger.entries()]

    def count(self) -> int:
        """Rows of all ledgers in the database."""
        with psycopg.connect(self.database.owner) as looking:
            return int((looking.execute("SELECT count(*) FROM autopilot.entry").fetchone() or (0,))[0])

    def go_on(self) -> None:
        """The next move of the task succeeds."""
        with self.opened() as workspace:
            agent = HonestAgent(workspace, TASK, self.root, caller=AGENT)
            agent.prepare(Phase(workspace.tasks.show(TASK).stage))
            agent.advance(
                Phase(workspace.tasks.show(TASK).stage), lambda task, refusal: approve(workspace, task, refusal)
            )
            workspace.leases.release(TASK, caller=AGENT)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once, copied for each test."""
    root = prepare(tmp_path_factory.mktemp("prepared") / "repository", Phase.THINK)
    with Workspace.open(root) as workspace:
        CheckpointDesk(workspace).publish(caller=HUMAN)
        workspace.leases.release(TASK, caller=AGENT)
    return root


@pytest.fixture
def place(prepared: Path, own_database: Any, tmp_path: Path) -> Place:
    return Place(copied_repository(prepared, tmp_path / "repository"), own_database)


def test_there_and_back_again(place: Place) -> None:
    before = place.bodies()
    moved = place.move()
    assert (moved.entries, moved.checkpoints, moved.resumed) == (len(before) + 1, 1, False)
    assert f'store = "{place.database.app}"' in (place.root / "autopilot.toml").read_text()
    there = place.bodies()
    assert there[:-1] == before
    assert b'"kind":"decision"' in there[-1]
    assert place.database.app.encode() in there[-1]
    place.go_on()
    assert audit(load_facts(Repository.locate(place.root), {})).findings == ()
    grown = place.bodies()
    back = place.move(FILES)
    assert back.entries == len(grown) + 1
    assert "store =" not in (place.root / "autopilot.toml").read_text()
    assert place.bodies()[:-1] == grown
    place.go_on()
    assert audit(load_facts(Repository.locate(place.root), {})).findings == ()
    assert (place.root / "state" / "ledger.moved-1").is_dir()
    # And into the same database once more: what is there is the beginning of it.
    again = place.move()
    assert again.entries == len(place.bodies())
    with place.opened() as workspace:
        assert workspace.ledger.verify().intact
        assert workspace.leases.acquire(TASK, caller=AGENT).lease.fence > 1


def test_the_source_is_closed_also_to_who_has_it_open(place: Place) -> None:
    with place.opened() as workspace:
        workspace.ledger.view()
        place.move()
        for use in (workspace.ledger.view, lambda: workspace.ledger.transaction().__enter__()):
            with pytest.raises(ContractError) as caught:
                use()
            assert caught.value.code == "store_moved"
            assert place.database.app in caught.value.detail
    # A clone that does not know the new place yet.
    settings = place.root / "autopilot.toml"
    settings.write_text(settings.read_text().replace(f'store = "{place.database.app}"\n', ""))
    answer = autopilot(place.root, "status", "--json")
    assert (answer.code, answer.codes) == (2, ["store_moved"])
    assert place.database.app in answer.err
    for words in (("init", "--yes"), ("task", "open", "T-2", "--title", "x"), ("ledger", "verify")):
        assert autopilot(place.root, *words).code != 0, words
    settings.write_text(f'store = "{place.database.app}"\n' + settings.read_text())
    with place.opened() as shared:
        place.move(FILES)
        with pytest.raises(ContractError) as caught, shared.ledger.transaction() as tx:
            tx.append(Draft(kind="decision", caller=AGENT, data={}))
        assert caught.value.code == "store_moved"


def test_a_move_waits_until_nobody_works(place: Place) -> None:
    before = place.bodies()
    for to in ("", FILES):
        with place.opened() as workspace:
            workspace.leases.acquire(TASK, caller=AGENT)
        asked = place.asked(to)
        for act in (asked.check, lambda asked=asked: asked.run(HUMAN, "several machines")):
            with pytest.raises(LeaseRefusedError) as caught:
                act()
            assert caught.value.code == "leases_standing"
            assert AGENT.actor in caught.value.verdict.reasons[0].detail
        with place.opened() as workspace:
            workspace.leases.release(TASK, caller=AGENT)
        if not to:
            assert place.count() == 0
            assert len(place.bodies()) == len(before) + 2
            place.move()


def test_a_move_is_a_persons_act(place: Place) -> None:
    with pytest.raises(RefusedError) as caught:
        place.move(caller=AGENT)
    assert caught.value.code == "human_only"
    answer = autopilot(
        place.root, "store", "migrate", "--to", place.database.app, "--reason", "x", "--json", caller=HUMAN
    )
    assert (answer.code, answer.codes) == (1, ["not_a_terminal"])
    answer = autopilot(place.root, "store", "migrate", "--to", place.database.app, "--reason", "x", "--json")
    assert (answer.code, answer.codes) == (1, ["human_only"])
    assert place.count() == 0


def test_a_rehearsal_changes_nothing(place: Place) -> None:
    before = place.bodies()
    assert place.asked().check() == len(before)
    assert place.bodies() == before
    assert place.count() == 0


def test_a_move_to_where_it_is_or_to_a_database_without_tables_is_refused(place: Place) -> None:
    with pytest.raises(ContractError):
        place.asked(FILES)
    empty = place.database.server.new_database()
    with pytest.raises(AutopilotError) as caught:
        place.move(place.database.server.url(empty))
    assert caught.value.code == "store_schema"
    place.go_on()


def test_a_source_that_does_not_verify_stays(place: Place) -> None:
    segment = StorePaths(place.root / "state").segment(0)
    segment.write_bytes(segment.read_bytes().replace(b"agent-1", b"agent-9", 1))
    with pytest.raises(IntegrityError):
        place.move()
    assert place.count() == 0


CUTS: dict[str, tuple[str, str]] = {
    "before the copy": ("", "autopilot.storage.postgres.loading.load"),
    "before the comparison": ("", "autopilot.storage.postgres.copying.copied"),
    "before the source is closed": ("", "autopilot.wiring.migrating.mark_moved"),
    "before the copy lives": ("", "autopilot.storage.postgres.loading.activate"),
    "before it is named": ("", "autopilot.wiring.migrating.with_store"),
    "back, before the copy": (FILES, "autopilot.storage.postgres.copying.Copier.copy"),
    "back, before the objects": (FILES, "autopilot.wiring.migrating.Move._take_objects"),
    "back, before it is named": (FILES, "autopilot.wiring.migrating.with_store"),
}


@pytest.mark.parametrize("cut", CUTS)
def test_a_move_that_is_cut_short_can_be_taken_up(place: Place, cut: str, monkeypatch: pytest.MonkeyPatch) -> None:
    to, where = CUTS[cut]
    if to:
        place.move()
    before = place.bodies()
    with monkeypatch.context() as patched:
        patched.setattr(where, _killed)
        with pytest.raises(KeyboardInterrupt):
            place.move(to)
    # Whatever is left: at most one place takes a line.
    assert len(writable(place)) <= 1
    moved = place.move(to)
    assert len(writable(place)) == 1
    after = place.bodies()
    assert after[: len(before)] == before
    assert moved.entries == len(after)
    place.go_on()
    with place.opened() as workspace:
        assert workspace.ledger.verify().intact


def test_another_machine_of_that_path_and_name_takes_nothing_up(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.move()
    other, away = tmp_path / "other", tmp_path / "away"
    copied_repository(place.root, other)  # another file system: the same path there, the same name of the host
    with monkeypatch.context() as patched:
        patched.setattr("autopilot.wiring.migrating.Move._put_away", _killed)
        with pytest.raises(KeyboardInterrupt):
            place.move(FILES)
    for cut in (True, False):
        place.root.rename(away)
        other.rename(place.root)
        assert writable(place) == []
        with pytest.raises(ContractError) as caught:
            place.move(FILES)
        assert caught.value.code == "store_moved"
        assert migrating.read_arrival(away / "state") in caught.value.detail
        place.root.rename(other)
        away.rename(place.root)
        assert place.move(FILES).resumed if cut else writable(place) == [FILES]
    assert not migrating.read_arrival(place.root / "state")
    # The next move has a name of its own: a copy of today's directory cannot take it up.
    first = place.bodies()[-1]
    place.move()
    place.move(FILES)
    assert first.split(b"arrival ")[1][:32] not in place.bodies()[-1]


def _killed(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def writable(place: Place) -> list[str]:
    """The places that would take a line, each looked at as a clone would that names it."""
    settings, found = place.root / "autopilot.toml", []
    text = settings.read_text()
    for store in ("", place.database.app):
        settings.write_text(migrating.with_store(text, store))
        try:
            with place.opened() as workspace, workspace.ledger.transaction():
                found.append(store or FILES)
        except AutopilotError:
            continue
        finally:
            settings.write_text(text)
    return found


def test_what_is_arriving_is_nobodys_yet(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autopilot.storage.postgres.copying.copied", _killed)
    with pytest.raises(KeyboardInterrupt):
        place.move()
    monkeypatch.undo()
    assert place.count() > 0
    assert writable(place) == [FILES]
