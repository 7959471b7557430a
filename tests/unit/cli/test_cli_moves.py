"""Tasks and their moves: open, advance, backtrack, verify, evidence, leases, and what a dry run leaves behind."""

from __future__ import annotations

import pytest
from cli_repo import AGENT, PERSON, Repo

OTHER = {"AUTOPILOT_ACTOR": "agent-8", "AUTOPILOT_SESSION": "s-2", "AUTOPILOT_ACTOR_KIND": "agent"}
TASK_KEYS = {"id", "title", "profile", "phase", "epoch", "base_tree", "lease", "held", "waiting_on"}
LEASE_KEYS = {"resource", "fence", "actor", "expires_in_seconds"}


def test_open_list_show(repo: Repo) -> None:
    opened = repo.run("task", "open", "T-2", "--title", "Second", "--profile", "small-change", "--json", check=0)
    task = opened.shaped("task open")["task"]
    assert opened.json["uncommitted"] == []
    assert set(task) == TASK_KEYS
    assert (task["id"], task["profile"], task["phase"], task["epoch"], task["lease"]) == (
        "T-2", "small-change", "STRATEGIZE", 0, None,
    )  # fmt: skip
    assert len(task["base_tree"]) == 40
    listed = repo.run("task", "list", "--json", check=0).shaped("task list")["tasks"]
    assert [item["id"] for item in listed] == ["T-1", "T-2"]
    assert repo.run("task", "show", "T-2", "--json", check=0).shaped("task show")["task"] == task
    assert repo.run("task", "show", "--json", env={"AUTOPILOT_TASK": "T-2"}, check=0).json["task"] == task


def test_what_was_uncommitted_at_opening_is_listed(repo: Repo) -> None:
    for name in ("notes.txt", "shop/pricing.py"):
        (repo.root / name).write_text("# not committed\n")
    opened = repo.run("task", "open", "T-2", "--title", "Second", "--json", check=0).shaped("task open")
    assert opened["uncommitted"] == ["notes.txt", "shop/pricing.py"]


@pytest.mark.parametrize(
    ("task", "code", "reason"),
    [
        ("T-1", 1, "task_exists"),
        ("t-1", 1, "task_exists"),
        ("../x", 2, "malformed_task_id"),
        ("T 1", 2, "malformed_task_id"),
    ],
)
def test_an_id_that_cannot_be_taken(repo: Repo, task: str, code: int, reason: str) -> None:
    result = repo.quick("task", "open", task, "--title", "Another", "--json")
    assert (result.code, result.codes) == (code, [reason])


@pytest.mark.parametrize(
    "words",
    [
        ("task", "show"), ("task", "close"), ("advance",), ("next",), ("verify",), ("lease", "acquire"),
        ("lease", "show"),
        ("evidence", "list"), ("evidence", "export"), ("backtrack", "--to", "SPEC", "--reason", "x"),
        ("evidence", "show", "a.md"), ("ledger", "log", "--task"), ("attest", "check", "--prompt", "README.md"),
    ],
)  # fmt: skip
def test_an_unknown_task_is_a_usage_error_everywhere(repo: Repo, words: tuple[str, ...]) -> None:
    at = 2 if words[0] in ("task", "lease", "evidence", "attest") else 1
    words = (*words, "T-9") if words[0] == "ledger" else (*words[:at], "T-9", *words[at:])
    result = repo.quick(*words, "--json")
    assert (result.code, result.codes) == (2, ["unknown_task"])


def test_next_says_what_is_missing_and_writes_the_skeleton(repo: Repo) -> None:
    missing = repo.run("next", "T-1", "--json", check=0).shaped("next")["missing"]
    assert [(item["artifact"], item["code"]) for item in missing] == [("strategy.md", "artifact_missing")]
    assert set(missing[0]) == {"artifact", "code", "detail", "remedy", "command"}
    skeleton = repo.state / "evidence" / "T-1" / "strategize" / "strategy.md"
    dry = repo.run("next", "T-1", "--write", "--dry-run", "--json", check=0).shaped("next", "written")
    assert dry["written"] == ["T-1/strategize/strategy.md"]
    assert not skeleton.exists()
    wet = repo.run("next", "T-1", "--write", "--json", check=0).shaped("next", "written")
    assert wet["written"] == dry["written"]
    assert {item["code"] for item in wet["missing"]} == {"skeleton_unchanged"}
    assert repo.run("next", "T-1", "--write", "--json", check=0).json["written"] == []


def test_advance_moves_and_a_refusal_is_on_the_ledger_first(repo: Repo) -> None:
    refused = repo.run("advance", "T-1", "--json")
    assert (refused.code, refused.codes) == (1, ["artifact_missing"])
    records = repo.run("ledger", "log", "--json", check=0).json["records"]
    assert records[refused.json["error"]["seq"]]["kind"] == "gate.verdict"
    repo.write_strategy()
    moved = repo.run("advance", "T-1", "--to", "spec", "--json", check=0).shaped("advance")
    assert (moved["move"]["from"], moved["move"]["to"]) == ("STRATEGIZE", "SPEC")
    assert set(moved["task"]["lease"]) == LEASE_KEYS
    last = repo.run("ledger", "log", "--task", "T-1", "--kind", "phase.transition", "--json", check=0).json["records"][
        -1
    ]
    assert last["seq"] == moved["move"]["seq"]


def test_advance_out_of_order_and_to_no_phase(repo: Repo) -> None:
    skipped = repo.run("advance", "T-1", "--to", "VERIFY", "--json")
    assert (skipped.code, skipped.codes) == (1, ["out_of_sequence"])
    assert repo.run("task", "close", "T-1", "--json").codes == ["out_of_sequence"]
    nowhere = repo.run("advance", "T-1", "--to", "NOWHERE", "--json")
    assert (nowhere.code, nowhere.codes) == (2, ["unknown_phase"])


def test_the_plan_of_a_move_marks_what_is_met_and_what_is_not(repo: Repo) -> None:
    plan = repo.run("advance", "T-1", "--dry-run")
    assert plan.code == 1
    assert "STRATEGIZE -> SPEC" in plan.err
    assert "✘ strategy.md" in plan.err
    repo.write_strategy()
    plan = repo.run("advance", "T-1", "--dry-run", "--json", check=0)
    plan.shaped("advance --dry-run")
    assert "✔ strategy.md" in plan.err
    assert "next: autopilot advance T-1" in plan.err.splitlines()[-1]
    ascii_only = {**AGENT, "PYTHONIOENCODING": "ascii"}
    assert "ok   strategy.md" in repo.run("advance", "T-1", "--dry-run", env=ascii_only, check=0).err


def test_backtrack_and_evidence(repo: Repo) -> None:
    path = repo.write_strategy()
    added = repo.run("evidence", "add", "T-1", str(path), "--json", check=0).shaped("evidence add")
    assert [item["origin"] for item in added["evidence"]] == ["asserted"]
    repo.run("advance", "T-1", check=0)
    listed = repo.run("evidence", "list", "T-1", "--json", check=0).shaped("evidence list")["evidence"]
    assert [(item["phase"], item["name"]) for item in listed] == [("STRATEGIZE", "strategy.md")]
    shown = repo.run("evidence", "show", "T-1", "strategy.md", "--json", check=0).shaped("evidence show")["evidence"][0]
    assert (shown["content"], shown["encoding"]) == (path.read_text(), "utf-8")
    assert repo.run("evidence", "show", "T-1", "strategy.md", check=0).out == path.read_text()
    sealed = path.read_text()
    path.write_text("edited")
    exported = repo.run("evidence", "export", "T-1", "--json", check=0).shaped("evidence export")["files"]
    assert exported == [{"path": str(path), "sha256": listed[0]["sha256"]}]
    assert path.read_text() == sealed
    back = repo.run("backtrack", "T-1", "--to", "STRATEGIZE", "--reason", "wrong problem", "--json", check=0)
    assert back.shaped("backtrack")["task"]["epoch"] == 1
    assert repo.run("evidence", "list", "T-1", "--json", check=0).json["evidence"] == []
    assert repo.run("backtrack", "T-1", "--to", "SPEC", "--reason", "x", "--json").codes == ["not_a_backtrack"]


def test_evidence_of_an_engine_made_kind_or_of_no_contract_is_refused(repo: Repo) -> None:
    assert repo.quick("evidence", "add", "T-1", "README.md", "--json").codes == ["malformed_artifact_name"]
    assert repo.quick("evidence", "add", "T-1", "README.md", "--as", "notes.md", "--json").codes == ["unknown_artifact"]
    assert repo.quick("evidence", "add", "T-1", "nowhere.md", "--as", "strategy.md", "--json").codes == [
        "artifact_missing"
    ]


def test_verify_answers_as_the_move_would(repo: Repo) -> None:
    refused = repo.quick("verify", "T-1", "--json")
    assert refused.codes == ["artifact_missing"]
    log = repo.quick("ledger", "log", "--json", check=0).json["records"]
    assert [line["kind"] for line in log if line["seq"] == refused.json["error"]["seq"]] == ["gate.verdict"]
    repo.write_strategy()
    shown = repo.quick("verify", "T-1", "--json", check=0).shaped("verify")
    assert shown["verdict"] == "pass"
    assert shown["seq"] > refused.json["error"]["seq"]


def test_leases(repo: Repo) -> None:
    shown = repo.quick("lease", "acquire", "T-1", "--json", check=0).shaped("lease acquire")
    assert (shown["resource"], shown["fence"]) == ("T-1/STRATEGIZE", 1)
    assert 110 <= shown["expires_in_seconds"] <= 120
    for words in (("advance", "T-1"), ("lease", "acquire", "T-1"), ("lease", "release", "T-1"), ("verify", "T-1")):
        result = repo.quick(*words, "--json", env=OTHER)
        assert result.code == 5, words
    held = repo.quick("lease", "show", "T-1", "--json", env=OTHER, check=0).shaped("lease show")
    assert set(held["lease"]) == LEASE_KEYS
    assert held["lease"]["actor"] == "agent-7"
    token = {**AGENT, "AUTOPILOT_LEASE": f"1:{shown['token']}"}
    wrong = {**AGENT, "AUTOPILOT_LEASE": "1:" + "0" * 32}
    assert repo.quick("lease", "release", "T-1", "--json", env=wrong).codes == ["lease_token_mismatch"]
    repo.quick("lease", "release", "T-1", "--json", env=token, check=0).shaped("lease release")
    assert repo.quick("lease", "show", "T-1", "--json", check=0).json["lease"] is None
    assert repo.quick("lease", "renew", "T-1", "--json").code == 5


def test_force_shows_what_it_takes_and_is_a_persons(repo: Repo) -> None:
    repo.quick("lease", "acquire", "T-1", check=0)
    assert repo.quick("lease", "force", "T-1", "--reason", "mine", "--json").codes == ["human_only"]
    assert repo.person("lease", "force", "T-1", "--reason", " ", "--json").codes == ["reason_missing"]
    forced = repo.person("lease", "force", "T-1", "--reason", "agent hangs", "--json", check=0)
    assert forced.shaped("lease force")["taken"]["actor"] == "agent-7"
    assert "from agent-7" in forced.err
    stale = {**AGENT, "AUTOPILOT_LEASE": "1:" + "0" * 32}
    assert repo.quick("advance", "T-1", "--json", env=stale).codes == ["stale_fence"]


def test_the_ends_of_a_task_are_a_persons(repo: Repo) -> None:
    for words in (("task", "close", "T-1", "--abandon", "--reason", "x"), ("task", "resume", "T-1", "--reason", "x")):
        assert repo.quick(*words, "--json").codes == ["human_only"]
    assert repo.person("task", "resume", "T-1", "--json").codes == ["reason_missing"]
    assert repo.person("task", "resume", "T-1", "--reason", "x", "--json").codes == ["not_held"]
    assert repo.person("task", "close", "T-1", "--reason", "x", "--json").codes == ["bad_usage"]
    ended = repo.person("task", "close", "T-1", "--abandon", "--reason", "not needed", "--json", check=0)
    assert ended.shaped("task close --abandon")["task"]["phase"] == "ABANDONED"
    assert repo.quick("advance", "T-1", "--json").codes == ["task_closed"]


def test_a_held_task_waits_for_a_person(repo: Repo) -> None:
    for _ in range(3):
        repo.run("advance", "T-1", "--to", "VERIFY")
    held = repo.run("advance", "T-1", "--json")
    assert (held.code, held.codes) == (4, ["task_held"])
    task = repo.run("task", "show", "T-1", "--json", check=0).json["task"]
    assert task["held"]["code"] == "task_held"
    assert task["waiting_on"] == [task["held"]]
    assert "waits:" in repo.run("status", check=0).out
    resumed = repo.person("task", "resume", "T-1", "--reason", "looked at", "--json", check=0)
    assert resumed.shaped("task resume")["task"]["held"] is None


# Every mutating command that can be called in STRATEGIZE, with what it would answer.
DRY = [
    ("task", "open", "T-5", "--title", "Fifth"),
    ("task", "close", "T-1"),
    ("task", "close", "T-1", "--abandon", "--reason", "x"),
    ("task", "resume", "T-1", "--reason", "x"),
    ("advance", "T-1"),
    ("advance", "T-1", "--to", "PR"),
    ("backtrack", "T-1", "--to", "STRATEGIZE", "--reason", "x"),
    ("verify", "T-1"),
    ("next", "T-1", "--write"),
    ("evidence", "add", "T-1", "state/evidence/T-1/strategize/strategy.md"),
    ("evidence", "export", "T-1"),
    ("lease", "acquire", "T-1"),
    ("lease", "renew", "T-1"),
    ("lease", "release", "T-1"),
    ("lease", "force", "T-1", "--reason", "x"),
    ("attest", "check", "T-1", "--prompt", "README.md"),
    ("attest", "baseline", "T-1", "--prompt", "README.md", "--reason", "x"),
    ("guard", "check", "--tool", "Edit", "--input", '{"file_path": "shop/pricing.py"}', "--task", "T-1"),
    ("flags", "set", "watchdog", "off", "--reason", "x"),
    ("watch", "--once"),
    ("ledger", "repair", "--reason", "x"),
    ("init",),
]


@pytest.mark.parametrize(("environment", "typed"), [(AGENT, None), (PERSON, None), (PERSON, "y")])
def test_a_dry_run_changes_nothing_and_exits_as_the_real_call(
    repo: Repo, environment: dict[str, str], typed: str | None
) -> None:
    repo.write_strategy()
    before = repo.files()
    dry: dict[tuple[str, ...], int] = {}
    for words in DRY:
        result = repo.quick(*words, "--dry-run", "--json", env=environment, typed=typed)
        dry[words] = result.code
        assert repo.files() == before, words
        shown = result.json
        assert "error" not in shown or shown["error"]["seq"] is None, words
    # Real calls that only refuse leave the phase as it was, so that all of them can be held against one dry run.
    for words in DRY:
        if dry[words] != 0:
            assert repo.quick(*words, "--json", env=environment, typed=typed).code == dry[words], words
