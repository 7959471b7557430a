"""The workspace a command works on: opened for reading, for writing, or for a rehearsal, and always closed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from autopilot.cli import rehearsal
from autopilot.cli.options import Call
from autopilot.cli.snapshot import keep
from autopilot.wiring.full import Workspace, here


@contextlib.contextmanager
def reading(call: Call) -> Iterator[Workspace]:
    """The workspace of the call's directory, for a command that appends nothing."""
    with Workspace.open(call.directory) as workspace:
        yield workspace


@contextlib.contextmanager
def judging(call: Call) -> Iterator[Workspace]:
    """The workspace for a command that only asks what would be: what is put into it is forgotten."""
    outside = here()
    with Workspace.open(call.directory, outside=outside) as workspace, rehearsal.judging(workspace, outside) as copied:
        yield copied


@contextlib.contextmanager
def writing(call: Call) -> Iterator[Workspace]:
    """The workspace for a command that may append; under `--dry-run` one that forgets what is appended.

    What `status` shows is renewed on the way out, after a refusal too: that is a line on the ledger as well.
    """
    outside = here()
    with Workspace.open(call.directory, outside=outside) as workspace:
        if call.dry_run:
            with rehearsal.rehearsing(workspace, outside) as copied:
                yield copied
            return
        workspace.flags.note_requests(call.caller)
        try:
            yield workspace
        finally:
            keep(workspace)
