"""Reading autopilot.toml: what is accepted, what is refused and how the refusal names the place."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from autopilot.kernel import settings_schema
from autopilot.kernel.configuration import Location, Settings, ToolRegistration, read_location, restore_settings
from autopilot.kernel.errors import ContractError
from autopilot.kernel.phases import PHASES, Phase
from autopilot.kernel.settings import environment_names, load_settings, parse_settings, unknown_variables

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "configuration.md"
TEST = b'[commands.test]\nargv = ["python", "-m", "pytest", "--junitxml={report}"]\n'


def example() -> bytes:
    """The full example of the reference page."""
    blocks = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert len(blocks) == 1
    return blocks[0].encode()


def refusal(data: bytes, environ: dict[str, str] | None = None) -> tuple[str, str]:
    with pytest.raises(ContractError) as caught:
        parse_settings(data, environ or {})
    assert caught.value.code == "bad_config"
    assert caught.value.remedy()
    return caught.value.where, caught.value.detail


def test_nothing_written_means_the_defaults() -> None:
    assert parse_settings(b"", {}) == Settings()
    assert Settings().severity(Phase.VERIFY) == "error"
    assert Settings().severity(Phase.PLAN) == "warn"


def test_full_example_of_the_reference_loads_and_shows_every_key() -> None:
    settings = parse_settings(example(), {})
    assert settings.commands["test"].report == "junit"
    assert settings.commands["coverage"].vectors[1][:4] == ("python", "-m", "coverage", "json")
    assert settings.guard.tools == (
        ToolRegistration(server="files", tool="write_file", capability="edit", paths=("path",)),
    )
    content = tomllib.loads(example().decode())
    for name, field in settings_schema.Document.model_fields.items():
        assert name in content, f"the example lacks {name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            assert set(content[name]) == set(field.annotation.model_fields), name
    assert {key for command in content["commands"].values() for key in command} == set(
        settings_schema.CommandModel.model_fields
    )


def test_reference_names_every_key_default_and_variable() -> None:
    text = DOCUMENT.read_text()
    for section, field in settings_schema.Document.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            for key, inner in field.annotation.model_fields.items():
                default = f'"{inner.default}"' if isinstance(inner.default, str) else str(inner.default)
                assert f"| `{section}.{key}` | `{default}` |" in text
    for name in environment_names():
        assert f"`{name}`" in text


@pytest.mark.parametrize(
    ("data", "where", "detail"),
    [
        (
            TEST + b"timeuot_seconds = 3\n",
            "autopilot.toml:3: commands.test.timeuot_seconds",
            "did you mean 'timeout_seconds'",
        ),
        (b"[threshold]\nlint_score = 3\n", "autopilot.toml:1: threshold", "did you mean 'thresholds'"),
        (b'\n[commands.tets]\nargv = ["x"]\n', "autopilot.toml:2: commands.tets", "did you mean 'test'"),
        (b'[thresholds]\n\ncoverage_percent = "80"\n', "autopilot.toml:3: thresholds.coverage_percent", "'80'"),
        (b"[thresholds]\ncoverage_percent = true\n", "autopilot.toml:2: thresholds.coverage_percent", "True"),
        (b"[thresholds]\ncoverage_percent = 80.0\n", "autopilot.toml:2: thresholds.coverage_percent", "80.0"),
        (b"thresholds.coverage_percent = 101\n", "autopilot.toml:1: thresholds.coverage_percent", "100"),
        (b"[attestation]\nverfy = 'warn'\n", "autopilot.toml:1: attestation", "did you mean 'VERIFY'"),
        (b"[attestation]\nspec = 'warn'\nSPEC = 'warn'\n", "autopilot.toml:1: attestation", "twice"),
        (b"[attestation]\n\nverify = 'off'\n", "autopilot.toml:3: attestation.VERIFY", "'warn' or 'error'"),
        (b'[sandbox]\nisolation = "docker"\n', "autopilot.toml:2: sandbox.isolation", "'bwrap'"),
        (b'[sandbox]\nreadonly = ["../x"]\n', "autopilot.toml:2: sandbox.readonly[0]", "absolute"),
        (b'[approvals]\nsigned = "required"\n', "autopilot.toml:1: approvals", "no approver is named"),
        (b'[approvals]\nsigned = "maybe"\n', "autopilot.toml:2: approvals.signed", "'optional' or 'required'"),
        (b'[approvals]\napprovers = ["ada"]\n', "autopilot.toml:2: approvals.approvers[0]", "verifier key"),
        (
            b'[approvals]\napprovers = ["eve+2bbde9ae+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"]\n',
            "autopilot.toml:2: approvals.approvers[0]",
            "verifier key",
        ),
        (b'[guard]\nnetwork_hosts = ["https://a.b/c"]\n', "autopilot.toml:2: guard.network_hosts[0]", "host name"),
        (b'[guard]\ndeny = ["read"]\n', "autopilot.toml:2: guard.deny[0]", "'search'"),
        (b'[[guard.tools]]\nserver = "s"\ntool = "w"\ncapability = "edit"\n', "autopilot.toml: guard", "paths"),
        (b'[flags]\nleases = "maybe"\n', "autopilot.toml:2: flags.leases", "'observe'"),
        (b'[flags]\nleaces = "off"\n', "autopilot.toml:1: flags", "did you mean 'leases'"),
        (b'[flags]\ntelemetry = "enforce"\n', "autopilot.toml:1: flags", "up to 'observe'"),
        (b'ledger_id = "x"\n', "autopilot.toml:1: ledger_id", "32 hexadecimal"),
        (b'python = ".venv/bin/python"\n', "autopilot.toml:1: python", "absolute"),
        (b"[lease]\nttl_seconds = 5\nrenew_min_interval_seconds = 3\n", "autopilot.toml:1: lease", "half"),
        (b"x = [\n", "autopilot.toml", "not TOML"),
        (b"\xff", "autopilot.toml", "not UTF-8"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(data: bytes, where: str, detail: str) -> None:
    found_where, found_detail = refusal(data)
    assert found_where == where
    assert detail in found_detail


@pytest.mark.parametrize("folder", ["", ".", "./", "..", "a/../b", "~/x", ".git/x", "/"])
def test_state_needs_a_folder_of_its_own(folder: str) -> None:
    assert refusal(f'state_dir = "{folder}"'.encode())[0] == "autopilot.toml:1: state_dir"


@pytest.mark.parametrize(
    ("command", "detail"),
    [
        (b'argv = "python {report}"', "not a shell line"),
        (b"argv = []", "at least 1 item"),
        (b'argv = ["", "{report}"]', "empty"),
        (b'argv = ["python", 3, "{report}"]', "valid string"),
        (b'argv = ["a\\u0000", "{report}"]', "NUL"),
        (b'argv = ["python", "{reprot}"]', "did you mean 'report'"),
        (b'argv = ["python"]', "{report}"),
        (b'argv = ["python", "{report}"]\nreport = "none"', "proves nothing"),
        (b'argv = ["python", "{report}"]\nenv = {A = "{deps}"}', "no commands.setup"),
        (b'argv = ["python", "{report}"]\ntimeout_seconds = 0', "greater than or equal to 1"),
        (b"timeout_seconds = 3", "is not there"),
    ],
)
def test_a_test_command_that_cannot_work_is_refused(command: bytes, detail: str) -> None:
    assert detail in refusal(b"[commands.test]\n" + command)[1]


def test_setup_must_fill_the_folder_for_dependencies() -> None:
    assert "{deps}" in refusal(b'[commands.setup]\nargv = ["pip", "install", "x"]\n')[1]


def test_a_doubled_brace_is_a_brace_and_a_single_one_is_refused() -> None:
    smoke = "[commands.smoke]\nargv = ['python', '-c', 'print(%s)']\n"
    assert parse_settings((smoke % "{{1: 2}}").encode(), {}).commands["smoke"].argv[2] == "print({{1: 2}})"
    for braces in ("{1: 2}", "{}", "{", "}}}"):
        assert "written twice" in refusal((smoke % braces).encode())[1]


def test_a_command_knows_which_placeholders_it_uses() -> None:
    command = parse_settings(example(), {}).commands["coverage"]
    assert command.uses("report")
    assert command.uses("deps")
    assert not command.uses("source")
    assert "{report}" in refusal(b'[commands.test]\nargv = ["x", "{{report}}"]')[1]


def test_setup_is_one_vector() -> None:
    assert "one argument vector" in refusal(b'[commands.setup]\nargv = ["x", "{deps}"]\nthen = [["y"]]\n')[1]


def test_variables_stand_over_the_file() -> None:
    environ = {
        "AUTOPILOT_STATE_DIR": "elsewhere",
        "AUTOPILOT_LEASE__TTL_SECONDS": "60",
        "AUTOPILOT_ATTESTATION__VERIFY": "warn",
        "AUTOPILOT_FLAGS__EVIDENCE_GATE": "observe",
        "AUTOPILOT_GUARD__NETWORK_HOSTS": '["Git.example.org"]',
        "AUTOPILOT_LEASE": "3:token",
        "AUTOPILOT_STORE": "",
        "PATH": "/bin",
    }
    settings = parse_settings(example(), environ)
    assert settings.state_dir == "elsewhere"
    assert (settings.lease.ttl_seconds, settings.lease.renew_min_interval_seconds) == (60, 1)
    assert settings.attestation["VERIFY"] == "warn"
    assert settings.attestation["IMPLEMENT"] == "error"
    assert settings.flags == {"evidence_gate": "observe"}
    assert settings.guard.network_hosts == ("git.example.org",)
    assert settings.guard.deny == ("run_command",)
    assert settings.store == ""


@pytest.mark.parametrize(
    ("name", "value", "where", "detail"),
    [
        ("AUTOPILOT_LEASE__TTL_SECONDS", "soon", "AUTOPILOT_LEASE__TTL_SECONDS", "valid integer"),
        ("AUTOPILOT_LEASE__TTL_SECOND", "6", "AUTOPILOT_LEASE__TTL_SECOND", "did you mean 'ttl_seconds'"),
        ("AUTOPILOT_LEESE__TTL_SECONDS", "6", "AUTOPILOT_LEESE__TTL_SECONDS", "did you mean 'lease'"),
        ("AUTOPILOT_GUARD__NETWORK_HOSTS", "a.b", "environment", "JSON"),
        ("AUTOPILOT_ATTESTATION__VERFY", "warn", "AUTOPILOT_ATTESTATION", "did you mean 'VERIFY'"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(name: str, value: str, where: str, detail: str) -> None:
    found_where, found_detail = refusal(b"", {name: value})
    assert found_where == where
    assert detail in found_detail


@pytest.mark.parametrize(
    "variable", ["AUTOPILOT_COMMANDS__TEST__ARGV", "AUTOPILOT_COMMANDS__TEST__ENV", "AUTOPILOT_LEDGER_ID__X"]
)
def test_commands_cannot_be_slipped_in_through_the_environment(variable: str) -> None:
    assert "from the file only" in refusal(TEST, {variable: '["true"]'})[1]
    # Without the double underscore the variable is not a setting at all.
    assert parse_settings(TEST, {"AUTOPILOT_COMMANDS": "{}", "AUTOPILOT_LEDGER_ID": "0" * 32}).ledger_id == ""


def test_misspelt_variables_are_found() -> None:
    environ = {"AUTOPILOT_STAT_DIR": "x", "AUTOPILOT_TASK": "T-1", "AUTOPILOT_FLAGS__LEASES": "off", "HOME": "/"}
    assert unknown_variables(environ) == ("AUTOPILOT_STAT_DIR",)


def test_file_that_is_missing_large_or_a_folder_is_refused(tmp_path: Path) -> None:
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * (256 * 1024 + 1))
    for path in (tmp_path / "none.toml", tmp_path, large):
        with pytest.raises(ContractError) as caught:
            load_settings(path, {})
        assert caught.value.where == str(path)
    assert load_settings(None, {"AUTOPILOT_STATE_DIR": "x"}).state_dir == "x"
    good = tmp_path / "autopilot.toml"
    good.write_bytes(example())
    assert load_settings(good, {}).watchdog.minutes == 90


def test_sealed_form_restores_and_names_no_place() -> None:
    settings = parse_settings(example(), {"AUTOPILOT_STORE": "postgresql://u:secret@h/d"})
    sealed = settings.as_dict()
    assert "secret" not in repr(sealed)
    assert not {"store", "state_dir", "ledger_id"} & set(sealed)
    assert restore_settings(sealed).as_dict() == sealed
    for wrong in ({**sealed, "new": 1}, {**sealed, "lease": {"ttl": 1}}, {**sealed, "commands": {"test": {}}}):
        with pytest.raises(ContractError, match="bad_config"):
            restore_settings(wrong)


def test_location_is_read_without_pydantic() -> None:
    """Showing the state must start quickly: neither phases nor configuration may pull pydantic in."""
    code = (
        "import sys, autopilot.kernel.phases, autopilot.kernel.configuration as c;"
        "print(c.read_location(b'state_dir = \"s\"', {}), 'pydantic' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert answer.strip() == "Location(state_dir='s', store='', ledger_id='', daemon='') False"


def test_location_agrees_with_the_settings_and_refuses_a_guess() -> None:
    for data, environ in ((example(), {}), (None, {}), (example(), {"AUTOPILOT_STATE_DIR": "x"})):
        settings = parse_settings(data or b"", environ)
        assert read_location(data, environ) == Location(settings.state_dir, settings.store, settings.ledger_id)
    for data in (b"state_dir = 3", b"state_dir = ", b"\xff"):
        with pytest.raises(ContractError, match="bad_config"):
            read_location(data, {})


def test_every_phase_has_a_severity() -> None:
    assert set(Settings().attestation) == {phase.value for phase in PHASES}
