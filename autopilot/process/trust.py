"""What the engine may claim where it runs, and what follows from it for the desks.

Mode 0: agent and engine are one user. Mode 1: the engine is another user behind a socket; then evidence comes in as
bytes only, approvals prove their user, and project code runs by `runner`, which keeps it from state and keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autopilot.process.site import runner_for
from autopilot.sandbox.run import Runner


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """The mode, and its consequences.

    `drafts`: where callers keep their files, below which nothing is evidence; None where the engine reads the evidence
    folder itself. `cache`: where provided dependencies are kept, None for below the state.
    """

    mode: int = 0
    drafts: Path | None = None
    cache: Path | None = None
    runner: Callable[[str], Runner] = runner_for


ADVISORY = Trust()
