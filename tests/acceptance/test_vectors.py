"""Every public vector gives the published answer, and none is left out."""

from __future__ import annotations

import pytest
from vectors_table import VECTORS


@pytest.mark.parametrize("name", VECTORS)
def test_all_there_are_hold(name: str) -> None:
    expected, check = VECTORS[name]
    assert [bool(answer) for answer in check()] == [True] * expected
