"""pydantic's errors as findings: place and words, never the input itself."""

from __future__ import annotations

from pydantic import ValidationError

from autopilot.evidence.findings import Finding, contract_error
from autopilot.kernel.errors import ContractError

MAX_SHOWN = 10


def findings_of(error: ValidationError) -> tuple[Finding, ...]:
    """One `artifact_invalid` for each of the first faults, with the place as `[3].path` or `dimensions.security`."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return tuple(Finding("artifact_invalid", each["msg"], item=place(each["loc"])) for each in details[:MAX_SHOWN])


def first_error(artifact: str, error: ValidationError) -> ContractError:
    """The first fault as the error a parser raises."""
    return contract_error(artifact, findings_of(error)[0])


def place(location: tuple[int | str, ...]) -> str:
    """A JSON place for people. Keys come from outside: shortened, and made printable."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            shown = part[:60] if part.isprintable() else repr(part[:60])
            text += f".{shown}" if text else shown
    return text
