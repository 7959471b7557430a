"""A refused claim to be a person goes on the ledger, under the name that was claimed.

The line is a `violation` that belongs to no task: whoever repeats it holds up nobody's work but his own.
"""

from __future__ import annotations

from autopilot.cli import opened
from autopilot.cli.options import Call
from autopilot.kernel.errors import AutopilotError
from autopilot.kernel.reasons import Verdict


def record(call: Call, verdict: Verdict) -> int | None:
    """Record the refusal; the number of its line, None in a rehearsal and where no ledger can be written."""
    if call.dry_run:
        return None
    try:
        with opened.writing(call) as workspace:
            return workspace.recording.usurped(None, call.caller, verdict)
    except AutopilotError:
        # None here, lost, or to be repaired: the refusal stands all the same.
        return None
