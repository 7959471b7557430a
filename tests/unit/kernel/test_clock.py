"""A boot is named by the kernel, or not at all: a guessed name would end leases, or let dead ones stand."""

from __future__ import annotations

from pathlib import Path

import pytest

from autopilot.kernel import clock
from autopilot.kernel.clock import SystemClock, read_boot_id
from autopilot.kernel.errors import MissingComponentError

LINUX = "7e46b31a-156c-411e-a80f-32489e4032d7"
MACOS = "9F0C2C4E-0D63-4C0B-9C1E-1B3F5A7D9E11"


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    return tmp_path / "boot_id"


def test_linux_names_it(nowhere: Path) -> None:
    nowhere.write_text(LINUX + "\n")
    assert read_boot_id(nowhere) == LINUX


def test_macos_names_it_through_sysctl(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_from_sysctl", lambda: MACOS)
    assert read_boot_id(nowhere) == MACOS.lower()


@pytest.mark.parametrize("said", ["", "0", "00000000-0000-0000-0000-000000000000", "unknown", LINUX + "x", "\0" * 36])
def test_a_machine_that_does_not_name_its_boot_is_refused(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    nowhere.write_text(said)
    monkeypatch.setattr(clock, "_from_sysctl", lambda: "")
    with pytest.raises(MissingComponentError) as caught:
        read_boot_id(nowhere)
    assert caught.value.code == "boot_unknown"
    assert caught.value.reasons()[0].remedy


def test_without_sysctl_there_is_no_name() -> None:
    assert clock._from_sysctl(b"kern.nothing_of_this_name") == ""


def test_only_who_asks_for_the_boot_needs_one(monkeypatch: pytest.MonkeyPatch, nowhere: Path) -> None:
    monkeypatch.setattr(clock, "read_boot_id", lambda: read_boot_id(nowhere))
    monkeypatch.setattr(clock, "_from_sysctl", lambda: "")
    system = SystemClock()
    assert system.wall().tzinfo is not None
    assert system.boot_ns() > 0
    with pytest.raises(MissingComponentError):
        system.boot_id()
