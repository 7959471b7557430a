"""A ledger in PostgreSQL governs as one in files does: a whole task through the commands, and what is refused.

Red without:
- the lease's host in its proof of death (`leases.liveness`): `test_a_process_of_another_machine_is_not_proved_dead`
- `clock_of` (the machine's own clock): `test_leases_are_judged_by_the_servers_clock_whatever_the_machines_say`
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from crash.governed import AGENT, HUMAN, TASK, Answer, approve, autopilot, environment

from autopilot.cli.demo.honest import REVIEWER, HonestAgent
from autopilot.cli.demo.project import make_repository
from autopilot.kernel.callers import Caller
from autopilot.kernel.errors import LeaseRefusedError, RefusedError
from autopilot.kernel.phases import PHASES, Phase
from autopilot.leases.liveness import proved_dead
from autopilot.testing.clock import FakeClock
from autopilot.wiring.full import Outside, Workspace

OTHER = Caller("agent-2", "agent", "s-2")


@dataclass
class Shared:
    """A repository whose ledger is in a database."""

    root: Path
    store: str

    def run(self, *words: str, caller: Caller = AGENT, **further: str) -> Answer:
        """One command, as an agent."""
        return autopilot(self.root, *words, caller=caller, further=further)

    def json(self, *words: str, caller: Caller = AGENT, **further: str) -> dict[str, Any]:
        """One command's object on stdout; it has to succeed."""
        answer = self.run(*words, "--json", caller=caller, **further)
        assert answer.code == 0, (words, answer)
        return answer.document

    def prepare(self, phase: Phase) -> None:
        """Do the phase's work."""
        with Workspace.open(self.root) as workspace:
            HonestAgent(workspace, TASK, self.root, caller=AGENT).prepare(phase)

    def advance(self, phase: Phase) -> Answer:
        """Leave `phase`; where isolation is missing a person reads the accept blocks first."""
        caller = REVIEWER if phase is Phase.REVIEW else AGENT
        answer = self.run("advance", TASK, "--json", caller=caller)
        if answer.code == 4:
            with Workspace.open(self.root) as workspace:
                found = workspace.enforcer.verify(TASK, caller=caller).verdict
                approve(workspace, TASK, RefusedError(found))
            answer = self.run("advance", TASK, "--json", caller=caller)
        return answer

    def work(self, until: Phase | None = None) -> None:
        """The honest agent's work, by commands."""
        for phase in PHASES:
            if phase is until:
                return
            self.prepare(phase)
            answer = self.advance(phase)
            assert answer.code == 0, (phase, answer)
            if phase is Phase.REVIEW:
                assert self.run("lease", "release", TASK, caller=REVIEWER).code == 0


def begun(root: Path, url: str) -> Shared:
    """A governed repository, its ledger in the database at `url`."""
    root.mkdir(parents=True)
    make_repository(root)
    answer = autopilot(root, "init", "--yes", caller=HUMAN, further={"AUTOPILOT_STORE": url})
    assert answer.code == 0, answer
    return Shared(root, url)


@pytest.fixture
def shared(database: Any, tmp_path: Path) -> Shared:
    return begun(tmp_path / "one", database.app)


def clone(shared: Shared, root: Path) -> Shared:
    """The repository on another machine: what git has of it, and nothing of `state/`."""
    subprocess.run(["git", "add", "-A"], cwd=shared.root, check=True)
    subprocess.run(["git", "commit", "-q", "-m", "govern"], cwd=shared.root, check=True, env=_committer())
    subprocess.run(["git", "clone", "-q", str(shared.root), str(root)], check=True)
    return Shared(root, shared.store)


def _committer() -> dict[str, str]:
    who = {f"GIT_{role}_{key}": "ada" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
    return {**environment(), **who}


def test_a_whole_task_through_the_commands(shared: Shared) -> None:
    assert not (shared.root / "state" / "ledger" / "LEDGER.json").exists()
    assert shared.run("task", "open", TASK, "--title", "Take the discount off once in shop pricing").code == 0
    shared.prepare(Phase.STRATEGIZE)
    refused = shared.run("advance", TASK, "--to", "IMPLEMENT", "--json")
    assert (refused.code, refused.codes) == (1, ["out_of_sequence"])
    shared.work()
    assert shared.json("task", "show", TASK)["task"]["phase"] == "CLOSED"
    status = shared.json("status")
    assert [task["phase"] for task in status["tasks"]] == ["CLOSED"]
    report = shared.json("ledger", "verify")
    assert report["status"] == "intact"
    for words in (("--quick",), ("--since", "3"), ("--full",)):
        assert shared.json("ledger", "verify", *words) == report
    # Checkpoint, proof, pack, audit and statements read the same lines.
    made = shared.json("ledger", "checkpoint")
    assert shared.json("ledger", "prove", "3")["checkpoint"]
    assert "agrees with 1 checkpoints" in shared.run("ledger", "verify").out
    assert shared.run("ledger", "export", "pack", "--objects").code == 0
    pack = shared.root / "pack"
    done = subprocess.run(["python3", str(pack / "verify.py"), str(pack)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    audit = shared.json("audit")
    assert audit["findings"] == [], audit
    assert made["size"] <= report["entries"] + 3
    assert shared.run("evidence", "export", TASK, "--format", "in-toto").code == 0
    assert shared.json("ledger", "log", "--kind", "phase.transition")["records"]


def test_another_machine_sees_the_lease_and_waits(shared: Shared, tmp_path: Path) -> None:
    other = clone(shared, tmp_path / "two")
    assert shared.run("task", "open", TASK, "--title", "Take the discount off once in shop pricing").code == 0
    taken = shared.json("lease", "acquire", TASK)
    assert taken["fence"] == 1
    assert other.run("init", "--join", "--yes").code == 0
    seen = other.json("task", "show", TASK)["task"]["lease"]
    assert (seen["fence"], seen["actor"]) == (1, AGENT.actor)
    assert 0 < seen["expires_in_seconds"] <= 120
    waits = other.run("advance", TASK, "--json", caller=OTHER)
    assert (waits.code, waits.codes) == (5, ["lease_held"])
    assert shared.run("lease", "release", TASK).code == 0
    assert other.json("lease", "acquire", TASK, caller=OTHER)["fence"] == 2
    stale = shared.run("advance", TASK, "--json", AUTOPILOT_LEASE=f"1:{taken['token']}")
    assert (stale.code, stale.codes[0]) == (5, "stale_fence")
    assert shared.json("ledger", "verify") == other.json("ledger", "verify")


def test_leases_are_judged_by_the_servers_clock_whatever_the_machines_say(shared: Shared, tmp_path: Path) -> None:
    # Machines of other boots, and years apart.
    clone(shared, tmp_path / "two")
    here = Outside(environ={}, clock=FakeClock(boot="here"))
    there = Outside(environ={}, clock=FakeClock(datetime(2031, 1, 1, tzinfo=UTC), boot="there"))
    with Workspace.open(shared.root, outside=here) as one, Workspace.open(tmp_path / "two", outside=there) as two:
        one.tasks.open(TASK, title="Take the discount off once in shop pricing", profile="code-change", caller=AGENT)
        granted = one.leases.acquire(TASK, caller=AGENT).lease
        assert granted.boot.startswith("postgresql-")
        with pytest.raises(LeaseRefusedError) as caught:
            two.leases.acquire(TASK, caller=OTHER)
        assert caught.value.code == "lease_held"
        held = two.leases.held(TASK)
        assert held is not None
        assert (held.fence, held.boot) == (granted.fence, granted.boot)
        (entry,) = (entry for entry in two.ledger.entries() if entry.kind == "lease.granted")
        assert not entry.ts.startswith("2031")


def test_a_dry_run_judges_by_the_servers_clock(shared: Shared) -> None:
    assert shared.run("task", "open", TASK, "--title", "Take the discount off once in shop pricing").code == 0
    assert shared.run("lease", "acquire", TASK).code == 0
    entries = shared.json("ledger", "verify")["entries"]
    waits = shared.run("advance", TASK, "--dry-run", "--json", caller=OTHER)
    assert (waits.code, waits.codes) == (5, ["lease_held"])
    assert shared.json("ledger", "verify")["entries"] == entries


def test_work_that_another_machine_sealed_is_refused_clearly(shared: Shared, tmp_path: Path) -> None:
    assert shared.run("task", "open", TASK, "--title", "Take the discount off once in shop pricing").code == 0
    shared.work(until=Phase.VERIFY)
    assert shared.run("lease", "release", TASK).code == 0
    other = clone(shared, tmp_path / "two")
    assert other.run("init", "--join", "--yes").code == 0
    refused = other.run("advance", TASK, "--json", caller=AGENT)
    assert (refused.code, refused.codes[0]) == (6, "git_object_missing"), refused
    assert "another machine" in refused.err
    assert "Traceback" not in refused.err
    assert shared.advance(Phase.VERIFY).code == 0


def test_a_process_of_another_machine_is_not_proved_dead(shared: Shared) -> None:
    # Machines may have one name, and their processes the same numbers. Only what this boot of this one shows is proof.
    with Workspace.open(shared.root) as workspace:
        workspace.tasks.open(
            TASK, title="Take the discount off once in shop pricing", profile="code-change", caller=AGENT
        )
        held = workspace.leases.acquire(TASK, caller=AGENT, as_process=True).lease.holder
        assert held.process is not None
        gone = replace(held.process, pid=2**22 + 1)
        assert proved_dead(replace(held, process=gone))
        elsewhere = replace(gone, host=f"{platform.node()} {uuid.uuid4()}")
        assert not proved_dead(replace(held, process=elsewhere))
        assert not proved_dead(replace(held, process=replace(gone, host=platform.node())))


# --- where the ledger is


def test_init_names_the_store_for_other_clones_without_the_password(own_database: Any, tmp_path: Path) -> None:
    url = own_database.app.replace("autopilot_app@", "autopilot_app:s3cret@")
    shared = begun(tmp_path / "one", url)
    settings = (shared.root / "autopilot.toml").read_text()
    assert "s3cret" not in settings
    assert f'store = "{own_database.app}"' in settings.replace("?host=", "?host=")
    assert shared.run("status").code == 0
    for words in (("doctor",), ("status",), ("ledger", "log"), ("init", "--yes"), ("audit",)):
        for further in ({"AUTOPILOT_STORE": url}, {}):
            answer = shared.run(*words, **further)
            assert "s3cret" not in answer.out + answer.err, words
    for path in (shared.root / "state").rglob("*"):
        assert not path.is_file() or b"s3cret" not in path.read_bytes(), path
    dump = own_database.server.command(
        "pg_dump", "-h", str(own_database.server.folder), "-U", "autopilot_owner", own_database.name
    )
    assert "s3cret" not in dump


def test_a_password_in_the_shared_file_is_refused(shared: Shared) -> None:
    path = shared.root / "autopilot.toml"
    path.write_text(path.read_text().replace("autopilot_app@", "autopilot_app:s3cret@"))
    answer = shared.run("status", "--json")
    assert (answer.code, answer.codes) == (2, ["store_password"])
    assert "PGPASSWORD" in answer.err
    assert "s3cret" not in answer.out + answer.err


def test_a_variable_that_names_another_store_begins_no_new_ledger(shared: Shared, own_database: Any) -> None:
    for words in (("status",), ("init", "--yes"), ("task", "open", "T-9", "--title", "x")):
        answer = shared.run(*words, "--json", AUTOPILOT_STORE=own_database.app)
        assert (answer.code, answer.error["code"]) == (3, "ledger_missing"), answer
    for store, code in (
        ("mysql://h/d", "bad_config"),
        (own_database.app.replace("/autopilot_", "/no_"), "store_unreachable"),
    ):
        answer = shared.run("status", "--json", AUTOPILOT_STORE=store)
        assert answer.error["code"] == code, answer
        assert "Traceback" not in answer.err


def test_doctor_tells_which_store_and_what_it_gives(shared: Shared, database: Any) -> None:
    def checked(**further: str) -> dict[str, Any]:
        answer = shared.run("doctor", "--json", **further)
        return next(check for check in answer.document["checks"] if check["name"] == "store")

    check = checked()
    for part in (
        "PostgreSQL 1",
        "role autopilot_app (cannot change or remove lines)",
        "synchronous_commit on",
        "no synchronous standby",
    ):
        assert part in check["detail"], check
    # The tests' own server runs without fsync, and says so.
    assert "fsync = on" in check["remedy"]
    assert not check["required"]
    assert "owns the tables" in checked(AUTOPILOT_STORE=database.owner)["detail"]
    lost = checked(AUTOPILOT_STORE=database.app.replace("/autopilot_", "/no_"))
    assert (lost["ok"], lost["required"]) == (False, True)
    assert "store_unreachable" in lost["detail"]
    assert "files in" in _checked_files(shared)["detail"]


def _checked_files(shared: Shared) -> dict[str, Any]:
    path = shared.root / "autopilot.toml"
    path.write_text(path.read_text().replace(f'store = "{shared.store}"\n', ""))
    answer = shared.run("doctor", "--json")
    return next(check for check in answer.document["checks"] if check["name"] == "store")


def test_without_the_driver_the_install_line_is_given(shared: Shared) -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None; from autopilot.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    for words in (["status"], ["store", "setup", shared.store]):
        done = subprocess.run(
            [sys.executable, "-c", code, *words], cwd=shared.root, env=environment(), capture_output=True, text=True
        )
        assert done.returncode == 6, done
        assert "pip install 'autopilot-governance[pg]'" in done.stderr


def test_repair_is_for_files(shared: Shared) -> None:
    answer = shared.run("ledger", "repair", "--reason", "x", "--json")
    assert (answer.code, answer.codes) == (2, ["bad_usage"])
    assert json.loads(answer.out)["error"]["reasons"][0]["remedy"].startswith("restore the database")
