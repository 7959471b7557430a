"""A stored object has its shape or is refused."""

from __future__ import annotations

import pytest

from autopilot.kernel.shapes import INTEGER, NOTHING, OBJECT, TEXT, Shape, exact_fields

SHAPE: Shape = {"n": INTEGER, "t": TEXT, "o": OBJECT + NOTHING}
GOOD = {"n": 0, "t": "", "o": None}


def test_object_of_the_shape_is_copied() -> None:
    found = exact_fields(GOOD, SHAPE)
    assert found == GOOD
    assert found is not GOOD


@pytest.mark.parametrize(
    "stored",
    [
        None,
        [],
        "n",
        {},
        {**GOOD, "surplus": 1},
        {"n": 0, "t": ""},
        {**GOOD, "n": -1},
        {**GOOD, "n": True},
        {**GOOD, "n": 1.0},
        {**GOOD, "n": None},
        {**GOOD, "t": 1},
        {**GOOD, "o": []},
    ],
)
def test_anything_else_is_refused(stored: object) -> None:
    with pytest.raises(ValueError, match=r"cannot be|does not have the keys"):
        exact_fields(stored, SHAPE)
