"""`autopilot ledger`: verify works where nothing opens, repair is a person's, the log is what is stored."""

from __future__ import annotations

import json
import shutil

import pytest
from cli_repo import Repo


def test_an_intact_ledger(repo: Repo) -> None:
    shown = repo.run("ledger", "verify", "--json", check=0).shaped("ledger verify")
    assert shown == {"schema_version": 1, "status": "intact", "reason": None, "seq": 1, "entries": repo.lines()} | {
        "seq": repo.lines() - 1
    }


def _flip(repo: Repo) -> None:
    data = bytearray(repo.segment.read_bytes())
    data[len(data) // 2] ^= 1
    repo.segment.write_bytes(data)


def _cut(repo: Repo) -> None:
    lines = repo.segment.read_bytes().splitlines(keepends=True)
    repo.segment.write_bytes(b"".join(lines[:-1]))
    (repo.state / "ledger" / "head").unlink()


def _poison(repo: Repo) -> None:
    (repo.state / "ledger" / "POISONED").write_text("{}")


def _remove(repo: Repo) -> None:
    shutil.rmtree(repo.state)


def _unname(repo: Repo) -> None:
    (repo.state / "ledger" / "LEDGER.json").unlink()


@pytest.mark.parametrize(
    ("harm", "reasons"),
    [
        (_flip, {"bad_hash", "bad_json", "bad_link"}),
        (_cut, {"truncated"}),
        (_poison, {"poisoned"}),
        (_remove, {"missing"}),
        (_unname, {"missing"}),
    ],
)
def test_harm_is_found_though_the_store_does_not_open(repo: Repo, harm: object, reasons: set[str]) -> None:
    harm(repo)  # type: ignore[operator]
    result = repo.run("ledger", "verify", "--json")
    shown = result.shaped("ledger verify")
    assert result.code == 3
    assert shown["status"] == "corrupt"
    assert shown["reason"] in reasons
    assert repo.run("ledger", "verify").code == 3
    assert repo.run("task", "list", "--json").json["error"]["family"] == "integrity"


def test_without_a_ledger_there_is_nothing_to_verify(plain: Repo) -> None:
    assert plain.run("ledger", "verify", "--json").codes == ["not_a_workspace"]


def test_a_copy_can_be_verified_elsewhere(repo: Repo) -> None:
    copy = repo.root.parent / "copy"
    shutil.copytree(repo.state, copy)
    assert repo.run("ledger", "verify", "--state", str(copy), "--json", check=0).json["status"] == "intact"
    assert Repo(repo.root.parent).run("ledger", "verify", "--state", str(copy)).code == 0


def test_repair_is_a_persons_and_is_on_record(repo: Repo) -> None:
    _flip(repo)
    assert repo.run("ledger", "repair", "--reason", "x", "--json").codes == ["human_only"]
    dry = repo.person("ledger", "repair", "--reason", "x", "--dry-run", "--json", check=0)
    assert dry.shaped("ledger repair", "dry_run")
    assert repo.run("ledger", "verify").code == 3
    done = repo.person("ledger", "repair", "--reason", "bit rot", "--json", check=0).shaped("ledger repair")
    assert done["dropped"]
    assert repo.run("ledger", "verify", check=0).out.startswith("intact")
    last = repo.run("ledger", "log", "--last", "1", "--json", check=0).json["records"][0]
    assert (last["kind"], last["data"]["reason"], last["actor"]["id"]) == ("ledger.recovered", "bit rot", "ada")
    assert repo.run("status").code == 0


def test_the_log_shows_the_stored_bodies(repo: Repo) -> None:
    stored = [json.loads(line)["r"] for line in repo.segment.read_text().splitlines()]
    assert repo.run("ledger", "log", "--json", check=0).shaped("ledger log")["records"] == stored
    assert repo.run("ledger", "log", "--last", "2", "--json", check=0).json["records"] == stored[-2:]
    opened = repo.run("ledger", "log", "--task", "T-1", "--json", check=0).json["records"]
    assert {record["task"] for record in opened} == {"T-1"}
    assert repo.run("ledger", "log", "--kind", "genesis", "--json", check=0).json["records"] == stored[:1]
    assert len(repo.run("ledger", "log", check=0).out.splitlines()) == len(stored)
