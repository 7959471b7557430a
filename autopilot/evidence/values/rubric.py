"""review_rubric.json as a value: five dimensions, what was read beside the code, who reviewed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from autopilot.evidence.strict_json import read_json
from autopilot.evidence.validation import first_error
from autopilot.evidence.values.records import Value

NAME = "review_rubric.json"
MAX_BYTES = 256 * 1024
DIMENSIONS = ("readability", "maintainability", "performance", "security", "governance")

Note = Annotated[str, Field(min_length=1, max_length=4_000)]


class Dimension(Value):
    """The reviewer's verdict on one dimension."""

    verdict: Literal["pass", "fail"]
    score: Annotated[int, Field(ge=0, le=100)]
    note: Note


class Dimensions(Value):
    """All five, each due."""

    readability: Dimension
    maintainability: Dimension
    performance: Dimension
    security: Dimension
    governance: Dimension

    def named(self) -> tuple[tuple[str, Dimension], ...]:
        """(name, verdict) in the order above."""
        return tuple((name, getattr(self, name)) for name in DIMENSIONS)


class Reviewer(Value):
    """Who reviewed: the actor and session the rubric is handed in under."""

    actor: Annotated[str, Field(min_length=1, max_length=128)]
    session: Annotated[str, Field(min_length=1, max_length=128)]


class ReviewRubric(Value):
    """review_rubric.json."""

    model_config = ConfigDict(title=NAME)

    dimensions: Dimensions
    docs_checked: Annotated[list[Note], Field(min_length=1, max_length=200, description="paths that exist")]
    false_positive_risks: Annotated[list[Note], Field(min_length=1, max_length=50)]
    reviewer: Reviewer


def parse_rubric(data: bytes) -> ReviewRubric:
    """The rubric in `data`; ContractError where it does not fit its schema."""
    value: Any = read_json(data, name=NAME, cap=MAX_BYTES)
    try:
        return ReviewRubric.model_validate(value)
    except ValidationError as error:
        raise first_error(NAME, error) from None
