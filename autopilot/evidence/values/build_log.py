"""build_output.log: one header line in strict JSON, then the build's output as it came.

    {"format":1,"task":"T-1",…,"configured":true,"run":{"argv":["python","-m","build"],"exit_code":0,…}}
    * Creating isolated environment: venv+pip...

A log alone says nothing of how the build ended; the header does, and its digest ties it to the output below it.
"""

from __future__ import annotations

from dataclasses import dataclass

from autopilot.evidence.values.runs import CommandEvidence
from autopilot.kernel.canonical import sha256_hex
from autopilot.kernel.errors import ContractError

NAME = "build_output.log"


class BuildHeader(CommandEvidence):
    """The first line of build_output.log."""

    artifact = NAME


@dataclass(frozen=True, slots=True)
class BuildLog:
    """Header and output."""

    header: BuildHeader
    output: bytes

    def to_bytes(self) -> bytes:
        """The artifact's bytes."""
        return self.header.to_json() + b"\n" + self.output


def parse_build_log(data: bytes) -> BuildLog:
    """The log in `data`; ContractError if the header does not fit, or the output is not the one it was written for."""
    first, newline, output = data.partition(b"\n")
    if not newline:
        raise ContractError("artifact_invalid", where=NAME, detail="there is no header line")
    header = BuildHeader.from_json(first)
    run = header.run
    if run is not None and (run.output_sha256 != sha256_hex(output) or run.output_bytes != len(output)):
        raise ContractError("artifact_invalid", where=f"{NAME}:1", detail="the output is not the one of the header")
    return BuildLog(header, output)
