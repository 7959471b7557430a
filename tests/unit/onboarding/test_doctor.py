"""Doctor's checks over made-up machines: what is wrong is said, with what to do about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autopilot.onboarding.doctor import (
    NETWORK_FILESYSTEMS,
    Check,
    MachineFacts,
    diagnose,
    filesystem_type,
    healthy,
    parse_git_version,
)

GOOD = MachineFacts(
    python_version=(3, 11, 7),
    git_version="git version 2.39.5",
    isolation_works=True,
    state_dir="/r/state",
    state_filesystem="ext4",
    otel_exporter="files in state/telemetry",
    ledger_status="intact",
    ledger_entries=12,
    commands_configured=("build", "test", "coverage", "lint", "ci", "smoke"),
)


def check(facts: MachineFacts, name: str) -> Check:
    return next(found for found in diagnose(facts) if found.name == name)


def test_a_good_machine_is_healthy_and_its_trust_mode_is_stated() -> None:
    checks = diagnose(GOOD)
    assert all(found.ok and not found.remedy for found in checks)
    assert healthy(checks)
    assert check(GOOD, "trust").detail.startswith("mode 0, advisory")
    assert check(GOOD, "trust").as_dict()["name"] == "trust"


@pytest.mark.parametrize(
    ("change", "name", "required"),
    [
        ({"python_version": (3, 10, 12)}, "python", True),
        ({"git_version": ""}, "git", True),
        ({"git_version": "git version 2.31.9"}, "git", True),
        ({"state_filesystem": "nfs4"}, "filesystem", True),
        ({"state_writable": False}, "filesystem", True),
        ({"state_filesystem": "tmpfs"}, "filesystem", False),
        ({"isolation_works": False, "isolation_error": "EPERM"}, "isolation", False),
        ({"isolation_works": False, "isolation_wanted": "bwrap"}, "isolation", True),
        ({"config_error": "autopilot.toml:3: x"}, "configuration", True),
        ({"programs_missing": ("make",)}, "commands", True),
        ({"commands_configured": ("test",)}, "commands", False),
        ({"unknown_variables": ("AUTOPILOT_STAT_DIR",)}, "variables", False),
        ({"nested_repositories": ("vendor/lib",)}, "nested", True),
        ({"line_end_conversion": "core.autocrlf=true in /r/.git/config"}, "line ends", False),
        ({"ledger_status": ""}, "ledger", False),
        ({"ledger_status": "corrupt", "ledger_reason": "bad_hash"}, "ledger", True),
        ({"otel_exporter": ""}, "telemetry", False),
    ],
)
def test_each_fault_is_named_with_a_remedy(change: dict[str, object], name: str, required: bool) -> None:
    facts = replace(GOOD, **change)  # type: ignore[arg-type]
    found = check(facts, name)
    assert not found.ok
    assert found.remedy
    assert healthy(diagnose(facts)) is not required
    assert [other.name for other in diagnose(facts) if not other.ok] == [name]


def test_every_network_filesystem_is_refused() -> None:
    for kind in NETWORK_FILESYSTEMS:
        assert not healthy(diagnose(replace(GOOD, state_filesystem=kind)))


def test_an_unknown_trust_mode_is_not_vouched_for() -> None:
    assert not check(replace(GOOD, trust_mode=7), "trust").ok


MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /home rw - ext4 /dev/sdb rw
31 30 0:41 / /home/me/with\\040blank rw - nfs4 host:/x rw
32 22 0:42 / /hom rw master:2 - tmpfs none rw
33 30 0:43 / /home rw - fuse.sshfs host: rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/x", "ext4"),
        ("/home/you", "fuse.sshfs"),
        ("/home/me/with blank/state", "nfs4"),
        ("/hom", "tmpfs"),
        ("/homely", "ext4"),
    ],
)
def test_the_innermost_and_latest_mount_holds_a_path(path: str, kind: str) -> None:
    assert filesystem_type(MOUNTS, path) == kind


def test_no_mounts_means_unknown() -> None:
    assert filesystem_type("", "/x") == ""


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("git version 2.39.5", (2, 39)),
        ("git version 2.50.1 (Apple Git-155)", (2, 50)),
        ("2.32", (2, 32)),
        ("git", None),
    ],
)
def test_git_versions(text: str, version: tuple[int, int] | None) -> None:
    assert parse_git_version(text) == version
