"""The environment is made from nothing, and a command cannot set what decides which code runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from autopilot.kernel.errors import ContractError
from autopilot.sandbox.environment import Places, command_environment, index_environment

PLACES = Places((Path("/usr/bin"), Path("/bin")), Path("/h"), Path("/t"))


def test_the_fixed_part() -> None:
    assert command_environment({}, PLACES) == {
        "PATH": "/usr/bin:/bin",
        "HOME": "/h",
        "TMPDIR": "/t",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONNOUSERSITE": "1",
        "PYTHONSAFEPATH": "1",
    }


def test_the_command_adds_its_own() -> None:
    assert command_environment({"PYTHONPATH": "src", "TZ": "Asia/Tokyo"}, PLACES)["TZ"] == "Asia/Tokyo"


@pytest.mark.parametrize(
    "name", ["PATH", "HOME", "TMPDIR", "LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH", "PYTHONHOME", "", "A=B", "A\0"]
)
def test_what_a_command_may_not_set(name: str) -> None:
    with pytest.raises(ContractError) as caught:
        command_environment({name: "x"}, PLACES)
    assert caught.value.code == "bad_config"


def test_setup_sees_the_index_settings_and_nothing_else() -> None:
    caller = {
        "PIP_INDEX_URL": "u",
        "https_proxy": "p",
        "AWS_SECRET_ACCESS_KEY": "k",
        "PIP_TARGET": "t",
        "HOME": "/root",
    }
    assert index_environment(caller) == {"PIP_INDEX_URL": "u", "https_proxy": "p"}
