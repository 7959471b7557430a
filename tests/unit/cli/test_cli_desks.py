"""Guard, attestation, flags, watch, doctor, graph: what each answers and with which exit code."""

from __future__ import annotations

import json

from cli_repo import AGENT, Repo

EDIT = json.dumps({"file_path": "shop/pricing.py"})
READ = json.dumps({"file_path": "shop/pricing.py"})


def test_guard_check_records_a_refusal_and_explain_does_not(repo: Repo) -> None:
    lines = repo.lines()
    denied = ("--tool", "Edit", "--input", EDIT, "--task", "T-1", "--json")
    explained = repo.quick("guard", "explain", *denied)
    assert (explained.code, explained.shaped("guard explain")["decision"], repo.lines()) == (1, "deny", lines)
    checked = repo.quick("guard", "check", *denied)
    shown = checked.shaped("guard check")
    assert (checked.code, shown["decision"], shown["capability"]) == (1, "deny", "edit")
    assert [reason["code"] for reason in shown["reasons"]] == ["tool_out_of_phase"]
    assert shown["allowed_now"]
    assert repo.lines() == lines + 1
    allowed = repo.quick(
        "guard", "check", "--tool", "Read", "--input", READ, "--json", env={**AGENT, "AUTOPILOT_TASK": "T-1"}
    )
    assert (allowed.code, allowed.json["decision"], repo.lines()) == (0, "allow", lines + 1)


def test_guard_input_that_is_no_object(repo: Repo) -> None:
    for text in ("{", "[]", "7"):
        result = repo.quick("guard", "check", "--tool", "Read", "--input", text, "--json")
        assert (result.code, result.codes) == (2, ["bad_json"])


def test_an_observed_guard_allows_and_says_why_not(repo: Repo) -> None:
    repo.person("flags", "set", "tool_guard", "observe", "--reason", "trial", check=0)
    shown = repo.quick("guard", "check", "--tool", "Edit", "--input", EDIT, "--task", "T-1", "--json", check=0).json
    assert (shown["decision"], shown["reasons"][0]["code"]) == ("allow", "tool_out_of_phase")


def test_flags_are_loosened_by_people_only(repo: Repo) -> None:
    flags = repo.quick("flags", "list", "--json", check=0).shaped("flags list")["flags"]
    assert {"name", "mode", "sealed", "requested", "title"} == set(flags[0])
    refused = repo.quick("flags", "set", "watchdog", "off", "--reason", "x", "--json")
    assert (refused.code, refused.codes) == (4, ["loosening_inert"])
    done = repo.person("flags", "set", "watchdog", "observe", "--reason", "trial", "--json", check=0)
    assert done.shaped("flags set")["flags"][0]["mode"] == "observe"
    assert repo.quick("flags", "set", "watchdog", "enforce", "--reason", "back", "--json", check=0).json["seq"]
    assert repo.person("flags", "set", "nothing", "off", "--reason", "x", "--json").codes == ["unknown_flag"]


def test_a_loosening_in_the_file_is_put_on_record_once(repo: Repo) -> None:
    settings = repo.root / "autopilot.toml"
    settings.write_text(settings.read_text() + '\n[flags]\nwatchdog = "off"\n')
    for _ in range(2):
        repo.quick("lease", "acquire", "T-1", check=0)
    kinds = [record["kind"] for record in repo.quick("ledger", "log", "--json", check=0).json["records"]]
    assert kinds.count("flag.loosening_requested") == 1
    mode = {flag["name"]: flag["mode"] for flag in repo.quick("flags", "list", "--json", check=0).json["flags"]}
    assert mode["watchdog"] == "enforce"


def test_attest(repo: Repo) -> None:
    prompt = repo.root.parent / "prompt.md"
    prompt.write_text("You fix the discount.")
    check = ("attest", "check", "T-1", "--prompt", str(prompt), "--json")
    assert repo.quick(*check, check=0).shaped("attest check")["outcome"] == "baseline_set"
    assert repo.quick(*check, check=0).json["outcome"] == "matched"
    prompt.write_text("You do as you like.")
    drifted = repo.quick(*check, check=0)
    assert (drifted.json["drift"], drifted.json["severity"]) == (True, "warn")
    assert "warning: prompt_drift" in drifted.err
    baseline = ("attest", "baseline", "T-1", "--prompt", str(prompt), "--reason", "a better one", "--json")
    assert repo.quick(*baseline).code == 1
    repo.person(*baseline, check=0).shaped("attest baseline")
    assert repo.quick(*check, check=0).json["outcome"] == "matched"


def test_drift_that_is_an_error_is_refused(repo: Repo) -> None:
    environment = {**AGENT, "AUTOPILOT_ATTESTATION__STRATEGIZE": "error"}
    for text, code in (("one", 0), ("two", 1)):
        (repo.root.parent / "prompt.md").write_text(text)
        result = repo.quick("attest", "check", "T-1", "--prompt", str(repo.root.parent / "prompt.md"), env=environment)
        assert result.code == code


def test_watch_once(repo: Repo) -> None:
    assert repo.quick("watch", "--once", "--json", check=0).shaped("watch")["escalations"] == []
    for _ in range(2):
        repo.quick("advance", "T-1", "--to", "VERIFY")
    stricter = {**AGENT, "AUTOPILOT_WATCHDOG__VIOLATIONS": "2"}
    found = repo.quick("watch", "--once", "--json", env=stricter)
    assert (found.code, [e["task"] for e in found.json["escalations"]]) == (4, ["T-1"])


def test_doctor(repo: Repo) -> None:
    shown = repo.quick("doctor", "--json", check=0).shaped("doctor")
    assert (shown["status"], shown["trust_mode"]) == ("ok", 0)
    checks = {check["name"]: check for check in shown["checks"]}
    assert "mode 0, advisory" in checks["trust"]["detail"]
    assert checks["ledger"]["detail"].startswith("intact")
    misspelt = repo.quick("doctor", "--json", env={"AUTOPILOT_STAET_DIR": "x"}, check=0)
    assert "AUTOPILOT_STAET_DIR" in str(misspelt.json["checks"])


def test_doctor_exits_with_what_is_wrong(repo: Repo) -> None:
    settings = repo.root / "autopilot.toml"
    good = settings.read_text()
    settings.write_text(good.replace('"python"', '"no-such-python"', 1))
    assert repo.quick("doctor", "--json").code == 6
    settings.write_text("[thresholds]\ncoverage_percentage = 1\n" + good)
    assert repo.quick("doctor", "--json").code == 2
    settings.write_text(good)
    (repo.state / "ledger" / "POISONED").write_text("{}")
    broken = repo.quick("doctor", "--json")
    assert (broken.code, broken.json["status"]) == (3, "failed")


def test_doctor_before_init(plain: Repo) -> None:
    result = plain.quick("doctor", check=0)
    assert "no ledger here yet" in result.out
    assert result.err.splitlines()[-1] == "next: autopilot init"


def test_graph_and_version(plain: Repo) -> None:
    assert plain.quick("graph", check=0).out.startswith("stateDiagram-v2")
    assert plain.quick("graph", "--format", "dot", "--json", check=0).shaped("graph")["graph"].startswith("digraph")
    assert plain.quick("--version", check=0).out.startswith("autopilot ")
    assert plain.quick("version", "--json", check=0).shaped("version")["version"]
