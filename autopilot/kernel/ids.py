"""Names that come from outside: task ids, artifact names, flag names. Full match or refusal, never repair.

Task ids become folder names, so the rule is narrow: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`, no `..`, and no two in
one ledger that differ only in case (the store checks that one).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

from autopilot.kernel.errors import ContractError

_TASK_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_ARTIFACT = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def parse_task_id(text: str) -> str:
    """`text` if it is a task id, ContractError `malformed_task_id` otherwise."""
    # fullmatch, not match with `$`: `$` also matches before a final newline.
    if not _TASK_ID.fullmatch(text) or ".." in text or text.endswith("."):
        raise ContractError(
            "malformed_task_id",
            where=text,
            detail=f"{text!r} is not a task id",
            remedy="use 1 to 64 letters, digits, '.', '_' or '-', starting with a letter or digit, without '..'",
        )
    return text


def parse_artifact_name(text: str) -> str:
    """`text` if it can name an artifact file, ContractError `malformed_artifact_name` otherwise."""
    if not _ARTIFACT.fullmatch(text) or ".." in text:
        raise ContractError(
            "malformed_artifact_name",
            where=text,
            detail=f"{text!r} is not an artifact name",
            remedy="use lower-case letters, digits, '.', '_' or '-', as the phase's contract names it",
        )
    return text


Draw = Callable[[int], str]
"""Where chance comes from: that many random bytes, in hex. `drawn` but in a simulation."""

drawn: Draw = secrets.token_hex


def new_ledger_id(draw: Draw = drawn) -> str:
    """A random 128-bit id as 32 hex digits."""
    return draw(16)


def new_token(draw: Draw = drawn) -> str:
    """A random 128-bit lease token as 32 hex digits."""
    return draw(16)
