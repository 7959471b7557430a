"""Isolation that is demanded is given or refused with the install line; bubblewrap is tried, not looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from autopilot.kernel.errors import ContractError, MissingComponentError
from autopilot.sandbox import choose as module
from autopilot.sandbox.bwrap import BwrapRunner
from autopilot.sandbox.choose import Probe, choose, try_bubblewrap
from autopilot.sandbox.plain import PlainRunner


def without_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "probe", lambda: Probe(None, "bwrap is not installed"))


def fake(folder: Path, body: str) -> str:
    (folder / "bwrap").write_text(f"#!/bin/sh\n{body}\n")
    (folder / "bwrap").chmod(0o755)
    return str(folder)


def test_the_best_there_is(bwrap: BwrapRunner) -> None:
    assert choose("none").name == "bwrap"
    assert choose("bwrap").name == "bwrap"


def test_no_silent_downgrade(monkeypatch: pytest.MonkeyPatch) -> None:
    without_bubblewrap(monkeypatch)
    assert isinstance(choose("none"), PlainRunner)
    with pytest.raises(MissingComponentError) as caught:
        choose("bwrap")
    assert caught.value.code == "isolation_missing"
    assert "apt-get install bubblewrap" in caught.value.remedy()
    assert caught.value.reasons()[0].standing.exit_code == 6


def test_an_unknown_demand_is_refused() -> None:
    with pytest.raises(ContractError):
        choose("docker")


def test_one_that_is_not_there(tmp_path: Path) -> None:
    assert try_bubblewrap(str(tmp_path)).bubblewrap is None


REPORTS_A_FAILURE = """case "$1" in --version) echo bubblewrap 9.9;; --help) echo --size;; *)
while [ "$1" != --json-status-fd ]; do shift; done; echo '{ "exit-code": 1 }' > /proc/self/fd/$2; exit 1;; esac"""


@pytest.mark.parametrize(
    "body",
    [
        'case "$1" in --version) echo bubblewrap 9.9;; --help) echo --size;; *) echo no namespaces >&2; exit 1;; esac',
        'case "$1" in --version) echo bubblewrap 9.9;; --help) echo --size;; *) exit 0;; esac',
        "exit 1",
        REPORTS_A_FAILURE,
    ],
)
def test_one_that_only_claims_to_work(tmp_path: Path, body: str) -> None:
    assert try_bubblewrap(fake(tmp_path, body)).bubblewrap is None


def test_the_callers_path_is_not_asked(bwrap: BwrapRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marker = tmp_path / "ran"
    monkeypatch.setenv("PATH", fake(tmp_path, f"touch {marker}"))
    module.probe.cache_clear()
    found = module.probe()
    assert found.bubblewrap is not None
    assert found.bubblewrap.path.parent != tmp_path
    assert not marker.exists()
