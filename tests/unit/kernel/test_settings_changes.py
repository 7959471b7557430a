"""What a change means: stricter at once, looser inert. The cheat here is a file edited to be judged less."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autopilot.kernel.configuration import Settings
from autopilot.kernel.settings import parse_settings
from autopilot.kernel.settings_changes import commands_diff, direction, effective, semantic_digest

ADA = "ada+2bbde9ae+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
TEST = '[commands.test]\nargv = ["python", "-m", "pytest", "--junitxml={report}"]\n'

# (key, strict, loose) as lines of the file; the empty line is the default.
LADDERS = [
    ("thresholds.coverage_percent", "thresholds.coverage_percent = 71", ""),
    ("thresholds.lint_score", "thresholds.lint_score = 100", ""),
    ("thresholds.rubric_score", "", "thresholds.rubric_score = 0"),
    ("sandbox.isolation", 'sandbox.isolation = "bwrap"', ""),
    ("sandbox.isolation", "", 'sandbox.isolation = "none"'),
    ("sandbox.memory_mb", "", "sandbox.memory_mb = 5000"),
    ("sandbox.output_cap_kb", "", "sandbox.output_cap_kb = 5000"),
    ("sandbox.readonly", "", 'sandbox.readonly = ["/etc"]'),
    ("lease.ttl_seconds", "lease.ttl_seconds = 60", ""),
    ("lease.renew_min_interval_seconds", "", "lease.renew_min_interval_seconds = 0"),
    ("lease.max_hold_seconds", "lease.max_hold_seconds = 3600", ""),
    ("lease.max_hold_seconds", "lease.max_hold_seconds = 60", "lease.max_hold_seconds = 3600"),
    ("attestation.VERIFY", "", 'attestation.verify = "warn"'),
    ("attestation.PLAN", 'attestation.plan = "error"', ""),
    ("guard.network_hosts", "", 'guard.network_hosts = ["a.b"]'),
    ("guard.deny", 'guard.deny = ["network"]', ""),
    ("guard.scratch", "", 'guard.scratch = ["/tmp/x"]'),
    ("flags.evidence_gate", 'flags.evidence_gate = "enforce"', 'flags.evidence_gate = "observe"'),
    ("flags.evidence_gate", 'flags.evidence_gate = "observe"', 'flags.evidence_gate = "off"'),
    ("watchdog.violations", "", "watchdog.violations = 4"),
    ("watchdog.minutes", "watchdog.minutes = 30", ""),
    ("pins.extra", 'pins.extra = ["Makefile"]', ""),
    ("approvals.approvers", "", f"approvals.approvers = {[ADA]}"),
    ("approvals.signed", f'approvals = {{signed = "required", approvers = {[ADA]}}}', f"approvals.approvers = {[ADA]}"),
]


def settings(text: str) -> Settings:
    return parse_settings(text.encode(), {})


@pytest.mark.parametrize(("key", "strict", "loose"), LADDERS)
def test_each_key_knows_its_stricter_side(key: str, strict: str, loose: str) -> None:
    stricter, looser = settings(strict), settings(loose)
    assert direction(stricter, looser).loosened == (key,)
    assert direction(stricter, looser).needs_approval
    assert direction(looser, stricter).tightened == (key,)
    assert not direction(looser, stricter).needs_approval
    # A loosening is inert, a tightening holds at once.
    assert effective(stricter, looser).as_dict() == stricter.as_dict()
    assert effective(looser, stricter).as_dict() == stricter.as_dict()


def test_every_sealed_key_is_ranked_or_known_to_have_no_rank() -> None:
    """A new key must take its place in the ladders above, or be named here."""
    flat = {
        f"{section}.{name}"
        for section, content in Settings().as_dict().items()
        if isinstance(content, dict)
        for name in content
    }
    ranked = {key for key, _, _ in LADDERS} | {key for key in flat if key.startswith("attestation.")}
    assert flat - ranked == {"guard.tools"}


@pytest.mark.parametrize(
    ("was", "now", "key"),
    [
        (TEST, TEST.replace("pytest", "true"), "commands.test"),
        (TEST, TEST + "timeout_seconds = 601\n", "commands.test"),
        (TEST, TEST + 'env = {PYTHONPATH = "evil"}\n', "commands.test"),
        (TEST, "", "commands.test"),
        ("", 'python = "/tmp/python"', "python"),
        ("", '[[guard.tools]]\nserver = "s"\ntool = "t"\ncapability = "read"', "guard.tools"),
    ],
)
def test_what_has_no_order_is_changed_and_inert(was: str, now: str, key: str) -> None:
    found = direction(settings(was), settings(now))
    assert (found.tightened, found.loosened, found.changed) == ((), (), (key,))
    assert found.needs_approval
    assert effective(settings(was), settings(now)).as_dict() == settings(was).as_dict()


def test_a_list_that_gains_and_loses_is_both_and_only_the_loss_holds() -> None:
    was, now = settings('guard.network_hosts = ["a", "b"]'), settings('guard.network_hosts = ["b", "c"]')
    found = direction(was, now)
    assert found.tightened == found.loosened == ("guard.network_hosts",)
    assert effective(was, now).guard.network_hosts == ("b",)
    forbid_was, forbid_now = settings('pins.extra = ["a", "b"]'), settings('pins.extra = ["b", "c"]')
    assert effective(forbid_was, forbid_now).pins.extra == ("a", "b", "c")


def test_mixed_change_takes_the_tightening_only() -> None:
    was = settings(TEST)
    now = settings(TEST.replace("pytest", "true") + "[thresholds]\nlint_score = 99\ncoverage_percent = 0\n")
    held = effective(was, now)
    assert held.commands == was.commands
    assert (held.thresholds.lint_score, held.thresholds.coverage_percent) == (99, 70)


def test_a_flag_that_is_not_set_has_its_default() -> None:
    unset, observing = settings(""), settings('flags.evidence_gate = "observe"')
    assert direction(unset, observing).loosened == ("flags.evidence_gate",)
    assert direction(observing, unset).tightened == ("flags.evidence_gate",)
    assert effective(observing, unset).flags == {}
    assert direction(unset, settings('flags.evidence_gate = "enforce"')) == direction(unset, unset)
    assert not direction(unset, settings('flags.telemetry = "observe"')).needs_approval
    forgotten = replace(unset, flags={"removed_flag": "observe"})
    assert direction(unset, forgotten).loosened == ("flags.removed_flag",)


def test_digest_sees_what_governs_and_nothing_else() -> None:
    base = settings(TEST)
    assert semantic_digest(settings("# remark\n" + TEST.replace(", ", " ,  "))) == semantic_digest(base)
    assert semantic_digest(replace(base, state_dir="x", store="y", ledger_id="0" * 32)) == semantic_digest(base)
    for _, strict, loose in LADDERS:
        assert semantic_digest(settings(strict)) != semantic_digest(settings(loose))


def test_commands_diff_shows_both_sides() -> None:
    was, now = settings(TEST), settings('[commands.lint]\nargv = ["ruff"]\n')
    diff = commands_diff(was, now)
    assert set(diff) == {"lint", "test"}
    assert diff["lint"]["was"] is None
    assert diff["lint"]["now"]["argv"] == ["ruff"]
    assert diff["test"]["now"] is None
    assert commands_diff(was, was) == {}


def test_effective_keeps_the_places_of_the_current_settings() -> None:
    current = replace(settings(TEST), state_dir="x", store="y", ledger_id="0" * 32)
    held = effective(settings(TEST), current)
    assert (held.state_dir, held.store, held.ledger_id) == ("x", "y", "0" * 32)
