"""A spec that could run the wrong program, or without end, cannot be made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autopilot.kernel.errors import ContractError
from autopilot.sandbox.run import CommandSpec, Limits


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"argv": ()}, "argv"),
        ({"argv": ("pytest",)}, "argv"),
        ({"argv": ("./pytest",)}, "argv"),
        ({"argv": ("/bin/sh", "a\0b")}, "argv"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"output_cap_bytes": 0}, "output_cap_bytes"),
        ({"cwd": Path("relative")}, "relative"),
        ({"writable": (Path("/a/../b"),)}, "/a/../b"),
        ({"writable": (Path("/a"),), "readonly": (Path("/a"),)}, "/a"),
    ],
)
def test_a_spec_is_refused(changes: dict[str, Any], where: str) -> None:
    settings: dict[str, Any] = {"argv": ("/bin/true",), "cwd": Path("/usr"), "timeout_seconds": 1, **changes}
    with pytest.raises(ContractError) as caught:
        CommandSpec(**settings)
    assert (caught.value.code, caught.value.where) == ("bad_config", where)


def test_a_negative_limit_is_refused() -> None:
    with pytest.raises(ContractError):
        Limits(memory_bytes=-1)
