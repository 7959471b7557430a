"""Common to what the engine writes: bound to task, epoch and tree, written in the one strict form of JSON.

`to_json` and `from_json` are inverse on the byte: a record that was edited, even to an equal value spelled otherwise,
is not read back.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from autopilot.evidence.strict_json import read_json
from autopilot.evidence.validation import first_error
from autopilot.kernel import canonical
from autopilot.kernel.errors import ContractError
from autopilot.kernel.reasons import Reason

MAX_RECORD_BYTES = 32 * 1024 * 1024

Count = Annotated[int, Field(ge=0, lt=2**53)]
Hundredths = Annotated[int, Field(ge=0, le=10_000, description="hundredths: 8050 is 80.50")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
TreeId = Annotated[str, Field(pattern=r"^(?:[0-9a-f]{40}|[0-9a-f]{64})$", description="a git tree id")]
ShortText = Annotated[str, Field(max_length=4_096)]


class Value(BaseModel):
    """A part of a record: frozen, every key known, no conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Record(Value):
    """An engine-written artifact. `artifact` is the file's name."""

    artifact: ClassVar[str]

    format: Literal[1] = Field(default=1, description="the version of this format")
    task: Annotated[str, Field(min_length=1, max_length=64)]
    epoch: Count
    tree: TreeId

    def to_json(self) -> bytes:
        """The bytes of the artifact: the strict form, keys in the order of the fields."""
        return canonical.dumps(self.model_dump(mode="json"))

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """The record in `data`; ContractError if it does not fit, or is not what `to_json` would write."""
        value: Any = read_json(data, name=cls.artifact, cap=MAX_RECORD_BYTES)
        try:
            # From JSON: in strict mode a Python list is no tuple, a JSON array is.
            record = cls.model_validate_json(data)
        except ValidationError as error:
            raise first_error(cls.artifact, error) from None
        if not isinstance(value, dict) or record.to_json() != data:
            detail = "the bytes are not what the engine writes"
            raise ContractError("artifact_invalid", where=cls.artifact, detail=detail)
        return record

    def misbound(self, *, task: str, epoch: int, tree: str | None) -> tuple[Reason, ...]:
        """`evidence_stale` if this record is of another task, epoch or tree; None: the caller holds the tree itself."""
        faults = []
        if self.task != task:
            faults.append(f"it is of task {self.task}, not {task}")
        if self.epoch != epoch:
            faults.append(f"it is of epoch {self.epoch}, not {epoch}")
        if tree is not None and self.tree != tree:
            faults.append(f"it is of tree {self.tree[:12]}, not {tree[:12]}")
        return tuple(Reason("evidence_stale", detail=fault, where=self.artifact) for fault in faults)
