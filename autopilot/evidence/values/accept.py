"""accept_base.json, accept_results.json: each accept block of spec.md, as it ran on base tree and judged tree."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from autopilot.evidence.spec import AcceptBlock
from autopilot.evidence.values.records import Record, Value
from autopilot.evidence.values.runs import CommandRun


class AcceptRun(Value):
    """One block with its run. Criterion, argv, base and timeout repeat the sealed block, so that a swap is seen."""

    criterion: Annotated[str, Field(pattern=r"^AC-[1-9][0-9]{0,3}$")]
    argv: Annotated[tuple[str, ...], Field(min_length=1, max_length=64)]
    base: Literal["fail", "pass"]
    timeout_seconds: Annotated[int, Field(ge=1, le=3_600)]
    run: CommandRun

    def block(self) -> tuple[str, tuple[str, ...], str, int]:
        """What identifies the block that was run."""
        return self.criterion, self.argv, self.base, self.timeout_seconds


class AcceptEvidence(Record):
    """The blocks in the order of spec.md."""

    blocks: Annotated[tuple[AcceptRun, ...], Field(max_length=100)] = ()


class AcceptBase(AcceptEvidence):
    """accept_base.json: run on the base tree when PLAN is left."""

    artifact = "accept_base.json"


class AcceptResults(AcceptEvidence):
    """accept_results.json: run on the judged tree in VERIFY."""

    artifact = "accept_results.json"


def identity(block: AcceptBlock) -> tuple[str, tuple[str, ...], str, int]:
    """What identifies a block of a spec, comparable with `AcceptRun.block`."""
    return block.id, block.argv, block.base, block.timeout_seconds
