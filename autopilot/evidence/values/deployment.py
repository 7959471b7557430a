"""deployment_status.json as a value: what became of the change after the PR."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationError

from autopilot.evidence.strict_json import read_json
from autopilot.evidence.validation import first_error
from autopilot.evidence.values.records import Value

NAME = "deployment_status.json"
MAX_BYTES = 64 * 1024

DeploymentState = Literal["deployed", "released", "merged", "not_applicable", "failed", "rolled_back"]


class DeploymentStatus(Value):
    """deployment_status.json. `not_applicable` is an answer (a library, a local branch); the note says why."""

    model_config = ConfigDict(title=NAME)

    status: DeploymentState
    environment: Annotated[str, Field(min_length=1, max_length=200, description="where: production, PyPI, none")]
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}(?:[0-9a-f]{24})?$", description="the commit that PR named")]
    note: Annotated[str, Field(min_length=1, max_length=4_000)]


def parse_deployment(data: bytes) -> DeploymentStatus:
    """The status in `data`; ContractError where it does not fit its schema."""
    value: Any = read_json(data, name=NAME, cap=MAX_BYTES)
    try:
        return DeploymentStatus.model_validate(value)
    except ValidationError as error:
        raise first_error(NAME, error) from None
